"""The programs that run the project, clients that send many requests at once, and the outcome."""

from __future__ import annotations

import http.client
import json
import signal
import socket
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
from tests.servers.ports import HOST

ROOT = Path(__file__).parents[2]

Answer = tuple[str, int | str]
"""A code, and the number that the server answered with, or else why there is none."""

IN_FLIGHT = 200
"""How many requests are sent before the first of them is answered."""

PATIENCE = 60
"""Seconds in which each of them is answered."""


def environment(
    alias: str,
    *,
    options: Mapping[str, Any] | None = None,
    early_release: bool = False,
    **database: Any,
) -> dict[str, str]:
    """Return the environment of a process of the project, on the tests' database.

    ``options`` are additional OPTIONS of that, and ``database`` other settings of it.
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
    """A program that runs the project, as the tests' own user."""

    name = "deployment"
    stop_signal = signal.SIGTERM

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        super().__init__()
        self.arguments = arguments
        self._environment = dict(environment)

    def prepare(self) -> None:
        """Do nothing, because nothing needs to be prepared."""

    def install(self) -> None:
        """Do nothing, because it is already installed."""

    def initialise(self, data: Path) -> None:
        """Do nothing, because it has no data."""

    def owner(self) -> None:
        """Do nothing: the server runs as the user of the tests."""

    def environment(self) -> dict[str, str]:
        """The project's settings."""
        return self._environment

    @property
    def version(self) -> str:
        """Nobody asks."""
        return ""

    @property
    def url(self) -> str:
        """Where it is, if it is anywhere."""
        return f"http://{HOST}:{self.port}/"

    def command(self) -> list[str | Path]:
        """Python runs the module of its name."""
        return [sys.executable, "-m", self.name, *self.arguments]

    def answers(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


class Gunicorn(Program):
    """gunicorn, with the project as a WSGI application."""

    name = "gunicorn"
    title = "gunicorn"

    def command(self) -> list[str | Path]:
        """It listens on our port."""
        application = "django.core.wsgi:get_wsgi_application()"
        bind = ["--bind", f"{HOST}:{self.port}"]
        options = ["--timeout", str(PATIENCE), "--no-control-socket"]
        return [*super().command(), *bind, *options, application]


class Uvicorn(Program):
    """uvicorn, with the project as an ASGI application."""

    name = "uvicorn"
    title = "uvicorn"

    def command(self) -> list[str | Path]:
        """It listens on our port."""
        bind = ["--host", HOST, "--port", str(self.port), "--no-access-log"]
        return [*super().command(), *bind, "--factory", "django.core.asgi:get_asgi_application"]


def request(port: int, path: str) -> int | str:
    """Return the number that the server answers with, or else why there is none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:  # of a server that was killed
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
    """Check that all rows have 1..n, those that clients were told of too; return their codes."""
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
