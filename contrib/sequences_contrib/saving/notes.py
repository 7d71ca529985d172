"""Notes on an IntegrityError that a counter behind its rows has caused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max, Model

from sequences_core import get_last_value

LOOKED_AT = 100
"""How many rows are read if the scope is a function."""


def explain(
    error: IntegrityError, wants: Mapping[str, Any], connection: BaseDatabaseWrapper
) -> None:
    """Add a note to the error for each counter that is behind its rows."""
    for name, fields in wants.items():
        for field, (new, _) in fields.items():
            # With reuse or reset_value, rows may have numbers above the counter.
            if not new or field.reuse or field.reset_value is not None:
                continue
            remedy = f"run manage.py sequences sync {field} --apply --database={connection.alias}"
            if not field.is_scoped_by_function:
                remedy += f", or declare {field} with skip_used=True"
            try:
                if any(field.skips_used(row) for row in new):
                    continue
                highest = _highest(field, name, new[0], connection)
                # Read after the rows, so that rows committed in between aren't mistaken for the
                # cause.
                last = get_last_value(name, using=connection.alias) or 0
            except Exception:  # noqa: BLE001 # the original error must be raised in any case
                error.add_note(  # queries fail in the broken transaction
                    f"If rows of {field} have higher numbers than their counter {name!r}, "
                    f"the counter is behind them: {remedy}"
                )
                continue
            if highest is not None and highest > last:
                error.add_note(
                    f"Counter {name!r} is at {last}, behind the highest number {highest} of "
                    f"{field}: {remedy}"
                )


def _highest(field: Any, name: str, row: Model, connection: BaseDatabaseWrapper) -> int | None:
    """Return the highest number of the rows that share this row's counter."""
    rows: Any = field.rows_of(row, connection.alias).exclude(**{field.attname: None})
    if not field.is_scoped_by_function:
        return rows.aggregate(highest=Max(field.attname))["highest"]  # type: ignore[no-any-return]
    highest = list(rows.order_by(f"-{field.attname}")[:LOOKED_AT])
    names = field.names_of(highest, connection)
    numbers = [getattr(row, field.attname) for row in highest]
    return next((number for number, of in zip(numbers, names, strict=True) if of == name), None)
