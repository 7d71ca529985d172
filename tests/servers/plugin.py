"""The pytest plugin that starts the servers in DB before Django's settings are read.

The workers of pytest-xdist (``-n auto``) share no server: roles, global settings and databases of
one worker's tests would disturb the tests of another worker.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

from tests.servers.folders import stop
from tests.servers.launch import KNOWN, chosen, start, variable
from tests.servers.probe import describe

MOST = 4
"""The largest number of workers for ``-n auto``: each needs memory for servers of all kinds."""

_versions: dict[str, str] = {}
_given: list[str] = []
"""The databases of which the environment has a URL."""

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this is a worker of xdist, whose servers its controller starts and ends."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Start the servers: a wrapper runs before pytest-django's hook, which reads the settings."""
    if not IS_WORKER:
        try:
            names = chosen(os.environ.get("DB"))
            for name in set(KNOWN) - set(names):
                # The settings use all URLs that are set; only those of DB may be set.
                os.environ.pop(variable(name), None)
            _given.extend(name for name in names if os.environ.get(variable(name)))
            for name, url in start(names).items():
                os.environ[variable(name)] = url
                _versions[name] = describe(url)
        except Exception as error:
            # A requested database must run: if it were left out silently, the tests would pass.
            stop()
            raise pytest.UsageError(f"{type(error).__name__}: {error}") from error
    return (yield)


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # before the default
def pytest_xdist_auto_num_workers() -> int:
    """Return the number for ``-n auto``: none if a URL is given, because that is one server."""
    return 0 if _given else min(os.cpu_count() or 1, MOST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Start servers for all workers but the first one, which uses those that run already."""
    if _given and specs[1:]:
        names = ", ".join(map(variable, _given))
        raise pytest.UsageError(f"{names}: workers can't share a server; use -n 0.")
    for spec in specs[1:]:
        urls = start(_versions, given={})
        spec.env.update({variable(name): url for name, url in urls.items()})


def pytest_report_header() -> list[str]:
    """Show each database with its server's version."""
    return [f"databases: {', '.join(_versions.values())}"] if _versions else []


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End the servers."""
    if not IS_WORKER:
        stop()
