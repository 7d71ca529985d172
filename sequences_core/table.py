"""The table of counters: its name, which the setting SEQUENCES_TABLE chooses.

The setting is read when the name is first needed, which is when Django loads the models, and not
when this package is imported: the settings module itself may import it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

__all__ = ["TABLE", "quoted_table", "table_parts", "with_table"]

TABLE: str
"""The name as ``Meta.db_table`` has it: Django takes a schema only between quotation marks."""

DEFAULT = "sequences_core_counter"

# What every database keeps as it is between quotation marks; PostgreSQL cuts after 63 bytes.
IDENTIFIER = re.compile(r"[^\W\d]\w*")
MAX_BYTES = 63


@cache
def table_parts() -> tuple[str, ...]:
    """Return ``(table,)`` or ``(schema, table)``; raise ImproperlyConfigured for a bad setting."""
    name = getattr(settings, "SEQUENCES_TABLE", DEFAULT)
    parts = tuple(name.split(".")) if isinstance(name, str) else ()
    good = [IDENTIFIER.fullmatch(part) and len(part.encode()) <= MAX_BYTES for part in parts]
    if not all(good) or len(parts) not in {1, 2}:
        raise ImproperlyConfigured(
            f"SEQUENCES_TABLE = {name!r}: name the table of counters 'table' or 'schema.table', "
            f"each of letters, digits and underscores, {MAX_BYTES} bytes at the most, and not "
            f"beginning with a digit"
        )
    return parts


@cache
def quoted_table(quote: str = '"') -> str:
    """Return the name as SQL has it: reserved words and capital letters need the quotes."""
    return ".".join(f"{quote}{part}{quote}" for part in table_parts())


@cache
def with_table(statement: str, quote: str = '"') -> str:
    """Return the statement with the table's name for each ``{table}``; quick, for it is cached."""
    return statement.replace("{table}", quoted_table(quote))


def __getattr__(name: str) -> Any:
    if name != "TABLE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return quoted_table() if len(table_parts()) > 1 else table_parts()[0]
