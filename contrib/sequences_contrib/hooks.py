"""Where Django inserts rows: the two places that this package steps in, and three that it watches.

``Model._do_insert`` and ``QuerySet.bulk_create`` number the rows that they insert.
``Model.save_base`` takes numbers back when the rows of a model and its parents are rolled back
together; ``Model.from_db`` and ``Model.refresh_from_db`` remember the number of a row that may be
copied.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from sequences_core import DurabilityUnknown
from sequences_core.taking import database_errors

from .collisions import validate_numbers
from .counters import Numbering
from .exceptions import is_committed
from .formats import Formatted
from .numbering import LOADED, Numbers, is_expression


def sequence_fields(fields: Iterable[Any]) -> list[Any]:
    """Return those of the fields that number rows."""
    return [field for field in fields if isinstance(field, Numbering) and not field.is_copy]


@functools.lru_cache(maxsize=1024)
def _fields_of(model: type[Model]) -> list[Any]:
    """Return the numbers of a model, and their texts."""
    numbers = sequence_fields(model._meta.concrete_fields)
    return [*numbers, *(text for field in numbers for text in field.texts)]


def number_inserts(cls: Any) -> None:
    """Let each row of ``cls`` and its children get its numbers when it is inserted."""
    if getattr(cls, "_sequences_hooked", False):
        return
    cls._sequences_hooked = True
    cls._do_insert = _numbering_insert(cls._do_insert)
    cls.save_base = _undoing_save(cls.save_base)
    cls.from_db = classmethod(_remembering(cls.from_db.__func__))
    cls.refresh_from_db = _remembering_again(cls.refresh_from_db)
    validate_numbers(cls)


def _numbering_insert(insert: Any) -> Any:
    @functools.wraps(insert)
    def _do_insert(
        self: Any, manager: Any, using: str, fields: Any, returning_fields: Any, raw: bool
    ) -> Any:
        numbered = sequence_fields(fields)
        if raw or not numbered:
            return insert(self, manager, using, fields, returning_fields, raw)
        connection = connections[using]
        returns = connection.features.can_return_columns_from_insert
        asked: list[Any] = []
        numbers = Numbers(connection, [self], numbered)
        results: Any = None
        unknown: DurabilityUnknown | None = None
        try:
            with numbers:
                # What was set here needn't be read back.
                asked = [
                    field
                    for field in returning_fields
                    if not isinstance(field, Numbering)
                    or (returns and type(getattr(self, field.attname)) is not int)
                ]
                results = insert(self, manager, using, fields, asked, raw)
        except DurabilityUnknown as error:
            if results is None:  # that of a transaction before the INSERT
                numbers.restore(error)
                raise
            unknown = error
        except BaseException as error:
            # Only now, so that a row that is inserted doesn't pay for a generator.
            with database_errors(connection, ours=False):
                numbers.restore(error)
                raise
        if returns:
            for field, value in zip(asked, results[0] if results else (), strict=False):
                setattr(self, field.attname, value)
            results = []  # nothing is left for Django to set
        else:
            known = dict(zip(asked, results[0] if results else (), strict=False))
            read_back(self, connection, numbered, known)
            results = _in_order(self, numbered, results, returning_fields)
        if self._meta.parents and manager.model is not self._meta.concrete_model:
            self._state.adding = True  # the row of the child is yet to come, and may fail
        numbers.remember()
        if unknown is not None:  # the row is there, and the instance knows which it is
            raise unknown
        return results

    return _do_insert


def read_back(
    row: Model, connection: BaseDatabaseWrapper, numbered: list[Any], known: dict[Any, Any]
) -> None:
    """Set the numbers that an INSERT without RETURNING took, by the row's primary key."""
    taken = [field for field in numbered if is_expression(getattr(row, field.attname))]
    options = numbered[0].model._meta
    keys = [(key, known.get(key, getattr(row, key.attname))) for key in options.pk_fields]
    if not taken or any(is_expression(value) for _, value in keys):
        return
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in taken)
    condition = " AND ".join(f"{quote(key.column)} = %s" for key, _ in keys)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns} FROM {quote(options.db_table)} WHERE {condition}",
                [key.get_db_prep_value(value, connection) for key, value in keys],
            )
            numbers = cursor.fetchone()
    except DatabaseError:
        if connection.in_atomic_block:
            raise
        for field in taken:  # the row is committed: an error would tell otherwise
            delattr(row, field.attname)
        return
    for field, number in zip(taken, numbers or [None] * len(taken), strict=True):
        setattr(row, field.attname, number)  # None of a row that somebody has deleted by now


def _in_order(row: Model, numbered: list[Any], results: Any, returning_fields: Any) -> Any:
    """Put the numbers where Django looks for them among what an INSERT returned."""
    if not results:
        return results
    values = list(results[0])
    returned: list[Any] = []
    for field in returning_fields:
        known = field in numbered and field.attname in row.__dict__
        if not known and not values:
            break
        number = row.__dict__.get(field.attname)
        returned.append(number if field in numbered else values.pop(0))
    return [tuple(returned)]


