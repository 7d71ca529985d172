"""Each package is tested in its own process, with settings that install it.

A folder here is a small Django project: its settings, its models, and the test module that uses
the package as the package's documentation says. To a run with any other settings, which knows
neither the package nor the models, that module is one test for each database and settings module:
it runs pytest with those settings, and with that database as the only one, as users have it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

POSTGRESQL_ONLY = {"events", "tenants"}

# What takes long to import, and is used by no test here, is left out.
UNUSED = ("benchmark", "cacheprovider", "hypothesispytest", "xdist")
OPTIONS = ["-q", "--tb=short", "-rfs", *(f"-pno:{plugin}" for plugin in UNUSED)]

SECONDS = 200
"""How long the tests of one package may take on one database."""

pytest.register_assert_rewrite("tests.ecosystem.projects")


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> pytest.File | None:
    """Collect a package's module as usual only where its own settings are in force."""
    folder = module_path.parent
    if folder == HERE or os.environ.get("DJANGO_SETTINGS_MODULE") in _settings_of(folder):
        return None
    return Project.from_parent(parent, path=module_path)


def _settings_of(folder: Path) -> list[str]:
    files = sorted(folder.glob("settings*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]


class Project(pytest.File):
    """A test module that needs settings of its own."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a run of the module on each database, with each of the settings beside it."""
        folder = self.path.parent
        databases = set(settings.DATABASES) - {"default"}
        if folder.name in POSTGRESQL_ONLY:
            databases &= {"postgresql"}
        if "mysql" in databases:  # to Django one database, and each project takes a while
            databases.discard("mariadb")
        for database in sorted(databases):
            for module in _settings_of(folder):
                name = f"{module.rpartition('.')[2]}-{database}"
                yield Run.from_parent(self, name=name, settings_module=module, database=database)


class Run(pytest.Item):
    """The tests of one module, with one settings module, on one database."""

    def __init__(self, *, settings_module: str, database: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings_module = settings_module
        self.database = database

    def runtest(self) -> None:
        """Run the module; fail with what that run has printed."""
        ours = ("PYTEST", "COV_CORE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        environment |= {"DJANGO_SETTINGS_MODULE": self.settings_module, "DB": self.database}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS, str(self.path)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)
        self.add_report_section("call", "tests", done.stdout)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is, and what to call it."""
        return self.path, 0, self.name
