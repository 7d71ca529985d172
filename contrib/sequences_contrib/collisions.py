"""Forms that move a row to another scope, where its number is another row's.

A ModelForm doesn't validate a constraint that has a field which the form doesn't show, in all
versions of Django up to 6.1 (``BaseModelForm._get_validation_exclusions``), and it doesn't show
numbers. The constraint of scope and number would then fail by an IntegrityError of ``save()``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import UniqueConstraint

from .series import is_numbered


def validate_numbers(cls: Any) -> None:
    """Let rows of ``cls`` and its children tell of a collision when they are validated."""
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
            # A form takes no errors of fields that it doesn't show.
            errors: dict[str, list[ValidationError]] = {}
            for name, messages in error.error_dict.items():
                errors.setdefault(NON_FIELD_ERRORS if name in hidden else name, []).extend(messages)
            raise ValidationError(errors) from error

    return wrapper


def _hidden(row: Any, excluded: set[str]) -> set[str]:
    """Return the fields that are left out, but that are unique together with those that aren't.

    Of a row that is there already, for a new one has no number yet.
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
