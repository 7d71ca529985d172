"""Wheels of distributions for the tests, and environments in which they are installed.

This is a pytest plugin: the fixtures build once for all test modules.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
GROUP = "sequences_core.backends"
SAMPLES = [ROOT / "tests" / "thirdparty", ROOT / "tests" / "thirdparty_rows"]
"""Third-party backends: Acme's for SQLite, and Globex's with row locks."""
BACKENDS = sorted(file.parent.name for file in ROOT.glob("backends/*/pyproject.toml"))

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"

[tool.hatch.build.targets.wheel]
include = {files}

"""


ODD = """
from sequences_core import Allocator


class Sound(Allocator):
    protocol = 1

    def upsert(self, connection, allocation): ...
    def update(self, connection, allocation): ...


class Twin(Sound): ...


class Future(Sound):
    protocol = 2


class Undated(Allocator):
    upsert = update = Sound.upsert


class Unfinished(Allocator):
    protocol = 1

    def upsert(self, connection, allocation): ...


class Duck:
    protocol = 1


instance = Sound()
"""

MICROSOFT = """
from odd_allocators import Sound


class MicrosoftAllocator(Sound): ...
"""


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run the command outside the tests' environment; return its output."""
    done = try_run(*command, cwd=cwd, **variables)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def try_run(
    *command: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail outside the tests' environment."""
    environment = clean_environment() | variables
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )


def clean_environment() -> dict[str, str]:
    """Return the variables of this process, without those that configure the tests."""
    ours = ("PYTHON", "PYTEST", "DJANGO", "COV", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def build(folder: Path, wheels: Path, *options: str) -> None:
    """Build the distribution in the folder into ``wheels``, with the installed hatchling."""
    python = ("--no-build-isolation", "--python", sys.executable)
    run(UV, "build", *python, *(options or ("--wheel",)), "--out-dir", wheels, folder)


def write_distribution(
    folder: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, str]
) -> None:
    """Write the source of a distribution with its modules, and its entry points as backends."""
    folder.mkdir(parents=True)
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    lines = [f'{key} = "{value}"' for key, value in entry_points.items()]
    (folder / "pyproject.toml").write_text(
        PYPROJECT.format(name=name, files=[f"{module}.py" for module in modules])
        + "\n".join([f'[project.entry-points."{GROUP}"]', *lines, ""])
    )


def install_into(folder: Path, *wheels: Path) -> None:
    """Install the wheels without their dependencies into a folder for ``sys.path``."""
    run(UV, "pip", "install", "--no-deps", "--target", folder, *wheels)


def make_environment(folder: Path, *requirements: str | Path) -> Path:
    """Create a virtual environment with the requirements; return its Python.

    The dependencies have the same versions as in this environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pins = folder / "constraints.txt"
    pins.write_text(
        "".join(
            f"{here.name}=={here.version}\n"
            for here in distributions()
            if not here.name.startswith("sequences-")
        )
    )
    run(UV, "venv", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--python", python, "--constraint", pins, *requirements)
    return python


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignore the tests of the samples, which test_thirdparty.py runs in their own environments."""
    return True if collection_path in SAMPLES else None


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of this repository's distributions, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    build(ROOT, folder, "--wheel", "--all-packages")
    return {
        path.name.split("-")[0].replace("_", "-"): path for path in sorted(folder.glob("*.whl"))
    }


def build_sample(sample: Path, folder: Path) -> Path:
    """Build a wheel of a sample from a copy outside this repository."""
    shutil.copytree(sample, folder / "source")
    build(folder / "source", folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def acme_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of Acme's sample."""
    return build_sample(SAMPLES[0], tmp_path_factory.mktemp("acme"))


@pytest.fixture(scope="session")
def core_python(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Path:
    """The Python of an environment with only the core and its dependencies."""
    return make_environment(tmp_path_factory.mktemp("core"), wheels["sequences-core"])


@pytest.fixture(scope="session")
def odd_wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of distributions whose entry points are mostly invalid."""
    folder = tmp_path_factory.mktemp("odd")
    write_distribution(
        folder / "odd",
        "odd-allocators",
        {"odd_allocators": ODD, "odd_import": "import driver_that_nobody_has"},
        {
            "sound": "odd_allocators:Sound",
            "twin": "odd_allocators:Twin",
            "future": "odd_allocators:Future",
            "undated": "odd_allocators:Undated",
            "unfinished": "odd_allocators:Unfinished",
            "duck": "odd_allocators:Duck",
            "instance": "odd_allocators:instance",
            "driverless": "odd_import:Allocator",
            "misspelt": "odd_allocators:Soudn",
        },
    )
    write_distribution(
        folder / "rival",
        "rival-allocators",
        {"rival_allocators": MICROSOFT},
        {
            "twin": "rival_allocators:MicrosoftAllocator",
            "microsoft": "rival_allocators:MicrosoftAllocator",
        },
    )
    late = {"late_allocators": ODD}, {"late": "late_allocators:Sound"}
    write_distribution(folder / "late", "late-allocators", *late)
    for source in ("odd", "rival", "late"):
        build(folder / source, folder)
    return {path.name.split("_")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd_wheels: dict[str, Path]
) -> Iterator[Path]:
    """The folder in which they are installed, on ``sys.path`` during this test."""
    install_into(tmp_path, odd_wheels["odd"], odd_wheels["rival"])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in ("odd_allocators", "odd_import", "rival_allocators"):
        sys.modules.pop(module, None)
