"""What an instance remembers of its numbers, so that a copy of a row gets numbers of its own.

To copy a row, Django's users set its primary key to None and save it again. The number that it
still has is then the other row's, unless somebody has set it since. So the state of each instance
keeps the numbers and the texts that it was loaded or saved with, and the primary key that it was
loaded with.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.db import connections, router
from django.db.models import Model

from sequences_core.outcomes import Outcome

from ..counters import sequence_fields
from ..formatted import Formatted
from .uncommitted import (
    MISSING,
    OUTCOME,
    given_memory,
    keep_until_commit,
    remember_open_block,
    undo_rolled_back,
)

LOADED = "sequences_loaded"
"""The attribute of ``_state`` that keeps the primary key that an instance was loaded with."""


def is_known(row: Any, field: Any, value: Any, using: str) -> bool:
    """Return whether an instance was loaded or saved with this number or text, and here."""
    alias = row._state.db
    if vars(row._state).get(field.memory, MISSING) != value or alias is None:
        return False
    # A replica has the same rows, but the router writes them to another database.
    return alias == using or router.db_for_write(type(row), instance=row) == using


def is_set(row: Any, field: Any, value: Any, using: str) -> bool:
    """Return whether somebody has set this number or text since the row was loaded or saved.

    An empty text is never set, because each number has a text. Nor is None if the number can't be
    null, as from an empty field of a form, or if the instance was made by hand, to update a row.
    """
    is_made = vars(row._state).get(field.memory) is None
    if value in (None, "") and (isinstance(field, Formatted) or is_made or not field.null):
        return False
    return not is_known(row, field, value, using)


def is_copy(row: Any, field: Any, using: str) -> bool:
    """Return whether a row that is about to be inserted has the number or text of another row."""
    value, state = getattr(row, field.attname), row._state
    if value is None or not is_known(row, field, value, using):
        return False
    # With the same primary key it is a row that was deleted, and that keeps its number, or one
    # whose INSERT with an explicit number was rolled back.
    keys = getattr(state, LOADED, None), getattr(state, given_memory(field), None)
    return row.pk is None or row.pk not in keys


def is_restored(row: Any, field: Any, using: str) -> bool:
    """Return whether a row that is about to be inserted has the number that it was loaded with."""
    value, state = getattr(row, field.attname), row._state
    is_same = value is not None and getattr(state, field.memory, None) == value
    return is_same and state.db == using and row.pk == getattr(state, LOADED, MISSING)


def forget_loaded(row: Any) -> None:
    """Forget that the row was loaded, so that it gets a new number like a copy."""
    vars(row._state).pop(LOADED, None)


def remember_given(field: Any, rows: Iterable[Any], using: str) -> None:
    """Remember that the number or text of these rows, now stored, was set by the caller."""
    for row in rows:
        if row.pk is None:  # Only the database knows it. It is a copy, if it is committed.
            keep_until_commit(row, [(row._state, field.memory, MISSING)], using)
        else:
            setattr(row._state, given_memory(field), row.pk)


def remember_loaded(field: Any, row: Model) -> None:
    """Remember a number or text that was read from the database, unless it is still deferred."""
    if field.attname in row.__dict__:
        setattr(row._state, field.memory, getattr(row, field.attname))


def remembering_from_db(from_db: Any) -> Any:
    """Wrap ``Model.from_db``: the instance remembers what it was loaded with."""

    @functools.wraps(from_db)
    def wrapper(cls: Any, db: Any, field_names: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        row = from_db(cls, db, field_names, values, *args, **kwargs)
        for field in _fields_of(cls):
            if field.attname in field_names:
                setattr(row._state, field.memory, getattr(row, field.attname))
        setattr(row._state, LOADED, row.pk)
        if fields := _uncertain_fields_of(cls):
            remember_open_block(row, fields, connections[db])
        return row

    return wrapper


def remembering_refresh(refresh_from_db: Any) -> Any:
    """Wrap ``Model.refresh_from_db``, which also loads fields that were deferred."""

    @functools.wraps(refresh_from_db)
    def wrapper(self: Any, using: Any = None, fields: Any = None, *args: Any, **kw: Any) -> None:
        fields = fields if fields is None else list(fields)
        undo_rolled_back(self)  # What a block that is still open has changed may be read now.
        refresh_from_db(self, using, fields, *args, **kw)
        outcome: Outcome | None = vars(self._state).get(OUTCOME)
        if outcome is None or outcome.is_rolled_back() or outcome.is_committed:
            vars(self._state).pop(OUTCOME, None)  # The row exists, whatever happens.
        model: type[Model] = type(self)
        for field in _fields_of(model):
            if fields is None or field.attname in fields:
                remember_loaded(field, self)
        if uncertain := _uncertain_fields_of(model):
            remember_open_block(self, uncertain, connections[self._state.db])

    return wrapper


@functools.lru_cache(maxsize=1024)
def _fields_of(model: type[Model]) -> list[Any]:
    """Return the fields of a model that are numbers, and those that are their texts."""
    numbers = sequence_fields(model)
    return [*numbers, *(text for field in numbers for text in field.texts)]


@functools.lru_cache(maxsize=1024)
def _uncertain_fields_of(model: type[Model]) -> list[Any]:
    """Return the numbers that an instance may not have after the block that stored them.

    They are primary keys of the model or of its parents, or assigned to stored rows.
    """
    numbers = sequence_fields(model)
    return [field for field in numbers if field.is_key or field.when is not None]
