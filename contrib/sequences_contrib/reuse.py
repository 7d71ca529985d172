"""Numbers of deleted rows, given again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Exists, Max, Model, OuterRef, QuerySet

from sequences_core import SequenceExhausted
from sequences_core.api import take
from sequences_core.arguments import MAX_VALUE
from sequences_core.models import Counter

if TYPE_CHECKING:
    from .fields import SequenceField

CHOICES = 500
"""How many numbers are looked at in one query, which SQLite wants bounded."""


def free_numbers(
    field: SequenceField, rows: list[Model], name: str, using: str, explicit: Collection[int]
) -> list[int]:
    """Take free numbers; the counter is locked before its rows are looked at.

    ``explicit`` are the numbers of rows that the same statement is about to store.
    """
    # Taking locks the counter as any taker does, with the field's bound on the wait. Where the
    # counter ends is known only below.
    taken = take(field.allocation(rows[0], name), using)[0]
    others = field.rows_of(rows[0], using)
    gaps = field.reuse == "gaps"
    free = _gaps(others, field) if gaps else _after_the_last(others, field, explicit)
    numbers: list[int] = []
    while missing := len(rows) - len(numbers):
        chosen = list(islice(free, min(missing, CHOICES)))
        # A locking read sees what is committed, also where the snapshot is older than the lock.
        found = others.select_for_update().filter(**{f"{field.attname}__in": chosen})
        used = {*explicit, *found.values_list(field.attname, flat=True)}
        numbers += [number for number in chosen if number not in used]
    last = max(taken - 1, numbers[-1]) if gaps else numbers[-1]
    if last > MAX_VALUE:
        raise SequenceExhausted(f"{len(rows)} more of sequence {name!r} would pass {MAX_VALUE}")
    if last != taken:
        Counter.objects.using(using).filter(pk=name).update(last=last)
    return numbers


def _after_the_last(
    rows: QuerySet[Any], field: SequenceField, explicit: Collection[int]
) -> Iterator[int]:
    """Yield the numbers above all rows'."""
    highest = rows.aggregate(highest=Max(field.attname))["highest"]
    known = [field.first - 1, *explicit] + ([] if highest is None else [highest])
    return count(max(known) + 1)


def _gaps(rows: QuerySet[Any], field: SequenceField) -> Iterator[int]:
    """Yield the numbers that no row has, the lowest first; walks the number's index."""
    attname = field.attname
    following = rows.filter(**{attname: OuterRef(attname) + 1})
    ends = rows.filter(~Exists(following)).order_by(attname).values_list(attname, flat=True)
    begins = rows.order_by(attname).values_list(attname, flat=True)
    start = field.first
    # Counting an index is much faster than looking for a gap that isn't there.
    known = rows.filter(**{f"{attname}__gte": start}).aggregate(n=Count("pk"), last=Max(attname))
    if known["n"] and known["last"] - start + 1 == known["n"]:
        start += known["n"]
    while (used := begins.filter(**{f"{attname}__gte": start}).first()) is not None:
        yield from range(start, used)
        start = ends.filter(**{f"{attname}__gte": used})[:1].get() + 1
    yield from count(start)
