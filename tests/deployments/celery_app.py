"""The Celery app of the project, whose broker is a folder."""

import os
from pathlib import Path

from celery import Celery

FOLDER = Path(os.environ["FOLDER"])
"""The folder of the broker's messages and of the files that the tasks write."""

app = Celery("deployments", include=["tests.deployments.tasks"])
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(FOLDER / "messages"),
        "data_folder_out": str(FOLDER / "messages"),
        "control_folder": str(FOLDER / "control"),
        "polling_interval": 0.05,
    },
    # A task whose process died is delivered again, which isn't the default.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=10,  # because the broker is polled once a second
    worker_lost_wait=0.5,  # seconds to wait for a dead process's result, instead of 10
)
