"""The pytest plugin that starts the servers in DB before Django's settings are read."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.servers.errors import ServerError
from tests.servers.launch import KNOWN, chosen, start, stop, variable
from tests.servers.probe import describe

_versions: dict[str, str] = {}


def _is_worker() -> bool:
    """Return whether this is an xdist worker, which uses the servers of its controller."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Start the servers: a wrapper runs before pytest-django's hook, which reads the settings."""
    if not _is_worker():
        try:
            names = chosen(os.environ.get("DB"))
            for name in set(KNOWN) - set(names):
                # The settings use all URLs that are set; only those of DB may be set.
                os.environ.pop(variable(name), None)
            for name, url in start(names).items():
                os.environ[variable(name)] = url
                _versions[name] = describe(url)
        except Exception as error:
            # A requested database must run: if it were left out silently, the tests would pass.
            stop()
            message = (
                str(error) if isinstance(error, ServerError) else f"{type(error).__name__}: {error}"
            )
            raise pytest.UsageError(message) from error
    return (yield)


def pytest_report_header() -> list[str]:
    """Show each database with its server's version."""
    return [f"databases: {', '.join(_versions.values())}"] if _versions else []


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End the servers."""
    if not _is_worker():
        stop()
