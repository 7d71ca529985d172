"""Ways to number documents: when they are created, or when they are posted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from typing import Any

from django.db import connection
from sequences import get_last_value as get_peers_last_value
from sequences import get_next_value as get_peers_next_value
from sequences.models import Sequence
from sequences_contrib.posting import assign_numbers

from benchmarks.contestants.base import ONE, Contestant
from benchmarks.models import Posted, PostedByHand
from sequences_core import get_last_value
from sequences_core.models import Counter

ORDER = ("issued_on", "pk")
EVERY = 0.05
"""Seconds between two rounds of the worker."""

VALUES: dict[str, Any] = {"company": ONE, "issued_on": date(2026, 4, 1)}


def post() -> None:
    """Post all drafts of the company, and number them."""
    drafts = Posted.objects.filter(number=None, company=ONE)
    drafts.filter(posted=False).update(posted=True)
    assign_numbers(drafts, order_by=ORDER)


def work(scope: str) -> None:
    """Wait, then post all drafts; do nothing in the transaction that only warms caches."""
    if not connection.in_atomic_block:
        time.sleep(EVERY)
        post()


def draft(scope: str) -> None:
    Posted.objects.create(**VALUES)


def inline(scope: str) -> None:
    """Create a document that is already posted."""
    Posted.objects.create(**VALUES, posted=True)


def inline_by_peer(scope: str) -> None:
    number = get_peers_next_value(scope)
    PostedByHand.objects.create(**VALUES, posted=True, number=number)


def last(scope: str) -> int | None:
    return get_last_value(f"posted.{scope}")


DRAFTS, LATER, WORKER = "drafts without numbers", "assign_numbers, every 50 ms", "worker"
INLINE, PEER = "SequenceField, inline", "django-sequences, inline"
NAMES = (DRAFTS, LATER, INLINE, PEER)


def everyone() -> Iterator[Contestant]:
    """Yield the contestants of the question Posting."""
    usual: Any = {"models": (Posted, Counter), "special": True, "in_transaction": False}
    yield Contestant(DRAFTS, "price", draft, gapless=False, **usual)
    yield Contestant(LATER, "ours", draft, last=last, **usual)
    yield Contestant(WORKER, "ours", work, **usual)
    yield Contestant(INLINE, "ours", inline, last=last, **usual)
    usual = {"models": (Posted, Sequence), "special": True, "last": get_peers_last_value}
    yield Contestant(PEER, "peer", inline_by_peer, **usual)
