"""Validation of forms that move a row to another scope, where another row has the same number.

In all versions of Django up to 6.1, a ModelForm doesn't validate constraints with fields that the
form doesn't contain (``BaseModelForm._get_validation_exclusions``), such as the number. Without
this module, ``save()`` would then raise an IntegrityError for the constraint of scope and number.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import UniqueConstraint

from .series import is_numbered


def validate_numbers(cls: Any) -> None:
    """Make ``cls`` and its subclasses validate the unique constraints of numbers."""
    cls.validate_unique = _with_numbers(cls.validate_unique)
    cls.validate_constraints = _with_numbers(cls.validate_constraints)


def _with_numbers(validate: Any) -> Any:
    @functools.wraps(validate)
    def wrapper(self: Any, exclude: Iterable[str] | None = None) -> None:
        excluded = set(exclude or ())
        hidden = _hidden(self, excluded)
        try:
            validate(self, exclude=excluded - hidden)
        except ValidationError as error:
            if hidden.isdisjoint(error.error_dict):
                raise
            # A form doesn't accept errors of fields that it doesn't contain.
            errors: dict[str, list[ValidationError]] = {}
            for name, messages in error.error_dict.items():
                errors.setdefault(NON_FIELD_ERRORS if name in hidden else name, []).extend(messages)
            raise ValidationError(errors) from error

    return wrapper


def _hidden(row: Any, excluded: set[str]) -> set[str]:
    """Return the excluded fields that share a unique constraint with a number and a shown field.

    Nothing is returned for a new row, which has no number yet.
    """
    hidden: set[str] = set()
    if row._state.adding or not excluded:
        return hidden
    for model in (type(row), *row._meta.get_parent_list()):
        options = model._meta
        numbered = {field.name for field in options.fields if is_numbered(field)}
        constraints = [each for each in options.constraints if isinstance(each, UniqueConstraint)]
        for names in (*options.unique_together, *(each.fields for each in constraints)):
            if numbered & excluded & set(names) and not excluded.issuperset(names):
                hidden |= excluded & set(names)
    return hidden