def _undoing_save(save_base: Any) -> Any:
    """Take the numbers of a model's parents back when its own row fails: all are one transaction.

    Their primary keys too, for a number that is one would soon be somebody else's.
    """

    @functools.wraps(save_base)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(self._meta.parents.values()):
            return save_base(self, *args, **kwargs)
        numbered = [
            field.attname
            for field in self._meta.concrete_fields
            if isinstance(_end_of(field), Numbering | Formatted)
        ]
        held = set(self.__dict__)
        before = {attname: self.__dict__.get(attname) for attname in numbered}
        adding = self._state.adding
        try:
            return save_base(self, *args, **kwargs)
        except BaseException as error:
            using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
            if is_committed(error, using):
                raise
            if self._state.adding:
                self.__dict__.update(before)
                self._state.adding = adding
            else:  # the UPDATE of a parent's row may have numbered it
                posted = [
                    field for field in sequence_fields(self._meta.concrete_fields) if field.when
                ]
                texts = [text for field in posted for text in field.texts]
                names = [field.attname for field in posted + texts]
                self.__dict__.update({name: before[name] for name in names if name in held})
            raise

    return wrapper


def _end_of(field: Any) -> Any:
    """Return the field that a link to a parent, and that one's link to its own, ends in."""
    while field.is_relation and field.remote_field.parent_link:
        field = field.target_field
    return field


def _remembering(from_db: Any) -> Any:
    @functools.wraps(from_db)
    def wrapper(cls: Any, db: Any, field_names: Any, values: Any, *args: Any, **kwargs: Any) -> Any:
        row = from_db(cls, db, field_names, values, *args, **kwargs)
        for field in _fields_of(cls):
            if field.attname in field_names:
                setattr(row._state, field.memory, getattr(row, field.attname))
        setattr(row._state, LOADED, row.pk)
        return row

    return wrapper


def _remembering_again(refresh_from_db: Any) -> Any:
    """Remember what is read later: the whole row again, or a field that was deferred."""

    @functools.wraps(refresh_from_db)
    def wrapper(self: Any, using: Any = None, fields: Any = None, *args: Any, **kw: Any) -> None:
        fields = fields if fields is None else list(fields)
        refresh_from_db(self, using, fields, *args, **kw)
        model: type[Model] = type(self)
        for field in _fields_of(model):
            if fields is None or field.attname in fields:
                remember_loaded(field, self)

    return wrapper


def remember_loaded(field: Any, row: Model) -> None:
    """Note a number that was read from the row, unless it is deferred still."""
    if field.attname in row.__dict__:
        setattr(row._state, field.memory, getattr(row, field.attname))


_bulk_create = QuerySet.bulk_create


@functools.wraps(_bulk_create)
def _numbering_bulk_create(
    self: Any,
    objs: Iterable[Any],
    batch_size: int | None = None,
    ignore_conflicts: bool = False,
    update_conflicts: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Number all rows together when Django inserts the first of them.

    Django inserts those with a primary key and those without by two statements of one transaction;
    their counters are locked in one order.
    """
    options = self.model._meta
    numbered = sequence_fields(options.concrete_fields)
    rows = list(objs)
    options_of_django = (batch_size, ignore_conflicts, update_conflicts, *args)
    if not numbered or not rows:
        return _bulk_create(self, rows, *options_of_django, **kwargs)
    if len(set(map(id, rows))) < len(rows):
        raise ValueError("bulk_create() has one instance twice, which can't have two numbers")
    query = self._chain()  # of our own: others may use this one in another thread
    query._for_write = True
    using, connection = query.db, connections[query.db]
    conflicts = ignore_conflicts or update_conflicts
    numbers = Numbers(connection, rows, numbered, bulk=True, conflicts=conflicts)

    def insert(some: Any, *insert_args: Any, **insert_kwargs: Any) -> Any:
        with (
            database_errors(connection, ours=False),
            # As Model.save() does. From Django 6.0 on bulk_create() does so for batches only.
            transaction.mark_for_rollback_on_error(using=using),
            numbers,
        ):
            return type(query)._batched_insert(query, some, *insert_args, **insert_kwargs)

    query._batched_insert = insert
    try:
        with transaction.atomic(using=using) if conflicts else nullcontext():
            _bulk_create(query, rows, *options_of_django, **kwargs)
            if conflicts:
                numbers.pass_stored()
    except BaseException as error:
        if numbers.wants is not None and is_committed(error, using):
            _note_inserted(numbers, connection)
        else:
            numbers.restore(error)
        raise
    _note_inserted(numbers, connection)
    return rows


def _note_inserted(numbers: Numbers, connection: BaseDatabaseWrapper) -> None:
    """Let the rows, now inserted, know their numbers."""
    if not connection.features.can_return_rows_from_bulk_insert:
        for row in numbers.rows:
            for field in numbers.fields:
                if is_expression(getattr(row, field.attname)) and row.pk is not None:
                    delattr(row, field.attname)  # to be read from the row
    numbers.remember()


QuerySet.bulk_create = _numbering_bulk_create  # type: ignore[method-assign]


def follow_number(text: Any, field: Any, row: Any) -> Any:
    """Return the text that an UPDATE stores: another one if somebody has changed the number."""
    value, number = getattr(row, text.attname), row.__dict__.get(field.attname)
    known = getattr(row._state, field.memory, None)
    if value and (number == known or value != getattr(row._state, text.memory, None)):
        return value  # it was issued, or set by hand
    if number is None:
        return value if field.attname not in row.__dict__ else None
    if is_expression(number):
        raise ValueError(f"{text} can't be written: only the database knows {field}")
    connection = connections[row._state.db or router.db_for_write(type(row), instance=row)]
    (affixes,) = text.format.affixes([row], connection)
    return text.text(affixes, field.get_prep_value(number))


def remember_update(field: Any, row: Model) -> None:
    """Note the number that an UPDATE stores, which a copy of the row is not to have."""
    value, state = getattr(row, field.attname), row._state
    if getattr(state, field.memory, value) != value:
        setattr(state, field.memory, value)
        setattr(state, LOADED, row.pk)
