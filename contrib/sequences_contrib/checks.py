"""System checks of SequenceField: what would go wrong, said with the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import router

from sequences_core.models import Counter

from .scopes import fields_of, path_of

if TYPE_CHECKING:
    from .fields import SequenceField


def check_field(field: SequenceField, databases: Any = None) -> Iterable[checks.CheckMessage]:
    """Yield what is wrong with one field of one model."""
    yield from _check_scope(field)
    yield from _check_shared(field)
    for alias in databases or ():
        if router.allow_migrate_model(alias, field.model) and not router.allow_migrate_model(
            alias, Counter
        ):
            yield checks.Error(
                f"The table of counters is not on database {alias!r}, where this model's is.",
                hint=f"Let the router's allow_migrate({alias!r}, 'sequences_core') be true: a "
                f"number and its row are one transaction.",
                obj=field,
                id="sequences_contrib.E002",
            )


def _check_scope(field: SequenceField) -> Iterable[checks.CheckMessage]:
    for part in field.scope_parts:
        path = path_of(part)
        if path is None:
            continue
        try:
            fields = fields_of(field.model, path)
        except FieldDoesNotExist as error:
            yield checks.Error(
                f"The scope {path!r} can't be resolved: {error}",
                hint="Name fields of the model, or of what its foreign keys lead to.",
                obj=field,
                id="sequences_contrib.E001",
            )
            continue
        if not field.null and any(step.null for step in fields):
            yield checks.Warning(
                f"The scope {path!r} can be null, the number can't: saving would fail.",
                hint="Set null=True on the number, or null=False on the scope's fields.",
                obj=field,
                id="sequences_contrib.W001",
            )


def _scope_of(field: SequenceField) -> list[Any]:
    """The parts of the scope, alike if they are the same fields."""
    parts: list[Any] = []
    for part in field.scope_parts:
        path = path_of(part)
        try:
            parts.append([each.name for each in fields_of(field.model, path)] if path else part)
        except FieldDoesNotExist:
            parts.append(path)
    return parts


def _check_shared(field: SequenceField) -> Iterable[checks.CheckMessage]:
    from .fields import SequenceField

    others = [
        str(other)
        for model in apps.get_models()
        for other in model._meta.local_fields
        if isinstance(other, SequenceField)
        and other is not field
        and (other.counter_base, _scope_of(other)) == (field.counter_base, _scope_of(field))
    ]
    if others:
        yield checks.Warning(
            f"The counter {field.counter_base!r} numbers {', '.join(others)} too.",
            hint="Give each its own sequence_name. If they are to share one series of numbers, "
            "silence this check.",
            obj=field,
            id="sequences_contrib.W002",
        )
