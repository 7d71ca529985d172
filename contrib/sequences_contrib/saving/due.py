"""Locking the counters of a row that is stored already, and then the row.

Everything in this package locks counters before rows, to prevent deadlocks. Which counters a row
needs depends on its values, which others may change before the row is locked. Then the locks must
be released, and everything begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import Any

from django.db import OperationalError, connections

from sequences_core.taking import in_users_transaction

from ..counters import sequence_fields, tables_of
from ..expressions import is_expression
from ..scopes import rows_in
from ..taking import lock_counters
from ..transactions import savepoint
from .memory import is_set
from .rollbacks import database_of
from .row_values import copy_of

TRIES = 20
"""How often to try again if others change a row before it is locked."""

LOCKED = "sequences_locked"
"""The attribute of ``instance._state`` that tells ``save()`` that the row is locked already."""

HELD = "sequences_held"
"""The attribute of ``instance._state`` with the names of the counters that ``save()`` has locked in
a transaction of its own."""

Counters = Mapping[str, tuple[Any, Any]]
"""Counters by name, each with a field and a row."""


class Moved(Exception):
    """Others have changed the row, so that it needs other counters than those that are locked."""


@contextmanager
def locked(
    row: Any,
    using: str,
    counters_of: Callable[[Any], Counters],
    lock: Callable[[], Any],
) -> Iterator[Any]:
    """Lock the counters of a row and then the row, in a transaction or savepoint; yield the row.

    :param counters_of: a function of the stored row, or of None, that returns its counters.
    :param lock: a function that locks the row and returns it as it is stored then.
    """
    model = type(row)
    # On SQLite, a transaction that reads before it writes can fail.
    stored = rows_in(model, using).filter(pk=row.pk).first()
    for _ in range(TRIES):
        counters = counters_of(stored)
        with suppress(Moved), savepoint(using):
            lock_counters(counters, model, using)
            stored = lock()
            if not counters_of(stored).keys() <= counters.keys():
                raise Moved
            yield stored
            return
    raise changed_too_often(row)


def due_counters(
    row: Any, using: str, update_fields: Iterable[str] | None, stored: Any
) -> Counters:
    """Return the counters of the numbers that the row will get when it is saved, or that were set.

    :param stored: the row as it is stored, or None.
    """
    fields = sequence_fields(type(row))
    if stored is None:
        return {}
    changed = [field for field in fields if is_changed(field, row, using, update_fields, stored)]
    new = [field for field in fields if field.when and getattr(stored, field.attname) is None]
    if not changed and not new:
        return {}
    saved = copy_of(stored)
    apply_values(row, saved, update_fields)
    new = [field for field in new if field.is_due(saved, connections[using])]
    names = [(field.counter_of(saved, using), field) for field in {*changed, *new}]
    return {name: (field, saved) for name, field in names if name}


def is_changed(
    field: Any, row: Any, using: str, update_fields: Iterable[str] | None, stored: Any = None
) -> bool:
    """Return whether ``save()`` stores another number that somebody has set on the row."""
    number = row.__dict__.get(field.attname)
    if number is None or is_expression(number) or number == getattr(stored, field.attname, None):
        return False
    is_saved = update_fields is None or {field.name, field.attname} & set(update_fields)
    return bool(is_saved) and is_set(row, field, number, using)


def lock_due(row: Any, using: str, update_fields: Iterable[str] | None) -> None:
    """Lock the counters of the numbers that ``save()`` will take or change, and then the row.

    With multi-table inheritance, ``save()`` updates the row of a parent model before it numbers
    that of the child.

    :raises Moved: ``save()`` has to begin again, because it has opened the transaction.
    """
    model, held = type(row), getattr(row._state, HELD, None)
    numbers = sequence_fields(model)
    may_lock = any(each.when or is_changed(each, row, using, update_fields) for each in numbers)
    if not may_lock or hasattr(row._state, LOCKED):
        return
    counters_of = partial(due_counters, row, using, update_fields)
    counters = counters_of(rows_in(model, using).filter(pk=row.pk).first())
    if not counters or (held is not None and counters.keys() <= held):
        return
    lock = partial(lock_rows, row, using)
    if held is None:  # in the caller's transaction
        with locked(row, using, counters_of, lock):
            return
    lock_counters(counters, model, using)
    held.update(counters)
    if not counters_of(lock()).keys() <= held:
        raise Moved


def beginning_again(save_base: Any) -> Any:
    """Wrap ``Model.save_base``: begin again if others have moved the row to another counter.

    InnoDB releases the locks only at the end of the transaction, not at that of a savepoint:
    https://dev.mysql.com/doc/refman/8.4/en/savepoint.html.
    """

    @wraps(save_base)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(self._meta.parents.values()):
            return save_base(self, *args, **kwargs)
        if in_users_transaction(connections[database_of(self, kwargs)]):
            return save_base(self, *args, **kwargs)
        for _ in range(TRIES):
            with suppress(Moved), marked(self, HELD, set()):
                return save_base(self, *args, **kwargs)
        raise changed_too_often(self)

    return wrapper


def changed_too_often(row: Any) -> OperationalError:
    """Return the error for a row that others have changed in all attempts to lock or number it."""
    return OperationalError(
        f"{row!r} can't be numbered: others have changed it during each of {TRIES} attempts"
    )


def lock_rows(row: Any, using: str, *, no_key: bool = False) -> Any:
    """Lock the rows of the parent models, and then that of the model; return the stored row.

    A query of the child's row may lock that first.

    :param no_key: whether rows with a foreign key to these can still be inserted, where the
        database supports it.
    """
    features: Any = connections[using].features
    if not features.has_select_for_update:
        return rows_in(type(row), using).filter(pk=row.pk).first()
    no_key = no_key and features.has_select_for_no_key_update
    *parents, _ = tables_of(type(row))
    for parent in parents:
        rows = rows_in(parent, using).filter(pk=getattr(row, parent._meta.pk.attname))
        list(rows.select_for_update(no_key=no_key).values_list("pk"))
    # Don't use first(), because on Oracle a query with a LIMIT can't lock rows.
    found = list(rows_in(type(row), using).filter(pk=row.pk).select_for_update(no_key=no_key))
    return found[0] if found else None


def apply_values(row: Any, stored: Any, update_fields: Iterable[str] | None) -> None:
    """Set the values that saving ``row`` would store on the ``stored`` instance."""
    saved = None if update_fields is None else set(update_fields)
    kept = [
        field
        for number in sequence_fields(type(row))
        for field in (number, *number.texts)
        if _is_kept(field, row, stored._state.db, is_posted=number.when is not None)
    ]
    for field in row._meta.concrete_fields:
        if field in kept:
            continue
        if field.attname in row.__dict__ and (saved is None or saved & {field.name, field.attname}):
            setattr(stored, field.attname, getattr(row, field.attname))


def _is_kept(field: Any, row: Any, using: str, *, is_posted: bool) -> bool:
    """Return whether ``save()`` keeps what is stored, because nothing else was set explicitly."""
    value = row.__dict__.get(field.attname)
    return (is_posted and value is None) or not is_set(row, field, value, using)


@contextmanager
def marked(row: Any, mark: str, value: Any = True) -> Iterator[None]:
    """Set an attribute of ``row._state`` during the block."""
    setattr(row._state, mark, value)
    try:
        yield
    finally:
        vars(row._state).pop(mark, None)
