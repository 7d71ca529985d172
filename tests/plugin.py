"""The pytest plugin that runs a test on the databases that DB names, and on no others."""

from __future__ import annotations

import os

import pytest
from django.conf import settings

# Slow, and about no server of DB: left to a run of everything, or to who names them.
UNHURRIED = {
    "test_benchmarks.py",
    "test_merge_on_h2.py",
    "test_packaging.py",
    "test_registry_errors.py",
    "test_thirdparty.py",
    "test_typing.py",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is for a database outside DB: that is the user's choice, not a skip."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    narrowed = bool(os.environ.get("DB"))

    def wanted(item: pytest.Item) -> bool:
        if narrowed and not named and item.path.name in UNHURRIED:
            return False
        if narrowed and _has_no_database(item):
            return False
        using = getattr(getattr(item, "cls", None), "using", "default")
        return using in settings.DATABASES

    others = [item for item in items if not wanted(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted(item)]


def _has_no_database(item: pytest.Item) -> bool:
    """Does the test have parameters for other databases only, so that pytest would skip it?"""
    mark = item.get_closest_marker("skip")
    return mark is not None and str(mark.kwargs.get("reason")).startswith("got empty parameter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``using`` once for each database, in real transactions of that one."""
    if "using" not in metafunc.fixturenames:
        return
    marked = metafunc.definition.get_closest_marker("django_db") is not None

    def marks(name: str) -> list[pytest.MarkDecorator]:
        # After each test only the tables of these apps are emptied, which is quick.
        apps = ["sequences_core", *getattr(metafunc.module, "APPS", [])]
        mark = pytest.mark.django_db(transaction=True, databases=[name], available_apps=apps)
        return [] if marked else [mark]

    names = [name for name in settings.DATABASES if name != "default"]
    metafunc.parametrize("using", [pytest.param(name, marks=marks(name)) for name in names])
