"""A process that numbers documents is killed: whole batches are left, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

from django.db import connections
from sequences_contrib.posting import assign_numbers

from sequences_core import get_last_value
from tests.numbered.models import Delivery

APPS = ["tests.numbered"]

KILLS = int(os.environ.get("KILLS", "3"))
"""How many workers are killed."""

DRAFTS, BATCH = 300, 20

WORKER = f"""
import os, sys

import django
from django.db import connections

alias, name = sys.argv[1:]
django.setup()
connections[alias].settings_dict["NAME"] = name

from sequences_contrib.posting import assign_numbers
from tests.numbered.models import Delivery

print("ready", flush=True)
sys.stdin.readline()
assign_numbers(
    Delivery.objects.using(alias).all(),
    batch_size={BATCH},
    progress=lambda done, total: print(done, flush=True),
)
"""


def start(using: str) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, using, str(connections[using].settings_dict["NAME"])],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def test_workers_are_killed(using: str) -> None:
    """At whatever time a worker is killed, there are no gaps and no duplicates at the end."""
    rows = Delivery.objects.using(using)
    chance = random.Random()
    cut_short = 0
    for _ in range(KILLS):
        rows.bulk_create([Delivery() for _ in range(DRAFTS)])
        rows.filter(number=None).update(posted=True)
        left = rows.filter(number=None).count()
        with start(using) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            for _ in range(chance.randrange(0, left // BATCH // 2)):
                worker.stdout.readline()
            time.sleep(chance.random() * 0.005)  # not to be in step with its batches
            worker.send_signal(signal.SIGKILL)
            worker.wait(60)
        cut_short += rows.filter(number=None).exists()
        # An inline taker waits for what the server still does for the dead one.
        taken = rows.create(posted=True).number
        numbers = sorted(rows.filter(number__isnull=False).values_list("number", flat=True))
        assert numbers == list(range(1, len(numbers) + 1))
        assert taken == len(numbers)
    print(f"{cut_short} of {KILLS} workers were killed before the end")
    assert cut_short
    assign_numbers(rows.all())
    numbers = list(rows.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, KILLS * (DRAFTS + 1) + 1))
    assert get_last_value("deliveries", using=using) == len(numbers)
