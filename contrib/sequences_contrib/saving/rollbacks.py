"""Undoing the numbers and texts of an instance whose ``save()`` fails.

If an UPDATE fails, the text that was written for a changed number is set back. An UPDATE of the
number alone includes its text.

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
from .memory import CHANGES, MISSING, undo_changes


def undoing_save(save_base: Any) -> Any:
    """Wrap ``Model.save_base``: if it fails, the instance has the numbers that it had before."""

    def undone(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = _with_texts(self, kwargs["update_fields"])
        state = vars(self._state)
        state[CHANGES] = []
        try:
            return save_base(self, *args, **kwargs)
        except BaseException as error:
            if state.get(CHANGES) and not is_committed(error, _database_of(self, kwargs)):
                undo_changes(self)
            raise
        finally:
            state.pop(CHANGES, None)

    @functools.wraps(save_base)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(self._meta.parents.values()):
            return undone(self, *args, **kwargs)
        held = set(self.__dict__)
        before = {attname: self.__dict__.get(attname) for attname in _numbered(self)}
        adding = self._state.adding
        try:
            return undone(self, *args, **kwargs)
        except BaseException as error:
            if is_committed(error, _database_of(self, kwargs)):
                raise
            if self._state.adding:
                self.__dict__.update(before)
                self._state.adding = adding
            else:  # The UPDATE of a parent's row may have numbered it.
                names = set(_posted(self)) & held
                self.__dict__.update({name: before[name] for name in names})
            raise

    return wrapper


def _with_texts(row: Any, names: Any) -> frozenset[str]:
    """Return the names of the fields to update, with the texts of changed numbers among them."""
    saved = frozenset(names)
    changed = [
        field
        for field in sequence_fields(row._meta.concrete_fields)
        if field.when is None
        and not saved.isdisjoint((field.name, field.attname))
        and getattr(row._state, field.memory, MISSING) != row.__dict__.get(field.attname, MISSING)
    ]
    return saved | {text.name for field in changed for text in field.texts}


def _database_of(row: Any, kwargs: Any) -> str:
    return kwargs.get("using") or router.db_for_write(type(row), instance=row)


def _numbered(row: Any) -> list[str]:
    """Return the attributes that an INSERT of the row sets to numbers and texts.

    They include links to a parent whose primary key is a number: after the rollback, another row
    gets the same number.
    """
    return [
        field.attname
        for field in row._meta.concrete_fields
        if isinstance(_end_of(field), Numbering | Formatted)
    ]


def _posted(row: Any) -> list[str]:
    """Return the attributes that an UPDATE of the row can set to numbers and texts."""
    posted = [field for field in sequence_fields(row._meta.concrete_fields) if field.when]
    texts = [text for field in posted for text in field.texts]
    return [field.attname for field in posted + texts]


def _end_of(field: Any) -> Any:
    """Return the field whose value a link to a parent repeats, or the field itself.

    A parent's primary key can be a link to a parent of its own.
    """
    while field.is_relation and field.remote_field.parent_link:
        field = field.target_field
    return field
