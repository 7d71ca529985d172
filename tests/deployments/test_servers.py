"""The servers of web applications: many requests at once, each answered number is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil
import pytest
from django.db import connections

from sequences_core import get_last_value
from tests.deployments.serving import IN_FLIGHT, Gunicorn, Program, Uvicorn, environment, load
from tests.numbered.models import Plain

THREADS = ("--worker-class", "gthread", "--workers", "2", "--threads", "8")
GEVENT = ("--worker-class", "gevent", "--workers", "2")
POOL: dict[str, Any] = {"options": {"pool": {"min_size": 2, "max_size": 8, "timeout": 60}}}


class Deployment(NamedTuple):
    """How the project is served, with which of Django's settings, and which view is asked."""

    program: Callable[..., Program]
    arguments: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    view: str = "synchronous"


KEPT = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
EARLY = {"early_release": True}
ATOMIC = {"ATOMIC_REQUESTS": True}

DEPLOYMENTS = {
    "postgresql": {
        "gunicorn, threads": Deployment(Gunicorn, THREADS, KEPT),
        "gunicorn, threads, pool": Deployment(Gunicorn, THREADS, POOL | ATOMIC | EARLY),
        "gunicorn, gevent": Deployment(Gunicorn, GEVENT),
        "gunicorn, gevent, pool": Deployment(Gunicorn, GEVENT, POOL | EARLY),
        "uvicorn, pool": Deployment(Uvicorn, (), POOL | ATOMIC | EARLY),
        "uvicorn, coroutines, pool": Deployment(Uvicorn, (), POOL, "asynchronous"),
    },
    "sqlite": {
        "gunicorn, threads": Deployment(Gunicorn, THREADS, KEPT),
        "uvicorn": Deployment(Uvicorn),
        "uvicorn, coroutines": Deployment(Uvicorn, (), {}, "asynchronous"),
    },
}


def on(*aliases: str) -> pytest.MarkDecorator:
    """Mark a test that uses these databases in real transactions."""
    return pytest.mark.django_db(
        transaction=True, databases=aliases, available_apps=["sequences_core", "tests.numbered"]
    )


def check_exact(using: str, codes: list[str], answers: list[int | str]) -> None:
    """Each number that a client was told is there, and all that are there are 1..n."""
    rows = dict(Plain.objects.using(using).values_list("code", "number"))
    assert sorted(rows.values()) == list(range(1, len(rows) + 1))
    assert get_last_value("numbered_plain.number", using=using) == len(rows)
    told = {code: answer for code, answer in zip(codes, answers, strict=True) if isinstance(answer, int)}
    assert told.items() <= rows.items()


@pytest.mark.parametrize(
    ("alias", "deployment"),
    [
        pytest.param(using, deployment, marks=on(using), id=f"{using}: {name}")
        for using, deployments in DEPLOYMENTS.items()
        for name, deployment in deployments.items()
    ],
)
def test_requests_in_flight(alias: str, deployment: Deployment) -> None:
    """Of requests that come all at once, each is answered, and a fifth of them rolls back."""
    program, arguments, settings, view = deployment
    codes = [f"{i % (IN_FLIGHT * 4 // 5)}" for i in range(IN_FLIGHT)]
    with program(environment(alias, **settings), *arguments) as server:
        answers = load(server, view, codes)
    assert sum(isinstance(answer, int) for answer in answers) == len(set(codes))
    assert answers.count("409") == len(codes) - len(set(codes))
    check_exact(alias, codes, answers)
