"""System checks of ``SequenceField(when=…)``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db.models import AutoField, BooleanField, F, Q, UniqueConstraint

from . import conditions
from .identity import column_of, has_identity
from .scopes import is_unresolved, path_of
from .text_checks import is_set_by_insert


def check_when(field: Any) -> Iterator[checks.CheckMessage]:
    """Yield the problems of the condition, and a missing unique constraint of the numbers."""
    if field.when is None:
        return
    for name in conditions.names_in(field.when):
        yield from _check_name(field, name)
    if not _is_unique(field):
        firsts = [path.split("__")[0] for part in field.scope_parts if (path := path_of(part))]
        names = [*dict.fromkeys(firsts), field.name]
        yield checks.Error(
            "No unique constraint prevents two rows from having the same number.",
            hint=f"Add UniqueConstraint(fields={names!r}, condition=Q({field.name}__isnull=False), "
            f"name=…); on MySQL and MariaDB, which don't support it, leave out the condition. An "
            f"index of the rows without a number, Index(fields=[…the scope, the order…], "
            f"condition=Q({field.name}__isnull=True), name=…), makes assign_numbers() fast.",
            obj=field,
            id="sequences_contrib.E030",
        )


def _check_name(field: Any, name: str) -> Iterator[checks.CheckMessage]:
    try:
        about = conditions.field_of(field.model, name)
        if about not in field.model._meta.concrete_fields:
            raise FieldDoesNotExist(f"{field.model._meta.label}.{name} is not a column")
    except FieldDoesNotExist as error:
        yield checks.Error(
            f"when={field.when!r} can't be resolved: {error}",
            hint="Name fields of the model itself.",
            obj=field,
            id="sequences_contrib.E031",
        )
        return
    if isinstance(field.when, str) and not isinstance(about, BooleanField) and not about.null:
        yield checks.Error(
            f"when={field.when!r} is always true: the field is neither nullable nor boolean.",
            hint=f"Name another field, or compare this one with a value: when=Q({name}=…).",
            obj=field,
            id="sequences_contrib.E032",
        )
    if is_set_by_insert(about, field.model) or isinstance(about, AutoField):
        yield checks.Error(
            f"when={field.when!r} depends on {name!r}, which is set while the row is saved, after "
            f"the condition has been evaluated.",
            hint="Name another field, or set this one before saving.",
            obj=field,
            id="sequences_contrib.E033",
        )
    compared = name in conditions.names_compared(field.when) and not is_unresolved([about])
    if compared and not has_identity(column_of(about)):
        yield checks.Error(
            f"when={field.when!r} compares {name!r}, a {type(column_of(about)).__name__}, whose "
            f"equal values can be stored differently.",
            hint=f"Compare another field, or use only {name}__isnull.",
            obj=field,
            id="sequences_contrib.E034",
        )


def _is_unique(field: Any) -> bool:
    """Return whether a unique constraint prevents duplicates among the numbers of a counter."""
    if field.unique or any(text.unique for text in field.texts):  # E024 checks the texts
        return True
    options = field.model._meta
    scope = {path.split("__")[0] for part in field.scope_parts if (path := path_of(part))}
    names = list(options.unique_together)
    for constraint in options.constraints:
        if not isinstance(constraint, UniqueConstraint):
            continue
        if constraint.condition not in (None, Q(**{f"{field.name}__isnull": False})):
            continue
        if constraint.fields:
            names.append(constraint.fields)
        elif F(field.name) in constraint.expressions:
            return True  # the other expressions are assumed to be those of the scope
    # Fewer columns than the scope's are stricter; other columns would allow duplicates.
    return any(field.name in each and scope.issuperset({*each} - {field.name}) for each in names)
