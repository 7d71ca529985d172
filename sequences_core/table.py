"""The name of the table of counters, which the setting SEQUENCES_TABLE chooses.

The setting is read when Django loads the models, not when this package is imported, because the
settings module itself may import the package.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

__all__ = ["TABLE", "quoted_table", "table_parts", "with_table"]

TABLE: str
"""The name for ``Meta.db_table``. If it has a schema, both are quoted, as Django requires."""

DEFAULT = "sequences_core_counter"

# Every database stores such a quoted identifier unchanged. PostgreSQL truncates it to 63 bytes.
IDENTIFIER = re.compile(r"[^\W\d]\w*")
MAX_BYTES = 63


@cache
def table_parts() -> tuple[str, ...]:
    """Return ``(table,)`` or ``(schema, table)``.

    :raises ImproperlyConfigured: SEQUENCES_TABLE is invalid.
    """
    name = getattr(settings, "SEQUENCES_TABLE", DEFAULT)
    parts = tuple(name.split(".")) if isinstance(name, str) else ()
    good = [IDENTIFIER.fullmatch(part) and len(part.encode()) <= MAX_BYTES for part in parts]
    if not all(good) or len(parts) not in {1, 2}:
        raise ImproperlyConfigured(
            f"SEQUENCES_TABLE = {name!r}: it must be 'table' or 'schema.table'. Each part consists "
            f"of letters, digits and underscores, has at most {MAX_BYTES} bytes, and doesn't begin "
            f"with a digit"
        )
    return parts


@cache
def quoted_table(quote: str = '"') -> str:
    """Return the quoted name: reserved words and capital letters require the quotes."""
    return ".".join(f"{quote}{part}{quote}" for part in table_parts())


@cache
def with_table(statement: str, quote: str = '"') -> str:
    """Return the statement with the quoted name in place of each ``{table}``; cached."""
    return statement.replace("{table}", quoted_table(quote))


def __getattr__(name: str) -> Any:
    if name != "TABLE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return quoted_table() if len(table_parts()) > 1 else table_parts()[0]
