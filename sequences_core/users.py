"""Find the fields of the project that use a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from django.apps import apps
from django.db import connections, router

from .models import has_table
from .registry import get_allocator

__all__ = ["SequenceUser", "fields_using", "known_fields"]


@runtime_checkable
class SequenceUser(Protocol):
    """A field that takes numbers of sequences, or an expression in the ``db_default`` of one."""

    def uses_sequence(self, name: str) -> bool:
        """Return whether it may take numbers of the sequence ``name``, without a query."""


def fields_using(names: Iterable[str], using: str) -> dict[str, list[str]]:
    """Return, for each sequence, the labels ``app.Model.field`` of the fields that may use it.

    This inspects the models, not their rows: a field with a scope may use every name that its
    scope can produce. Code that calls ``get_next_value()`` isn't found. Only models that the router
    allows in the database ``using`` are inspected.
    """
    users = list(_users(using))
    return {
        name: [label for label, user in users if user.uses_sequence(name)]
        for name in dict.fromkeys(names)
    }


def known_fields(using: str) -> list[str]:
    """Return the labels ``app.Model.field`` of the fields that may use sequences of a database."""
    return sorted({label for label, _ in _users(using)})


def _users(using: str) -> Iterator[tuple[str, SequenceUser]]:
    """Yield the label of each field that takes numbers in the database, and what takes them."""
    connection = connections[using]
    # The router of django-tenants answers for the current schema; the model's table may be in
    # another one.
    anywhere = bool(get_allocator(connection).namespace(connection)) and has_table(connection)
    for model in apps.get_models(include_auto_created=True):
        if anywhere or router.allow_migrate_model(using, model):
            for field in model._meta.local_fields:
                for part in (field, *_parts(field.db_default)):
                    if isinstance(part, SequenceUser):
                        yield f"{model._meta.label}.{field.name}", part


def _parts(expression: Any) -> Iterator[Any]:
    """Yield an expression and its source expressions; nothing for other values."""
    if hasattr(expression, "flatten"):
        yield from expression.flatten()
