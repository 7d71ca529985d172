"""The migration operation that adds a SequenceField to a table with rows, and numbers them."""

from __future__ import annotations

from typing import Any

from django.db import router, transaction
from django.db.migrations import AddField, AlterField
from django.db.migrations.operations.base import Operation
from django.db.models import Field

from sequences_core import delete
from sequences_core.models import Counter, has_table

from .counters import Numbering
from .existing import number_rows, refuse_rows
from .series import counters_of, series_of
from .voids import register_of


class AddSequenceField(AddField):
    """Add a SequenceField, number the existing rows, and set the counters.

    Each scope is numbered separately, from the initial value, or after the last number of its
    counter if there is one. On PostgreSQL and SQLite, the migration's transaction locks the table
    until it ends. MySQL and MariaDB commit each ALTER TABLE, so stop the programs that insert rows:
    the last step fails if a row has no number.

    Reversing the operation removes the field, and deletes its counters and their voids, unless they
    also number other fields.

    Rows that ``maximum`` or ``ascending`` would refuse raise the same errors here.

    :param order_by: the names of the fields by which to order the rows before numbering them, as in
        ``QuerySet.order_by()``. Rows with equal values are ordered by the primary key.
    """

    reduces_to_sql = False

    def __init__(
        self,
        model_name: str,
        name: str,
        field: Field[Any, Any],
        order_by: tuple[str, ...] | list[str] | str = (),
    ) -> None:
        if not isinstance(field, Numbering) or field.primary_key:
            raise TypeError(f"field must be a SequenceField without primary_key, not {field!r}")
        names = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        if not all(isinstance(each, str) and each.strip("-") for each in names):
            raise TypeError(f"order_by must be a list of fields' names, not {order_by!r}")
        if field.ascending is not None and names[:1] != (field.ascending,):
            raise ValueError(
                f"the numbers ascend with {field.ascending!r}, so order_by must begin with it: "
                f"{order_by!r}"
            )
        self.order_by = names
        super().__init__(model_name, name, field)

    def deconstruct(self) -> Any:
        name, args, kwargs = super().deconstruct()
        return name, args, kwargs | ({"order_by": self.order_by} if self.order_by else {})

    def reduce(self, operation: Operation, app_label: str) -> Any:
        """Never merge this with other operations: a plain AddField would number no rows."""
        return Operation.reduce(self, operation, app_label)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        # First add a column that is nullable and not unique.
        first: Any = self.field.clone()
        first.null, first._unique = True, False
        between = from_state.clone()
        add = AddField(self.model_name, self.name, first)
        add.state_forwards(app_label, between)
        column = between.apps.get_model(app_label, self.model_name)._meta.get_field(self.name)
        refuse_rows(column, schema_editor.connection, null=self.field.null)
        add.database_forwards(app_label, schema_editor, from_state, between)
        number_rows(column, self.order_by, schema_editor.connection, null=self.field.null)
        alter = AlterField(self.model_name, self.name, self.field)
        alter.database_forwards(app_label, schema_editor, between, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return
        field = model._meta.get_field(self.name)
        super().database_backwards(app_label, schema_editor, from_state, to_state)
        if not router.allow_migrate_model(connection.alias, Counter) or not has_table(connection):
            return
        if series_of(field, connection.alias) == [field]:
            voids = register_of(connection)
            with transaction.atomic(using=connection.alias):
                for name in sorted(counters_of(field, connection.alias)):
                    delete(name, using=connection.alias)
                    if voids is not None:
                        voids.filter(counter=name).delete()

    def describe(self) -> str:
        return f"{super().describe()}, and number the existing rows"
