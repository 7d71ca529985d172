"""The built distributions: files, dependencies and installation."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sequences_core
from sequences_core import exceptions
from tests.distributions import BACKENDS, GROUP, ROOT, SAMPLES, build, make_environment, run

FOLDERS = {
    "sequences-core": ROOT,
    "sequences-contrib": ROOT / "contrib",
    **{f"sequences-{name}": ROOT / "backends" / name for name in BACKENDS},
}
DISTRIBUTIONS = pytest.mark.parametrize("name", FOLDERS)
DRIVERS = {"postgresql": "psycopg", "mysql": "mysqlclient", "oracle": "oracledb"}


def import_name(distribution: str) -> str:
    return distribution.replace("-", "_")


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def requirements(wheel: Path, extra: str = "") -> dict[str, Requirement]:
    """Return the dependencies of a wheel, in total or of one extra."""
    found = [Requirement(text) for text in metadata(wheel).get_all("Requires-Dist") or ()]
    return {
        requirement.name: requirement
        for requirement in found
        if (requirement.marker is None and not extra)
        or (extra and requirement.marker and f'"{extra}"' in str(requirement.marker))
    }


# Wheels


def test_every_folder_is_a_distribution(wheels: dict[str, Path]) -> None:
    """Each pyproject.toml of the repository builds one wheel, named after its folder."""
    for name, folder in FOLDERS.items():
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["name"] == name
    assert set(wheels) == set(FOLDERS)
    assert {"mysql", "oracle", "orm", "postgresql", "sqlite"} <= set(BACKENDS)


@DISTRIBUTIONS
def test_wheel_holds_its_package_only(wheels: dict[str, Path], name: str) -> None:
    """A wheel holds every file of its one package, py.typed included, and no tests."""
    package = FOLDERS[name] / import_name(name)
    there = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[name]) as archive:
        packed = {path for path in archive.namelist() if ".dist-info/" not in path}
    assert packed == there
    assert f"{import_name(name)}/py.typed" in packed


def test_core_wheel_holds_what_django_and_backends_need(wheels: dict[str, Path]) -> None:
    """The migrations, the commands and the conformance kit come with the core."""
    with zipfile.ZipFile(wheels["sequences-core"]) as archive:
        files = archive.namelist()
    for file in (
        "migrations/0001_initial.py",
        "management/commands/sequences.py",
        "testing/__init__.py",
    ):
        assert f"sequences_core/{file}" in files


@pytest.mark.parametrize("name", ["sequences-core", "sequences-contrib"])
def test_wheels_hold_compiled_translations(wheels: dict[str, Path], name: str) -> None:
    """Wheels contain the compiled catalogues, so they needn't be compiled after installation."""
    with zipfile.ZipFile(wheels[name]) as archive:
        for language in ("de", "es", "fr", "it", "nl", "pl", "pt"):
            file = f"{import_name(name)}/locale/{language}/LC_MESSAGES/django.mo"
            assert archive.read(file)[:4] in (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")


@DISTRIBUTIONS
def test_metadata(wheels: dict[str, Path], name: str) -> None:
    """A wheel says its licence, its Python, and in its README what it is."""
    about = metadata(wheels[name])
    assert about["License-Expression"] == "BSD-3-Clause"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Description-Content-Type"] == "text/x-rst"
    assert "Framework :: Django" in about.get_all("Classifier", ())


def test_core_depends_on_django_and_stevedore_only(wheels: dict[str, Path]) -> None:
    """The core brings nothing but Django and stevedore."""
    assert set(requirements(wheels["sequences-core"])) == {"django", "stevedore"}


@pytest.mark.parametrize("name", [name for name in FOLDERS if name != "sequences-core"])
def test_others_depend_on_the_core_only(wheels: dict[str, Path], name: str) -> None:
    """A backend brings the core, and its driver only where that is asked for."""
    assert set(requirements(wheels[name])) == {"sequences-core"}
    driver = DRIVERS.get(name.removeprefix("sequences-"))
    assert set(requirements(wheels[name], "driver")) == ({driver} if driver else set())


def test_others_depend_on_this_series_of_the_core() -> None:
    """Everything that builds on the core requires a release with the same interface."""
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for folder in [*FOLDERS.values(), *SAMPLES]:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        for requirement in map(Requirement, project["dependencies"]):
            if requirement.name == "sequences-core":
                assert core in requirement.specifier
                assert "0.2" not in requirement.specifier
                break
        else:
            assert project["name"] == "sequences-core"


def test_extras_pull_backend_and_driver(wheels: dict[str, Path]) -> None:
    """``sequences-core[postgresql]`` and its like bring the backend and the driver; all, all."""
    core = wheels["sequences-core"]
    everything = requirements(core, "all")
    assert set(everything) == {f"sequences-{name}" for name in BACKENDS}
    for name in ("postgresql", "mysql", "oracle", "sqlite"):
        (requirement,) = requirements(core, name).values()
        assert requirement.name == f"sequences-{name}"
        assert requirement.extras == ({"driver"} if name in DRIVERS else set())
        assert everything[requirement.name].extras == requirement.extras


@pytest.mark.parametrize("name", BACKENDS)
def test_entry_point_is_the_name_of_the_vendor(wheels: dict[str, Path], name: str) -> None:
    """Each backend registers one allocator, under the name of its folder, and for an engine."""
    with zipfile.ZipFile(wheels[f"sequences-{name}"]) as archive:
        (file,) = [path for path in archive.namelist() if path.endswith("/entry_points.txt")]
        text = archive.read(file).decode()
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser.sections() == [GROUP]
    entries = dict(parser[GROUP])
    assert set(entries) == ({"orm", "django_tidb"} if name == "orm" else {name})
    for value in entries.values():
        assert value.startswith(f"sequences_{name}:")
        assert value.endswith("Allocator")


INSTALLED = """
import importlib, sys
from importlib.metadata import distributions, entry_points
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["sequences_core"])
django.setup()
package = importlib.import_module(sys.argv[1])
assert package.__path__[0].startswith(sys.prefix), package
for entry in entry_points(group="sequences_core.backends"):
    assert issubclass(entry.load(), importlib.import_module("sequences_core").Allocator)
print(*(here.name.lower() for here in distributions()))
"""


@DISTRIBUTIONS
def test_wheel_installs_and_imports(
    wheels: dict[str, Path], core_python: Path, tmp_path: Path, name: str
) -> None:
    """In a clean environment the package imports, with no driver and no other backend there."""
    if name == "sequences-core":
        python = core_python
    else:
        python = make_environment(tmp_path, wheels["sequences-core"], wheels[name])
    program: list[str | Path] = [python, "-W", "error", "-c", INSTALLED, import_name(name)]
    there = set(run(*program, cwd=tmp_path).split())
    assert {here for here in there if here.startswith("sequences-")} == {"sequences-core", name}
    assert not there & {*DRIVERS.values(), "pytest"}


# The source distribution


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build(ROOT, folder, "--sdist")
    return next(folder.glob("*.tar.gz"))


def test_sdist_builds_the_same_wheel(sdist: Path, wheels: dict[str, Path], tmp_path: Path) -> None:
    """The wheel that is built from the source distribution holds the same files."""
    build(sdist, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(wheels["sequences-core"]) as theirs:
        assert ours.namelist() == theirs.namelist()


def test_pyprojects_are_valid() -> None:
    """validate-pyproject accepts the pyproject.toml of each distribution, and of the samples."""
    folders = [*FOLDERS.values(), *SAMPLES]
    files = [folder / "pyproject.toml" for folder in folders]
    done = subprocess.run(
        [sys.executable, "-m", "validate_pyproject", *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Imports


def test_every_public_name_is_exported() -> None:
    """``__all__`` has every error, and every name that the package loads later."""
    errors = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and value.__module__ == exceptions.__name__
    }
    assert errors | set(sequences_core._LATER) < set(sequences_core.__all__)


def imports(package: Path) -> Iterator[tuple[Path, str]]:
    """The modules that each file of the package imports, wherever in the file; not its own."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield path, str(node.module)


@DISTRIBUTIONS
def test_imports_run_one_way(name: str) -> None:
    """Backends and contrib import the core, which imports neither; nor do they each other."""
    allowed = {"sequences_core", import_name(name)}
    for file, module in imports(FOLDERS[name] / import_name(name)):
        top = module.partition(".")[0]
        assert not top.startswith("sequences_") or top in allowed, f"{file} imports {module}"


def test_only_the_registry_imports_stevedore() -> None:
    """Only one module depends on the library that loads the backends."""
    files = {
        file.name
        for name, folder in FOLDERS.items()
        for file, module in imports(folder / import_name(name))
        if module.partition(".")[0] == "stevedore"
    }
    assert files == {"registry.py"}


def test_core_imports_its_dependencies_only() -> None:
    """Outside the kit, which has an extra of its own, the core needs no third package.

    It traces takings where OpenTelemetry's API is installed.
    """
    allowed = {"django", "stevedore", "sequences_core", "opentelemetry", *sys.stdlib_module_names}
    for file, module in imports(ROOT / "sequences_core"):
        if "testing" not in file.parts:
            assert module.partition(".")[0] in allowed, f"{file} imports {module}"
