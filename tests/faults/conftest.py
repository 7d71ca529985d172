"""The arena of each database in DB, whose server starts with the first test that uses it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.arena import Arena
from tests.servers.launch import chosen

Arenas = Callable[[str], Arena]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "databases(*names): which arenas the test is for")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each database in its marker."""
    if marker := metafunc.definition.get_closest_marker("databases"):
        metafunc.parametrize("arena", marker.args, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests for databases outside DB: the user chose them, so they are not skips."""
    names = chosen(os.environ.get("DB"))

    def wanted(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        return not callspec or callspec.params.get("arena", names[0]) in names

    others = [item for item in items if not wanted(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted(item)]


@pytest.fixture(scope="session")
def arenas() -> Iterator[Arenas]:
    """The function that returns the arena of a database, which has its own durable server."""
    with ExitStack() as stack:
        known: dict[str, Arena] = {}

        def arena(name: str) -> Arena:
            if name not in known:
                known[name] = stack.enter_context(Arena(name))
            return known[name]

        yield arena


@pytest.fixture
def arena(request: pytest.FixtureRequest, arenas: Arenas) -> Arena:
    """The arena of the database that the test is parametrized with."""
    return arenas(request.param)
