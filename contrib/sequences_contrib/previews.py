"""Previews of the next number, without taking it: ``Invoice.number.preview(instance)``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, router
from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from sequences_core import SequenceExhausted, get_last_value
from sequences_core.arguments import MAX_VALUE

from . import free, rules
from .expressions import is_expression
from .saving.memory import is_copy, remember_loaded


class Previewed(DeferredAttribute):
    """The descriptor of a numbered field, which is the class attribute ``Invoice.number``."""

    field: Any

    def fetch_many(self, instances: Iterable[Model]) -> None:
        # Django 6.1 and later can read a deferred field for all rows of a query at once.
        super().fetch_many(instances)
        for instance in instances:
            remember_loaded(self.field, instance)

    def preview(self, instance: Model, using: str | None = None) -> Any:
        """Call the field's own ``preview()``."""
        return self.field.preview(instance, using)


def database_of(field: Any, instance: Model, using: str | None) -> str:
    """Return the database that an instance of the field's model would be saved to."""
    if not isinstance(instance, field.model):
        raise TypeError(f"{instance!r} is not an instance of the model of {field}")
    return using or router.db_for_write(field.model, instance=instance)


def next_number(field: Any, instance: Any, using: str) -> int | None:
    """Return the number that the instance has, or would get if it were inserted now."""
    value = getattr(instance, field.attname)
    if is_expression(value):
        raise ValueError(f"{field} is an expression, whose value only the database knows")
    if value is not None and not (instance._state.adding and is_copy(instance, field, using)):
        return field.get_prep_value(value)  # type: ignore[no-any-return]
    if (name := field.counter_of(instance, using)) is None:
        return None
    number = _after(field, instance, get_last_value(name, using=using))
    if field.reuse:
        others = field.rows_of(instance, using)
        number = next(free.reusable(field, others, ()))
    elif field.skips_used(instance):
        others = field.rows_of(instance, using)
        number = next(free.unused(field, others, number))
    maximum = rules.maximum_of(field, instance)
    maximum = MAX_VALUE if maximum is None else maximum
    if number > maximum:
        raise SequenceExhausted(f"the next number of sequence {name!r} would pass {maximum}")
    return number


def _after(field: Any, instance: Any, last: int | None) -> int:
    """Return the number after the last one of a counter; None means that there is no counter."""
    if last is None:
        first = field.initial_value
        return first(instance) if callable(first) else first  # type: ignore[no-any-return]
    if field.reset_value is not None and last + 1 >= field.reset_value:
        return field.first  # type: ignore[no-any-return]
    return last + 1


def next_text(text: Any, instance: Any, using: str) -> str | None:
    """Return the text that the instance has, or would get if it were inserted now."""
    value = getattr(instance, text.attname)
    if value and not (instance._state.adding and is_copy(instance, text, using)):
        return value  # type: ignore[no-any-return]
    if (number := next_number(text.number_field, instance, using)) is None:
        return None
    (affixes,) = text.affixes([instance], connections[using])
    return text.text(affixes, number)  # type: ignore[no-any-return]
