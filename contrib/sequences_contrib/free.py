"""Numbers that no row has: below the counter (``reuse``) or above it (``skip_used``)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import Count, Exists, Max, OuterRef, QuerySet

from sequences_core import SequenceExhausted
from sequences_core.arguments import MAX_VALUE
from sequences_core.locking import store

from .periods import Period
from .scopes import CHOICES, path_of

if TYPE_CHECKING:
    from .counters import Numbering


def reusable(field: Numbering, others: QuerySet[Any], explicit: Collection[int]) -> Iterator[int]:
    """Yield the numbers that a field with ``reuse`` can assign, in ascending order."""
    if field.reuse == "gaps":
        return _gaps(field, others, field.first)
    highest = others.aggregate(highest=Max(field.attname))["highest"]
    known = [field.first - 1, *explicit] + ([] if highest is None else [highest])
    return count(max(known) + 1)


def unused(field: Numbering, others: QuerySet[Any], start: int) -> Iterator[int]:
    """Yield the numbers from ``start`` on that no row has."""
    return _gaps(field, others, start)


def is_used(field: Numbering, others: QuerySet[Any], numbers: Sequence[int]) -> bool:
    """Return whether a row of the counter has one of these numbers: a range of one index."""
    used = others.filter(**{f"{field.attname}__range": (numbers[0], numbers[-1])})
    return any(
        rows.values_list(field.attname, flat=True)[:1] for rows in _until_locked(used, others.db)
    )


def pick(
    field: Numbering, free: Iterator[int], others: QuerySet[Any], n: int, explicit: Collection[int]
) -> list[int]:
    """Return the first ``n`` free numbers that no row has and that are not in ``explicit``.

    The counter must be locked.

    :raises SequenceExhausted: there are fewer free numbers.
    """
    numbers: list[int] = []
    while missing := n - len(numbers):
        chosen = list(islice(free, min(missing, CHOICES)))
        if chosen[-1] > MAX_VALUE:  # which a query can't contain
            raise SequenceExhausted(f"the next number of {field} would pass {MAX_VALUE}")
        found = others.filter(**{f"{field.attname}__in": chosen})
        used = set(explicit)
        for rows in _until_locked(found, others.db):
            used.update(rows.values_list(field.attname, flat=True))
        numbers += [number for number in chosen if number not in used]
    return numbers


def _until_locked(rows: QuerySet[Any], using: str) -> Iterator[QuerySet[Any]]:
    """Yield the queries that together return all rows that were committed before the lock.

    These are rows of a counter that is locked. At READ COMMITTED, each query sees what is
    committed. A snapshot can be older than the lock: then PostgreSQL and Oracle have raised an
    error when the counter was locked; on MySQL and MariaDB, only a locking read returns the rows
    (https://dev.mysql.com/doc/refman/8.4/en/innodb-consistent-read.html).

    The locking read must not wait. InnoDB locks the index entry of a number before its row, and
    keeps the lock of a row of another counter if it has waited for it, but an UPDATE or DELETE
    locks the row first. So at READ COMMITTED, which a transaction may override for itself, it skips
    rows that others have locked.
    """
    yield rows
    connection: Any = connections[using]
    if connection.vendor == "mysql":
        skip = connection.features.has_select_for_update_skip_locked
        yield rows.select_for_update(
            skip_locked=skip and connection.isolation_level == "read committed"
        )


def move(name: str, last: int, taken: range, using: str) -> None:
    """Set the locked counter, which is at the last number taken, to ``last``."""
    if last != taken[-1]:
        store(using, name, last)


def _gaps(field: Numbering, rows: QuerySet[Any], start: int) -> Iterator[int]:
    """Yield the numbers from ``start`` on that no row has, using the index of the number."""
    attname = field.attname
    following = rows.filter(**{attname: OuterRef(attname) + 1})
    ends = rows.filter(~Exists(following)).order_by(attname).values_list(attname, flat=True)
    begins = rows.order_by(attname).values_list(attname, flat=True)
    # Most often there is no gap, and COUNT() proves that much faster than a search for one. If two
    # rows can have the same number, only the slower COUNT(DISTINCT) does.
    every = Count(attname, distinct=not _is_unique(field))
    known = rows.filter(**{f"{attname}__gte": start}).aggregate(n=every, last=Max(attname))
    if known["n"] and known["last"] - start + 1 == known["n"]:
        start += known["n"]
    while (used := begins.filter(**{f"{attname}__gte": start}).first()) is not None:
        yield from range(start, used)
        # Rows that were found may be deleted before the next query; then their numbers are free.
        end = ends.filter(**{f"{attname}__gte": used}).first()
        start = used if end is None else end + 1
    yield from count(start)


def _is_unique(field: Any) -> bool:
    """Return whether a constraint prevents that two rows of a counter have the same number."""
    options = field.model._meta
    # Days of one period and rows at the start of a path have one counter, but are different values.
    parts = [part for part in field.scope_parts if not isinstance(part, Period)]
    names = {field.name, *map(path_of, parts)}
    known = [*options.unique_together, *(one.fields for one in options.total_unique_constraints)]
    one_of = (field.name in each and names.issuperset(each) for each in known)
    return bool(field.unique or any(one_of))
