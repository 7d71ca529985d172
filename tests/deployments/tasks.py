"""The project's tasks, which are delivered again when a worker has died over one."""

import os
import signal

from celery import shared_task

from sequences_core import retry_atomic
from tests.deployments.celery_app import FOLDER
from tests.numbered.models import Plain


def die_once(code: str, wanted: str, here: str) -> None:
    """End this process by SIGKILL, if this is where it is to die and it hasn't yet."""
    killed = FOLDER / f"killed-{code}"
    if wanted == here and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task  # type: ignore[untyped-decorator] # of Celery, which has no types
def issue(code: str, dies: str = "") -> None:
    """Insert the row of a code, once however often the task is delivered."""
    insert_once(code, dies)
    die_once(code, dies, "after the commit")
    (FOLDER / f"done-{code}").touch()


@retry_atomic()
def insert_once(code: str, dies: str) -> None:
    """Insert it unless it is there: the task is known by its unique code."""
    if not Plain.objects.filter(code=code).exists():
        Plain.objects.create(code=code)
        die_once(code, dies, "before the commit")
