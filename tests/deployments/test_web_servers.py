"""Web servers: after many parallel requests, the table contains the number in each response."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.deployments.serving import (
    IN_FLIGHT,
    TIMEOUT,
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

POOL: dict[str, Any] = {"options": {"pool": {"min_size": 2, "max_size": 8, "timeout": TIMEOUT}}}
EARLY = {"early_release": True}
ATOMIC = {"ATOMIC_REQUESTS": True}
KEPT = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


class Deployment(NamedTuple):
    """A way to serve the project: the server, Django's settings, and the view."""

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

# One request in five has the code of another one, so that its transaction rolls back.
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
    """All parallel requests get a response, and rollbacks among them leave no gap."""
    program, arguments, settings, view = deployment
    with program(environment(alias, **settings), *arguments) as server:
        answers = load(server, view, CODES)
    check_exact(alias, answers)
    assert {code for code, answer in answers if isinstance(answer, int)} == set(CODES)
    assert [answer for _, answer in answers].count("409") == len(CODES) - len(set(CODES))


@on("sqlite")
def test_greenlets_of_a_driver_that_blocks() -> None:
    """A greenlet that waits for the lock blocks its process, where another greenlet holds the lock.

    So requests fail that gevent's workers run at the same time. Committed numbers are exact.
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
    """Requests in a killed process are lost without their numbers, and can be repeated."""
    codes = [str(i) for i in range(IN_FLIGHT)]
    codes[IN_FLIGHT // 3] = "dies"
    variables = environment(alias, **settings) | {"DEAD": str(tmp_path / "dead")}
    with Gunicorn(variables, *THREADS) as server:
        answers = load(server, "synchronous", codes)
        lost = [code for code, answer in answers if not isinstance(answer, int)]
        assert "dies" in lost
        # These wait for the counter, and so for the last COMMIT of the dead process.
        again = load(server, "synchronous", lost)
    rows = check_exact(alias, [*answers, *again])
    assert rows == set(codes) | {f"{code}, second row" for code in codes}
