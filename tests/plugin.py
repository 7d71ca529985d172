"""The pytest plugin that runs a test only on the databases that DB names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.test import TestCase, TransactionTestCase
from hypothesis import settings as hypothesis_settings

# Slow files and folders, and those that need no server in DB: they run if DB is empty, or if
# they are named.
SLOW = {
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

# Tests of the whole repository, which the core's source distribution doesn't contain.
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

# Hypothesis allows 200 ms per example by default, too little for a busy machine.
hypothesis_settings.register_profile("no deadline", deadline=None)
hypothesis_settings.load_profile("no deadline")

_sound: set[tuple[str, type]] = set()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore slow tests in a run on some databases, and tests that lack files or packages here.

    A source distribution lacks files, and the environments of nox lack packages of the benchmarks.
    """
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if os.environ.get("DB") and not named and collection_path.name in SLOW:
        return True
    if collection_path.name == "test_benchmarks.py" and not find_spec("matplotlib"):
        return True
    if (config.rootpath / "contrib").is_dir():
        return None
    return True if collection_path.name in OF_REPOSITORY else None


@pytest.fixture(autouse=True)
def _no_allocator_is_left_behind() -> Iterator[None]:
    """Fail a test after which an alias has another allocator than the settings say.

    Only a change of the settings resets the registry, so the outcome of later tests would depend on
    their order.
    """
    yield
    from sequences_core import get_allocator, registry  # late, so that coverage measures it

    cached, known = registry._allocators, set(connections)
    found = {(alias, type(cached[alias])) for alias in known & cached.keys()}
    if found <= _sound and cached.keys() <= known:
        return
    registry.forget_allocators()
    for alias in known & cached.keys():
        _sound.add((alias, type(get_allocator(connections[alias]))))
    assert found <= _sound, "the test left other allocators than those of the settings"


@pytest.fixture(autouse=True)
def _content_types_are_read_again() -> None:
    """Forget Django's content types: a flush gives them other ids, and not every flush says so."""
    from django.contrib.contenttypes.models import ContentType  # late: it needs the settings

    ContentType.objects.clear_cache()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Make an error in a teardown, such as a lock timeout of the flush, fail its own test only.

    Otherwise pytest-django 4.14 skips the cleanups of the class, one of which enables the databases
    for other tests.
    """
    try:
        yield
    except BaseException:
        for case in (*TransactionTestCase.__subclasses__(), *TestCase.__subclasses__()):
            if case.__name__ == "PytestDjangoTestCase":
                case.doClassCleanups()
        raise


@pytest.hookimpl(trylast=True)  # after other plugins have added markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests for databases outside DB: the user chose them, so they are not skips."""
    narrowed = bool(os.environ.get("DB"))
    if problems := [problem for item in items if (problem := _problem(config, item))]:
        raise pytest.UsageError(*problems)

    def wanted(item: pytest.Item) -> bool:
        if narrowed and _has_no_database(item):
            return False
        return _aliases(item) <= set(settings.DATABASES)

    others = [item for item in items if not wanted(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted(item)]


def _aliases(item: pytest.Item) -> set[str]:
    """Return the databases of a test, from ``using`` of its class and from its mark."""
    mark = item.get_closest_marker("django_db")
    databases = (mark and mark.kwargs.get("databases")) or ()
    using = getattr(getattr(item, "cls", None), "using", None)
    return {*([] if databases == "__all__" else databases), *([using] if using else [])}


def _problem(config: pytest.Config, item: pytest.Item) -> str | None:
    """Return why a test would run on the wrong database, silently on none, or on no worker."""
    if re.search(r" at 0x[0-9a-f]+", item.nodeid):
        return f"{item.nodeid} contains an address, which differs between the workers: give an id"
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
    """Return whether all parameters of a test are for other databases: pytest would skip it."""
    mark = item.get_closest_marker("skip")
    return mark is not None and str(mark.kwargs.get("reason")).startswith("got empty parameter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with the argument ``using`` on each database, in real transactions."""
    if "using" not in metafunc.fixturenames:
        return
    marked = metafunc.definition.get_closest_marker("django_db") is not None

    def marks(name: str) -> list[pytest.MarkDecorator]:
        # Flushing only the tables of these apps after each test is quick.
        apps = ["sequences_core", *getattr(metafunc.module, "APPS", [])]
        mark = pytest.mark.django_db(transaction=True, databases=[name], available_apps=apps)
        return [] if marked else [mark]

    names = [name for name in settings.DATABASES if name != "default"]
    metafunc.parametrize("using", [pytest.param(name, marks=marks(name)) for name in names])
