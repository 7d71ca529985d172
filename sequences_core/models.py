"""The table of counters."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

from .arguments import MAX_NAME_LENGTH
from .registry import get_allocator
from .table import TABLE

__all__ = ["Counter", "NameField", "has_table"]


class NameField(models.CharField):  # type: ignore[type-arg] # not generic at run time
    """Text that compares byte for byte on every database; its backend chooses the collation."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        return super().db_parameters(connection) | get_allocator(connection).name_column(connection)


class Counter(models.Model):
    """The counter of a sequence. Take numbers by ``get_next_value()``, never by this model."""

    name = NameField(_("name"), max_length=MAX_NAME_LENGTH, primary_key=True)
    last = models.BigIntegerField(_("last number"), help_text=_("the last number taken"))

    class Meta:
        db_table = TABLE
        verbose_name = _("sequence")
        verbose_name_plural = _("sequences")
        permissions = [("set_counter", "Can set the last number of a sequence")]
        constraints = [
            # -1 is the value of a counter that starts at 0 and whose first number wasn't taken yet.
            models.CheckConstraint(
                condition=models.Q(last__gte=-1), name="sequences_core_last_from_minus_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.last}"


def has_table(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the table exists and can be read.

    Introspection doesn't find a table in another schema, so this executes a query.
    """
    alias = connection.alias
    savepoint = transaction.atomic(using=alias) if connection.in_atomic_block else nullcontext()
    try:
        with savepoint:
            Counter.objects.using(alias).exists()
    except DatabaseError:
        return False
    return True
