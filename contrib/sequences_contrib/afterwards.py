"""Renumber a row whose scope has changed, or make its number void."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from django.db import connections, router
from django.db.models import Model

from sequences_core.outcomes import Outcome, outcome_of_block

from .counters import is_numbered
from .exceptions import is_committed
from .saving.due import lock_rows, locked, marked
from .saving.numbering import Numbers
from .saving.uncommitted import MISSING, forget_rolled_back, keep_until_commit, set_back
from .scopes import rows_in
from .series import fields_of_model
from .voids import record_void, voided

RELEASED = "sequences_released"
"""The attribute of ``instance._state`` that lets this module save or delete a protected row."""


def renumber(
    instance: Model,
    field: str | None = None,
    *,
    reason: str = "",
    user: Any = None,
    using: str | None = None,
) -> bool:
    """Save a row whose scope has changed with the next number of its new scope.

    The old number is recorded as void, unless the field assigns it again (``reuse``). If the row's
    counter is still the same, the row keeps its number. A numbered row gets a new number even if
    its condition, ``when``, is no longer true.

    Change the instance, but don't save it before calling this: the old scope is read from the
    database. Everything is done in one transaction, or in the caller's.

    :param field: the name of a SequenceField; by default all SequenceFields of the model.
    :param reason: the reason, for the register of voids.
    :param user: who did it, for the register of voids: a user object, or text.
    :returns: whether the row got a new number.
    :raises ValueError: the row isn't stored yet, its new scope is null but the number can't be, or
        the number or a field of its scope is part of the primary key.
    :raises OutOfOrder, SequenceExhausted: as for a row that is created in the new scope.
    """
    using = _database_of(instance, using)
    fields = fields_of_model(type(instance), field)
    for each in fields:
        _refuse_key(each)
    texts = [text for each in fields for text in each.texts]
    before = {each.attname: getattr(instance, each.attname) for each in (*fields, *texts)}
    state = dict(vars(instance._state))
    numbers: Numbers | None = None
    outcome: Outcome | None = None
    try:
        with _locked(instance, fields, using) as stored:
            outcome = outcome_of_block(connections[using])
            moved = [
                each
                for each in fields
                if (each.when is None or getattr(stored, each.attname) is not None)  # or a draft
                and each.counter_of(stored, using) != each.counter_of(instance, using)
            ]
            for each in fields:
                for column in (each, *each.texts):
                    old = None if each in moved else getattr(stored, column.attname)
                    setattr(instance, column.attname, old)
            numbers = Numbers(connections[using], [instance], moved, bulk=True, due=True)
            with numbers, marked(instance, RELEASED):
                for each in moved:  # so that save() stores what was taken, also None
                    setattr(instance._state, each.memory, MISSING)
                instance.save(using=using)
            numbers.remember()
            for each in moved:
                if not each.reuse:
                    _record(each, stored, using, reason=reason, user=user)
        held: list[Any] = [(instance, name, value) for name, value in before.items()]
        memories = [each.memory for each in (*fields, *texts)]
        held += [(instance._state, name, state.get(name, MISSING)) for name in memories]
        keep_until_commit(instance, held, using)
    except BaseException as error:
        is_stored = is_committed(error, using) or (outcome is not None and outcome.is_committed)
        if numbers is not None and is_stored:  # A hook of on_commit() may have raised the error.
            raise
        if numbers is not None:
            numbers.restore(error)
        for attname, value in before.items():
            setattr(instance, attname, value)
        for each in fields:
            set_back(instance._state, each.memory, state.get(each.memory, MISSING))
        raise
    return any(
        each in moved or getattr(instance, each.attname) != getattr(stored, each.attname)
        for each in fields
    )


def void(
    instance: Model,
    field: str | None = None,
    *,
    reason: str,
    user: Any = None,
    delete: bool = False,
    using: str | None = None,
) -> None:
    """Record that a row's number is void. The row keeps its number, or is deleted.

    Everything is done in one transaction, or in the caller's.

    :param field: the name of a SequenceField; by default all SequenceFields of the model.
    :param reason: the reason, for the register of voids.
    :param user: who did it, for the register of voids: a user object, or text.
    :param delete: delete the row. Its other numbers then become void, too, unless they are already
        void or will be assigned again.
    :raises ValueError: the row isn't stored or has no number, the number is already void, the field
        would assign it again (``reuse``), or the deletion would include the row of a child model
        that has numbers of its own.
    """
    using = _database_of(instance, using)
    fields = fields_of_model(type(instance), field)
    for each in fields:
        if each.reuse:
            raise ValueError(f"{each} reuses the numbers of deleted rows, so none can be void")
    every = fields_of_model(type(instance)) if delete else []
    others = [each for each in every if each not in fields and not each.reuse]
    pk_fields: Any = instance._meta.pk_fields
    keys = [(instance, each.attname, getattr(instance, each.attname)) for each in pk_fields]
    try:
        with _locked(instance, [*fields, *others], using) as stored:
            numbered = [each for each in fields if getattr(stored, each.attname) is not None]
            if not numbered:
                raise ValueError(f"{instance!r} has no number, so it can't be void")
            numbered += [each for each in others if not _is_void(each, stored, using)]
            if delete:
                _refuse_numbered_child(type(instance), instance, using)
                with marked(instance, RELEASED):
                    instance.delete(using=using)
                keep_until_commit(instance, keys, using)  # delete() has set them to None
            for each in numbered:
                _record(each, stored, using, reason=reason, user=user, row_kept=not delete)
    except BaseException:
        forget_rolled_back(instance)
        raise


def _refuse_key(field: Any) -> None:
    """Raise ValueError if another scope means another primary key, and so another row."""
    keys = field.model._meta.pk_fields
    if field.scope_parts and (field.is_key or not set(keys).isdisjoint(field.source_fields)):
        raise ValueError(
            f"{field} can't be renumbered, because the primary key of {field.model._meta.label} "
            f"would change with it: create another row, and make the old number void()"
        )


def _database_of(instance: Model, using: str | None) -> str:
    if not isinstance(instance, Model):
        raise TypeError(f"instance must be an instance of a model, not {instance!r}")
    forget_rolled_back(instance)
    if instance.pk is None or instance._state.adding:
        raise ValueError(f"{instance!r} is not stored yet: save it first")
    return using or router.db_for_write(type(instance), instance=instance)


def _locked(instance: Model, fields: Iterable[Any], using: str) -> AbstractContextManager[Any]:
    """Lock the counters of the stored and of the changed row, then the row; yield the stored row.

    :raises ObjectDoesNotExist: the row was deleted.
    """

    model: Any = type(instance)

    def counters_of(stored: Any) -> dict[str, tuple[Any, Any]]:
        if stored is None:
            raise model.DoesNotExist(f"{instance!r} doesn't exist on database {using!r}")
        return _counters([instance, stored], fields, using)

    return locked(instance, using, counters_of, partial(lock_rows, instance, using))


def _counters(rows: list[Model], fields: Iterable[Any], using: str) -> dict[str, tuple[Any, Any]]:
    """Return the counters of the rows, each with a field and a row."""
    return {
        name: (field, row)
        for row in rows
        for field in fields
        if (name := field.counter_of(row, using)) is not None
    }


def _refuse_numbered_child(model: type[Model], row: Model, using: str) -> None:
    """Raise ValueError if the row has a row in the table of a child model that is numbered."""
    concrete: Any = model._meta.concrete_model
    for relation in concrete._meta.related_objects:
        if not getattr(relation, "parent_link", False):
            continue
        child = relation.related_model
        stored = rows_in(child, using).filter(pk=row.pk)
        for field in filter(is_numbered, child._meta.local_fields):
            if stored.filter(**{f"{field.attname}__isnull": False}).exists():
                raise ValueError(
                    f"{row!r} can't be deleted, because it is also a {child._meta.label}, which "
                    f"has a {field.name}: call void() with the instance of that model"
                )
        _refuse_numbered_child(child, row, using)


def _is_void(field: Any, stored: Any, using: str) -> bool:
    name = field.counter_of(stored, using)
    known = voided([name] if name else [], using)
    return getattr(stored, field.attname) in known.get(name, ())


def _record(field: Any, stored: Any, using: str, **kwargs: Any) -> None:
    name, number = field.counter_of(stored, using), getattr(stored, field.attname)
    if name is None or number is None:
        return
    text = next((getattr(stored, each.attname) for each in field.texts), None) or ""
    record_void(name, number, text=text, using=using, **kwargs)
