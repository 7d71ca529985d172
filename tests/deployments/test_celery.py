"""Celery's prefork pool: processes are killed while they run tasks, which are delivered again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.serving import TIMEOUT, Program, check_exact, environment, on
from tests.distributions import run
from tests.servers.errors import wait_until

TASKS = 40
DEATHS = {"before the commit": 3, "after the commit": 3}

WORKER = ("worker", "--concurrency", "3", "--loglevel", "INFO")

SEND = """
import json, sys
import django
django.setup()
import tests.deployments.celery_app
from tests.deployments.tasks import issue
for code, dies in json.loads(sys.argv[1]):
    issue.delay(code, dies)
"""

POOL: dict[str, Any] = {"options": {"pool": {"min_size": 1, "max_size": 2}}, "early_release": True}


class Worker(Program):
    """A Celery worker with several processes."""

    name = "celery"
    title = "Celery's worker"

    def answers(self) -> bool:
        """Return whether it has reported that it is ready."""
        return " ready." in self.log.read_text()


@pytest.mark.parametrize(
    ("alias", "settings"),
    [
        pytest.param("postgresql", POOL, marks=on("postgresql"), id="postgresql, pool"),
        pytest.param("sqlite", {}, marks=on("sqlite"), id="sqlite"),
    ],
)
def test_killed_tasks(alias: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """If a process is killed before or after its COMMIT, the repeated task has one row."""
    codes = [str(i) for i in range(TASKS)]
    deaths = [where for where, count in DEATHS.items() for _ in range(count)]
    tasks = list(zip(codes, deaths + [""] * (TASKS - len(deaths)), strict=True))
    (tmp_path / "messages").mkdir()
    variables = {**environment(alias, **settings), "FOLDER": str(tmp_path)}
    run(sys.executable, "-c", SEND, json.dumps(tasks), cwd=None, **variables)
    with Worker(variables, "-A", "tests.deployments.celery_app", *WORKER):

        def all_done() -> bool:
            return len(list(tmp_path.glob("done-*"))) == TASKS

        wait_until(all_done, "The tasks were not done", TIMEOUT)
    assert len(list(tmp_path.glob("killed-*"))) == len(deaths)
    assert check_exact(alias) == set(codes)
