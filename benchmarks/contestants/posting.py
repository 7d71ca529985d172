"""Ways to number documents: when they are written, or when they are posted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from django.db.models import Model
from sequences import get_next_value
from sequences_contrib.posting import assign_numbers

from benchmarks.contestants.base import Contestant
from benchmarks.contestants.ours import Ours
from benchmarks.contestants.peers import DjangoSequences
from benchmarks.models import Posted, PostedByHand

DAY = date(2026, 4, 1)
ORDER = ("issued_on", "pk")
EVERY = 0.05
"""Seconds that the worker sleeps between two rounds."""

VALUES: dict[str, Any] = {"company": 1, "issued_on": DAY}


def post(model: type[Model] = Posted, **chosen: Any) -> None:
    """Post all drafts, and number them."""
    drafts = model._default_manager.filter(number=None, **chosen)
    drafts.filter(posted=False).update(posted=True)
    assign_numbers(drafts, order_by=ORDER)


class Inline(Ours):
    """SequenceField, whose row is posted when it is written."""

    name = "SequenceField, inline"
    kind = "ours"
    in_transaction = False
    special = True

    def models(self) -> Iterable[type[Model]]:
        return [Posted]

    def numbers(self) -> Iterable[tuple[str, int]]:
        for company, number in Posted.objects.values_list("company", "number"):
            yield f"posted.{company}", number

    def create(self, scope: str) -> None:
        Posted.objects.create(**VALUES, posted=True)


class Drafts(Inline):
    """Drafts that stay without numbers: what the others are compared with."""

    name = "drafts without numbers"
    kind = "price"
    gapless = False

    def create(self, scope: str) -> None:
        Posted.objects.create(**VALUES)


class Later(Drafts):
    """The same drafts, with a worker beside the writers that posts and numbers them."""

    name = f"assign_numbers, every {EVERY * 1e3:.0f} ms"
    kind = "ours"
    gapless = True


class Worker(Inline):
    """That worker."""

    name = "worker"
    stores_rows = False

    def issue(self, scope: str, *, rollback: bool = False) -> None:
        if not rollback:  # which fills caches
            time.sleep(EVERY)
            post(company=1)


class DjangoSequencesInline(DjangoSequences):
    """django-sequences, likewise."""

    special = True

    def __init__(self) -> None:
        super().__init__()
        self.name += ", inline"

    def models(self) -> Iterable[type[Model]]:
        return [Posted]

    numbers = Inline.numbers

    def create(self, scope: str) -> None:
        PostedByHand.objects.create(**VALUES, posted=True, number=get_next_value(scope))


def everyone() -> Iterator[Contestant]:
    """All of them."""
    yield from (Drafts(), Later(), Inline(), DjangoSequencesInline(), Worker())


EVERYONE = [one.name for one in everyone()]
