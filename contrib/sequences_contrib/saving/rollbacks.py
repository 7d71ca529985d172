"""Undoing the numbers and texts of an instance whose ``save()`` fails.

If an UPDATE fails, the text that was written for a changed number is set back.

With multi-table inheritance, ``Model.save_base`` stores the rows of the parents and that of the
child in one transaction. If the child's row fails, the parents' rows already had their numbers.
"""

from __future__ import annotations

import functools
from typing import Any

from django.db import router

from ..counters import Numbering, sequence_fields
from ..exceptions import is_committed
from ..formatted import Formatted
from ..transactions import savepoint_if_manual
from .uncommitted import (
    CHANGES,
    MISSING,
    end_of,
    forget_all_rolled_back,
    forget_rolled_back,
    set_back,
    set_by_insert,
    undo_changes,
)


def undoing_save(save_base: Any) -> Any:
    """Wrap ``Model.save_base``: if it fails, the instance has the numbers that it had before."""

    @functools.wraps(save_base)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        forget_rolled_back(self)
        state = vars(self._state)
        outer, state[CHANGES] = state.get(CHANGES), []
        before = _Before(self) if any(self._meta.parents.values()) else None
        try:
            with savepoint_if_manual(database_of(self, kwargs)):
                return save_base(self, *args, **kwargs)
        except BaseException as error:
            # keep_changes() has removed the list if the row is stored, and a receiver has failed.
            if CHANGES in state and not is_committed(error, database_of(self, kwargs)):
                undo_changes(self)
                if before is not None:
                    before.restore()
            raise
        finally:
            state.pop(CHANGES, None)
            if outer is not None:  # A handler of a signal saves the instance that is being saved.
                state[CHANGES] = outer

    return wrapper


def refusing_delete(delete: Any) -> Any:
    """Wrap ``Model.delete``: it raises Django's ValueError if the row's INSERT was rolled back."""

    @functools.wraps(delete)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        forget_rolled_back(self)
        return delete(self, *args, **kwargs)

    return wrapper


def refusing_update(bulk_update: Any) -> Any:
    """Wrap ``QuerySet.bulk_update``: Django's ValueError is raised for such a row."""

    @functools.wraps(bulk_update)
    def wrapper(self: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
        if sequence_fields(self.model):
            objs = tuple(objs)
            forget_all_rolled_back(objs)
        return bulk_update(self, objs, *args, **kwargs)

    return wrapper


class _Before:
    """The numbers and texts of an instance of a child model, before it is saved."""

    def __init__(self, row: Any) -> None:
        self.row = row
        numbered, state = _numbered(row), vars(row._state)
        self.values = {field.attname: row.__dict__.get(field.attname) for field in numbered}
        names = {name for field in numbered for name in set_by_insert(end_of(field))}
        self.remembered = {name: state.get(name, MISSING) for name in names}
        self.adding = row._state.adding

    def restore(self) -> None:
        """Set back what the save has changed, unless it has inserted the row."""
        if self.row._state.adding:
            self.row.__dict__.update(self.values)
            self.row._state.adding = self.adding
            for name, value in self.remembered.items():
                set_back(self.row._state, name, value)


def database_of(row: Any, kwargs: Any) -> str:
    """Return the alias of the database that ``save_base(**kwargs)`` writes to."""
    return kwargs.get("using") or router.db_for_write(type(row), instance=row)


def _numbered(row: Any) -> list[Any]:
    """Return the fields that an INSERT of the row sets to numbers and texts.

    They include links to a parent whose primary key is a number: after the rollback, another row
    gets the same number.
    """
    return [
        field
        for field in row._meta.concrete_fields
        if isinstance(end_of(field), Numbering | Formatted)
    ]
