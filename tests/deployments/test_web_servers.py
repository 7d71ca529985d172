"""The servers of web applications: many requests at once, each answered number is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.deployments.serving import (
    IN_FLIGHT,
    PATIENCE,
    Gunicorn,
    Program,
    Uvicorn,
    check_exact,
    environment,
    load,
    on,
)

THREADS = ("--worker-class", "gthread", "--workers", "2", "--threads", "8")
GEVENT = ("--worker-class", "gevent", "--workers", "2")

POOL: dict[str, Any] = {"options": {"pool": {"min_size": 2, "max_size": 8, "timeout": PATIENCE}}}
EARLY = {"early_release": True}
ATOMIC = {"ATOMIC_REQUESTS": True}
KEPT = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


class Deployment(NamedTuple):
    """How the project is served, with which of Django's settings, and which view is asked."""

    program: Callable[..., Program]
    arguments: tuple[str, ...] = ()
    settings: dict[str, Any] = {}
    view: str = "synchronous"


DEPLOYMENTS = {
    "postgresql": {
        "gunicorn, threads": Deployment(Gunicorn, THREADS, KEPT),
        "gunicorn, threads, pool": Deployment(Gunicorn, THREADS, POOL | ATOMIC | EARLY),
        "gunicorn, gevent": Deployment(Gunicorn, GEVENT),
        "gunicorn, gevent, pool": Deployment(Gunicorn, GEVENT, POOL | EARLY),
        "uvicorn, pool": Deployment(Uvicorn, (), POOL | ATOMIC | EARLY),
        "uvicorn, coroutines, pool": Deployment(Uvicorn, (), POOL | EARLY, "asynchronous"),
    },
    "sqlite": {
        "gunicorn, threads": Deployment(Gunicorn, THREADS, KEPT),
        "uvicorn, coroutines": Deployment(Uvicorn, (), {}, "asynchronous"),
    },
}

# A fifth of them is of a code that another one has, so that its transaction rolls back.
CODES = [f"{i % (IN_FLIGHT * 4 // 5)}" for i in range(IN_FLIGHT)]


@pytest.mark.parametrize(
    ("alias", "deployment"),
    [
        pytest.param(alias, deployment, marks=on(alias), id=f"{alias}: {name}")
        for alias, deployments in DEPLOYMENTS.items()
        for name, deployment in deployments.items()
    ],
)
def test_requests_in_flight(alias: str, deployment: Deployment) -> None:
    """Requests that come all at once are all answered, and a rollback among them leaves no gap."""
    program, arguments, settings, view = deployment
    with program(environment(alias, **settings), *arguments) as server:
        answers = load(server, view, CODES)
    check_exact(alias, answers)
    assert {code for code, answer in answers if isinstance(answer, int)} == set(CODES)
    assert [answer for _, answer in answers].count("409") == len(CODES) - len(set(CODES))


@on("sqlite")
def test_greenlets_of_a_driver_that_blocks() -> None:
    """A greenlet that waits for the lock blocks its process, in which another one holds the lock.

    So requests fail that gevent's workers run at once. What is committed is exact all the same.
    """
    settings = environment("sqlite", options={"timeout": 1}) | {"LOCKED": "0.5"}
    codes = [str(i) for i in range(5)]
    with Gunicorn(settings, "--worker-class", "gevent") as server:
        answers = load(server, "synchronous", codes)
    check_exact("sqlite", answers)
    assert "500" in [answer for _, answer in answers]


@on("postgresql")
def test_workers_that_were_forked_from_a_master_with_a_pool() -> None:
    """The master closes its pool before it forks, and each worker opens its own."""
    settings = environment("postgresql", **(POOL | EARLY))
    options = ("--config", "python:tests.deployments.preloaded", *THREADS)
    with Gunicorn(settings, *options) as server:
        answers = load(server, "synchronous", CODES)
    assert check_exact("postgresql", answers) >= {"master", *CODES}
    assert {code for code, answer in answers if isinstance(answer, int)} == set(CODES)


@pytest.mark.parametrize(
    ("alias", "settings"),
    [
        pytest.param("postgresql", POOL | EARLY, marks=on("postgresql"), id="postgresql, pool"),
        pytest.param("sqlite", {}, marks=on("sqlite"), id="sqlite"),
    ],
)
def test_a_worker_is_killed(alias: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Requests in a process that dies are lost, and no number with them; they can be repeated."""
    codes = [str(i) for i in range(IN_FLIGHT)]
    codes[IN_FLIGHT // 3] = "dies"
    variables = environment(alias, **settings) | {"DEAD": str(tmp_path / "dead")}
    with Gunicorn(variables, *THREADS) as server:
        answers = load(server, "synchronous", codes)
        lost = [code for code, answer in answers if not isinstance(answer, int)]
        assert "dies" in lost
        # These need the counter, so that afterwards no COMMIT of the dead process is on its way.
        again = load(server, "synchronous", lost)
    rows = check_exact(alias, [*answers, *again])
    assert rows == set(codes) | {f"{code}, second row" for code in codes}
