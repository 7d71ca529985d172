"""System checks of ``SequenceField(when=…)``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db.models import BooleanField, F, Q, UniqueConstraint

from . import conditions
from .scopes import is_automatic, path_of


def check_when(field: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with the condition, and with the table that has rows without numbers."""
    if field.when is None:
        return
    for name in conditions.names_in(field.when):
        yield from _check_name(field, name)
    if not _is_unique(field):
        firsts = [path.split("__")[0] for part in field.scope_parts if (path := path_of(part))]
        names = [*dict.fromkeys(firsts), field.name]
        yield checks.Error(
            "Nothing in the database keeps two rows from having the same number.",
            hint=f"Add UniqueConstraint(fields={names!r}, condition=Q({field.name}__isnull=False), "
            f"name=…); on MySQL and MariaDB, which have no such condition, without it. An index of "
            f"the rows that wait, Index(fields=[…the scope, the order…], "
            f"condition=Q({field.name}__isnull=True), name=…), makes assign_numbers() fast.",
            obj=field,
            id="sequences_contrib.E030",
        )


def _check_name(field: Any, name: str) -> Iterator[checks.CheckMessage]:
    try:
        about = conditions.field_of(field.model, name)
        if about not in field.model._meta.concrete_fields:
            raise FieldDoesNotExist(f"{field.model._meta.label}.{name} is no column")
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
            f"when={field.when!r} is always true: the field can't be null, nor is it a boolean.",
            hint=f"Name another field, or compare this one with a value: when=Q({name}=…).",
            obj=field,
            id="sequences_contrib.E032",
        )
    if about is field or is_automatic(about) or getattr(about, "generated", False):
        yield checks.Error(
            f"when={field.when!r} is about {name!r}, which is set while the row is saved, after "
            f"it was decided whether the row gets a number.",
            hint="Name another field, or set this one before saving.",
            obj=field,
            id="sequences_contrib.E033",
        )


def _is_unique(field: Any) -> bool:
    """Does a constraint keep the numbers of a counter apart?"""
    if field.unique or any(text.unique for text in field.texts):  # E024 sees to the texts
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
            return True  # what else is in it are expressions of the scope
    # Fewer columns than the scope's are stricter; others would let one number be given twice.
    return any(field.name in each and scope.issuperset({*each} - {field.name}) for each in names)
