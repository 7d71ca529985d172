"""The project's Celery, whose messages are files."""

import os
from pathlib import Path

from celery import Celery

FOLDER = Path(os.environ["FOLDER"])
"""Where the broker keeps its messages, and the tasks leave word of what they did."""

app = Celery("deployments", include=["tests.deployments.tasks"])
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(FOLDER / "messages"),
        "data_folder_out": str(FOLDER / "messages"),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.05,
    },
    # A task whose process died is delivered again: by default it is lost.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=10,  # the broker is asked once a second
    worker_lost_wait=0.5,  # seconds, of 10, for what a process may have said before it died
)
