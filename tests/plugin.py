"""The pytest plugin that runs a test on the databases that DB names, and on no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.test import TestCase, TransactionTestCase
from hypothesis import settings as hypothesis_settings

# Files and folders that are slow, or about no server of DB: left to a run of everything, or to who
# names them.
UNHURRIED = {
    "browser",
    "demo",
    "servers",
    "test_benchmarks.py",
    "test_celery.py",
    "test_docs.py",
    "test_fuzz.py",
    "test_kit.py",
    "test_merge_on_h2.py",
    "test_packaging.py",
    "test_plugin.py",
    "test_registry_errors.py",
    "test_release.py",
    "test_thirdparty.py",
    "test_tracing.py",
    "test_tutorial.py",
    "test_typing.py",
    "test_web_servers.py",
}

# About the whole repository, of which the core's source distribution is a part.
OF_REPOSITORY = {
    "test_benchmarks.py",
    "test_demo.py",
    "test_docs.py",
    "test_interface.py",
    "test_matrix.py",
    "test_packaging.py",
    "test_readme.py",
    "test_registry_errors.py",
    "test_release.py",
    "test_report.py",
    "test_serving.py",
    "test_translations.py",
    "test_tutorial.py",
    "test_typing.py",
}

# Hypothesis allows an example 200 ms, which it takes on a machine that is busy with others.
hypothesis_settings.register_profile("no deadline", deadline=None)
hypothesis_settings.load_profile("no deadline")

_sound: set[tuple[str, type]] = set()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what an unpacked source distribution, or this environment, lacks the files for.

    The environments of nox don't have the packages that the benchmarks need.
    """
    if collection_path.name == "test_benchmarks.py" and not find_spec("matplotlib"):
        return True
    if (config.rootpath / "contrib").is_dir():
        return None
    return True if collection_path.name in OF_REPOSITORY else None


@pytest.fixture(autouse=True)
def _no_allocator_is_left_behind() -> Iterator[None]:
    """Fail the test that leaves an alias with another allocator than the settings say.

    Nothing but a change of settings makes the registry look again, so the tests that come later
    would fail, or pass, by the order in which they run.
    """
    yield
    from sequences_core import get_allocator, registry  # late: coverage is measured by now

    cached, known = registry._allocators, set(connections)
    found = {(alias, type(cached[alias])) for alias in known & cached.keys()}
    if found <= _sound and cached.keys() <= known:
        return
    registry.forget_allocators()
    for alias in known & cached.keys():
        _sound.add((alias, type(get_allocator(connections[alias]))))
    assert found <= _sound, "the test left other allocators than those of the settings"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Let a teardown that fails, such as a flush that waits for a lock, fail its own test only.

    pytest-django 4.14 then leaves out the cleanups of its class, one of which gives the other
    tests their databases back.
    """
    try:
        yield
    except BaseException:
        for case in (*TransactionTestCase.__subclasses__(), *TestCase.__subclasses__()):
            if case.__name__ == "PytestDjangoTestCase":
                case.doClassCleanups()
        raise


@pytest.hookimpl(trylast=True)  # when the markers that others add are there
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is for a database outside DB: that is the user's choice, not a skip."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    narrowed = bool(os.environ.get("DB"))
    if problems := [problem for item in items if (problem := _problem(config, item))]:
        raise pytest.UsageError(*problems)

    def wanted(item: pytest.Item) -> bool:
        if narrowed and not named and UNHURRIED & set(item.path.relative_to(config.rootpath).parts):
            return False
        if narrowed and _has_no_database(item):
            return False
        return _aliases(item) <= set(settings.DATABASES)

    others = [item for item in items if not wanted(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted(item)]


def _aliases(item: pytest.Item) -> set[str]:
    """The databases that a test names: by ``using`` of its class, and by its mark."""
    mark = item.get_closest_marker("django_db")
    databases = (mark and mark.kwargs.get("databases")) or ()
    using = getattr(getattr(item, "cls", None), "using", None)
    return {*([] if databases == "__all__" else databases), *([using] if using else [])}


def _problem(config: pytest.Config, item: pytest.Item) -> str | None:
    """Why a test would run on the wrong database, or in silence on none."""
    aliases = _aliases(item)
    if unknown := aliases - {*getattr(settings, "VENDORS", ()), *settings.DATABASES}:
        return f"{item.nodeid} is for {', '.join(sorted(unknown))}: no DB starts such a database"
    mark = item.get_closest_marker("django_db")
    asks = mark is not None or {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    says = aliases or (mark is not None and "databases" in mark.kwargs)
    if config.rootpath / "backends" in item.path.parents and asks and not says:
        return f"{item.nodeid} is in a backend's folder and doesn't say which database it is for"
    return None


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
