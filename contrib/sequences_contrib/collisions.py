"""Validation of forms: collisions of numbers, and dates that don't ascend.

A form can move a row to another scope, where another row has the same number. In all versions of
Django up to 6.1, a ModelForm doesn't validate constraints with fields that the form doesn't contain
(``BaseModelForm._get_validation_exclusions``), such as the number. Without this module, ``save()``
would then raise an IntegrityError for the constraint of scope and number.

The date of a row that is about to be numbered can be earlier than that of the previous number. A
transaction that takes a number in the meantime can still make ``save()`` raise OutOfOrder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.core.validators import MinValueValidator
from django.db import connections, router
from django.db.models import F, Q, UniqueConstraint
from django.db.models.constants import LOOKUP_SEP
from django.utils.formats import localize
from django.utils.timezone import is_aware, localtime

from .counters import is_numbered, sequence_fields
from .rules import date_of
from .saving.memory import is_copy


def validate_numbers(cls: Any) -> None:
    """Make ``cls`` and its subclasses validate the unique constraints of numbers, and dates."""
    cls.validate_unique = _with_numbers(cls.validate_unique)
    cls.validate_constraints = _with_dates(_with_numbers(cls.validate_constraints))


def _with_numbers(validate: Any) -> Any:
    @functools.wraps(validate)
    def wrapper(self: Any, exclude: Iterable[str] | None = None) -> None:
        excluded = set(exclude or ())
        pending = _pending(self)
        hidden = _hidden(self, excluded, pending)
        try:
            validate(self, exclude=(excluded - hidden) | pending)
        except ValidationError as error:
            found: Any = error.update_error_dict({})
            if hidden.isdisjoint(found):
                raise
            # A form doesn't accept errors of fields that it doesn't contain.
            errors: dict[str, list[ValidationError]] = {}
            for name, messages in found.items():
                errors.setdefault(NON_FIELD_ERRORS if name in hidden else name, []).extend(messages)
            raise ValidationError(errors) from error

    return wrapper


def _pending(row: Any) -> set[str]:
    """Return the fields of numbers and texts that ``save()`` will set, whatever they hold now."""
    using = router.db_for_write(type(row), instance=row)
    pending = [field for field in sequence_fields(type(row)) if _is_pending(field, row, using)]
    return {each.name for field in pending for each in (field, *field.texts)}


def _is_pending(field: Any, row: Any, using: str) -> bool:
    """Return whether ``save()`` will give the row a number, if its scope has one."""
    adding = row._state.adding
    if not adding and field.when is None:
        return False
    number = getattr(row, field.attname)
    if number is not None and not (adding and is_copy(row, field, using)):
        return False
    try:
        return bool(field.is_due(row, connections[using]))
    except (ValueError, ValidationError):
        return False  # save() raises a more precise error.


def _hidden(row: Any, excluded: set[str], pending: set[str]) -> set[str]:
    """Return the excluded fields that share a unique constraint with a number and a shown field.

    Nothing is returned for a new row, and for a number that isn't known yet.
    """
    hidden: set[str] = set()
    if row._state.adding or not excluded:
        return hidden
    for model in (type(row), *row._meta.get_parent_list()):
        options = model._meta
        numbered = {field.name for field in options.fields if is_numbered(field)} - pending
        constraints = [each for each in options.constraints if isinstance(each, UniqueConstraint)]
        for names in (*map(set, options.unique_together), *map(_names_of, constraints)):
            if numbered & excluded & names and not names <= excluded:
                hidden |= excluded & names
    return hidden


def _names_of(constraint: UniqueConstraint) -> set[str]:
    """Return the names of the fields that a constraint refers to, also in its condition."""
    parts = [*constraint.expressions, constraint.condition]
    return {*constraint.fields, *chain.from_iterable(map(_names_in, parts))}


def _names_in(part: Any) -> Iterator[str]:
    """Yield the names of the fields in an expression, or in a lookup or child of a Q."""
    match part:
        case F():
            yield part.name.split(LOOKUP_SEP)[0]  # type: ignore[attr-defined] # unknown to the stubs
        case (str(lookup), value):
            yield lookup.split(LOOKUP_SEP)[0]
            yield from _names_in(value)
        case Q():
            yield from chain.from_iterable(map(_names_in, part.children))
        case _ if hasattr(part, "get_source_expressions"):
            yield from chain.from_iterable(map(_names_in, part.get_source_expressions()))


def _with_dates(validate: Any) -> Any:
    @functools.wraps(validate)
    def wrapper(self: Any, exclude: Iterable[str] | None = None) -> None:
        excluded = set(exclude or ())
        errors: Any = {}
        try:
            validate(self, exclude=excluded)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        using = router.db_for_write(type(self), instance=self)
        for field in sequence_fields(type(self)):
            if field.ascending is None or field.ascending in excluded:
                continue
            if (last := _later_date(field, self, using)) is not None:
                is_moment = isinstance(last, datetime) and is_aware(last)
                limit = {"limit_value": localize(localtime(last) if is_moment else last)}
                early = ValidationError(MinValueValidator.message, code="min_value", params=limit)
                errors.setdefault(field.ascending, []).append(early)
        if errors:
            raise ValidationError(errors)

    return wrapper


def _later_date(field: Any, row: Any, using: str) -> Any:
    """Return the date of the previous number if the row would be numbered and is earlier."""
    if not _is_pending(field, row, using):
        return None
    try:
        if field.counter_of(row, using) is None:
            return None
        date = date_of(field, row)
    except (ValueError, ValidationError, ObjectDoesNotExist):
        return None  # save() raises a more precise error.
    numbered = {f"{field.attname}__isnull": False, f"{field.ascending}__isnull": False}
    stored = field.rows_of(row, using).filter(**numbered).order_by(f"-{field.attname}")
    last = stored.values_list(field.ascending, flat=True).first()
    return last if last is not None and date < last else None
