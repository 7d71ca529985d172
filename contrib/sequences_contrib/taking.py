"""Taking numbers from the counter of a field, and moving it, in the transaction that is open.

Each function locks the counter before it reads a row of the field's model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from django.db.models import Model

from sequences_core import Allocation, SequenceExhausted, get_last_value, set_last_value
from sequences_core.arguments import MAX_VALUE
from sequences_core.locking import store
from sequences_core.taking import take

from . import free
from .counters import in_order_of_insertion


def take_numbers(
    field: Any, rows: list[Any], name: str, using: str, explicit: set[int]
) -> Iterable[int]:
    """Take a number from a counter for each of the rows.

    :param explicit: the numbers that other rows of the same statement bring with them.
    """
    if field.reset_value is not None:  # A block can't contain the restart.
        return [take(field.allocation(row, name), using)[0] for row in rows]
    if field.reuse:
        return _reuse(field, rows, name, using, explicit)
    taken = take(field.allocation(rows[0], name, len(rows)), using)
    if not field.skip_used:
        return taken
    skips = [field.skips_used(row) for row in rows]  # map() would hide a StopIteration
    if not any(skips):
        return taken
    others = field.rows_of(rows[0], using)
    if not free.is_used(field, others, taken):
        return taken
    numbers = free.pick(field, free.unused(field, others, taken[0]), others, len(rows), ())
    free.move(name, numbers[-1], taken, using)
    return numbers


def _reuse(field: Any, rows: list[Any], name: str, using: str, explicit: set[int]) -> list[int]:
    """Return numbers that no row has, and move the counter accordingly."""
    taken = take(field.allocation(rows[0], name), using)
    others = field.rows_of(rows[0], using)
    choice = free.reusable(field, others, explicit)
    numbers = free.pick(field, choice, others, len(rows), explicit)
    last = numbers[-1]
    if field.reuse == "gaps":  # A gap is below the counter, which must not be lowered to it.
        last = max(last, taken[0] - 1)
    free.move(name, last, taken, using)
    return numbers


def lock_counter(field: Any, row: Model, name: str, using: str) -> None:
    """Lock the counter and leave its last number as it is; create the counter if there is none."""
    with suppress(SequenceExhausted):  # The counter may be at the highest number.
        # With its reset_value, the sequence might restart.
        allocation = replace(field.allocation(row, name), reset_value=None)
        store(using, name, take(allocation, using)[0] - 1)


def lock_counters(counters: Mapping[str, tuple[Any, Any]], model: type[Model], using: str) -> None:
    """Lock counters in the order in which saving a row of the model locks them.

    Each model's counters are locked in name order, but those of a parent model before others.

    :param counters: by name, a field that the counter numbers, and a row.
    """
    order = in_order_of_insertion(model)
    for name in sorted(counters, key=lambda name: (order.index(counters[name][0].model), name)):
        lock_counter(*counters[name], name, using)


def pass_number(field: Any, row: Model, name: str, number: int, using: str) -> None:
    """Increase the counter to an explicit number, unless it is higher or will start higher.

    :raises ValueError: the number is higher than any database can store.
    """
    if number > MAX_VALUE:
        raise ValueError(f"{field}: the number {number} is above {MAX_VALUE}")
    if get_last_value(name, using=using) is None:
        initial = field.initial_value
        if number < (initial(row) if callable(initial) else initial):
            if field.ascending:  # The first number's date will be compared with this row's date.
                lock_counter(field, row, name, using)
            return
    if field.limit is None or number < 0:
        with suppress(ValueError):  # The counter is higher already, or the number is negative.
            set_last_value(number, name, using=using)
        return
    # Only take() limits the wait for the counter. It locks the counter, which can then be lowered.
    with suppress(SequenceExhausted):
        last = take(Allocation(name, timeout=field.limit), using)[0] - 1
        store(using, name, max(number, last))
