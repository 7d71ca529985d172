"""The project's tasks, which are delivered again after the death of a worker."""

import os
import signal

from celery import shared_task

from sequences_core import retry_atomic
from tests.deployments.celery_app import FOLDER
from tests.numbered.models import Plain


def die_once(code: str, wanted: str, here: str) -> None:
    """Kill this process with SIGKILL, the first time that the code is due to die at this point."""
    killed = FOLDER / f"killed-{code}"
    if wanted == here and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task  # type: ignore[untyped-decorator] # of Celery, which has no types
def issue(code: str, dies: str = "") -> None:
    """Insert the row of a code exactly once, however often the task is delivered."""
    insert_once(code, dies)
    die_once(code, dies, "after the commit")
    (FOLDER / f"done-{code}").touch()


@retry_atomic()
def insert_once(code: str, dies: str) -> None:
    """Insert the row unless it exists: its unique code identifies the task."""
    if not Plain.objects.filter(code=code).exists():
        Plain.objects.create(code=code)
        die_once(code, dies, "before the commit")
