"""The programs that run the project, clients with many parallel requests, and checks."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from sequences_core import get_last_value
from tests.numbered.models import Plain
from tests.servers.base import Server
from tests.servers.ports import HOST, listens

ROOT = Path(__file__).parents[2]

Answer = tuple[str, int | str]
"""A code, and the number in the response, or else the reason why there is none."""

IN_FLIGHT = 200
"""The number of parallel requests."""

TIMEOUT = 60
"""Seconds to wait for a response."""


def environment(
    alias: str,
    *,
    options: Mapping[str, Any] | None = None,
    early_release: bool = False,
    **database: Any,
) -> dict[str, str]:
    """Return the environment of a process of the project, with the tests' database.

    ``options`` are additional OPTIONS of that database, and ``database`` other settings of it.
    """
    ours = connections[alias].settings_dict
    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    settings = {name: ours[name] for name in names} | database
    settings["NAME"] = str(ours["NAME"])
    settings["OPTIONS"] = ours["OPTIONS"] | (options or {})
    deployment = {"database": settings, "early_release": early_release}
    return {
        "DJANGO_SETTINGS_MODULE": "tests.deployments.settings",
        "DEPLOYMENT": json.dumps(deployment),
        "PYTHONPATH": str(ROOT),
    }


class Program(Server):
    """A program that runs the project as the tests' own user."""

    name = "deployment"

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        super().__init__()
        self.arguments = arguments
        self._environment = dict(environment)

    def owner(self) -> None:
        """Do nothing: the server runs as the user of the tests."""

    def environment(self) -> dict[str, str]:
        """Return the project's settings."""
        return self._environment

    def program(self) -> str:
        """Return Python, which needs no installation."""
        return sys.executable

    def command(self) -> list[str | Path]:
        """Return the command that runs the module with its name."""
        return [self.program(), "-m", self.name, *self.arguments]

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        return listens(self.port)


class Gunicorn(Program):
    """A gunicorn server that runs the project as a WSGI application."""

    name = "gunicorn"
    title = "gunicorn"

    def command(self) -> list[str | Path]:
        """Return the command, with the port."""
        application = "django.core.wsgi:get_wsgi_application()"
        bind = ["--bind", f"{HOST}:{self.port}"]
        options = ["--timeout", str(TIMEOUT), "--no-control-socket"]
        return [*super().command(), *bind, *options, application]


class Uvicorn(Program):
    """A uvicorn server that runs the project as an ASGI application."""

    name = "uvicorn"
    title = "uvicorn"

    def command(self) -> list[str | Path]:
        """Return the command, with the port."""
        bind = ["--host", HOST, "--port", str(self.port), "--no-access-log"]
        return [*super().command(), *bind, "--factory", "django.core.asgi:get_asgi_application"]


def request(port: int, path: str) -> int | str:
    """Return the number in the response, or else the reason why there is none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:  # a server that was killed
        return type(error).__name__
    finally:
        connection.close()
    return int(json.loads(body)["number"]) if response.status == 200 else str(response.status)


def load(server: Program, view: str, codes: Iterable[str]) -> list[Answer]:
    """Send a request for each code, IN_FLIGHT at once; return their answers."""
    with ThreadPoolExecutor(IN_FLIGHT) as clients:
        answers = [
            (code, clients.submit(request, server.port, f"/{view}/{code}")) for code in codes
        ]
        return [(code, answer.result()) for code, answer in answers]


def check_exact(alias: str, answers: Iterable[Answer] = ()) -> set[str]:
    """Check that the rows have 1..n, as their clients were told; return the rows' codes."""
    rows = dict(Plain.objects.using(alias).values_list("code", "number"))
    assert sorted(rows.values()) == list(range(1, len(rows) + 1))
    assert get_last_value("numbered_plain.number", using=alias) == len(rows)
    told = [(code, number) for code, number in answers if isinstance(number, int)]
    assert set(told) <= set(rows.items())
    assert len(dict(told)) == len(told)
    return set(rows)


def on(*aliases: str) -> pytest.MarkDecorator:
    """Mark a test that uses these databases, in real transactions."""
    return pytest.mark.django_db(
        transaction=True, databases=aliases, available_apps=["sequences_core", "tests.numbered"]
    )
