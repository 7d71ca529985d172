"""The identity of a counter: its name is made from the values that the database stores.

Values that are equal in their column have the same text, and different values have different
texts, whatever Python object the instance holds: an enum member, ``"07"`` for 7,
``Decimal("1.00")``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.timezone import make_aware

EXACT = Context(prec=2000)
"""A context with more digits than any database stores, so that it never rounds."""


NO_IDENTITY = (models.BinaryField, models.FloatField, models.JSONField)
"""Fields whose columns can store equal values as different texts."""


def has_identity(column: Any) -> bool:
    """Return whether values of the column are equal if and only if their texts are.

    That is known only of Django's own types of columns. A subclass of a field may define another
    type, which rounds or ignores case, or may transform its values by SQL.
    """
    kind = _kind_of(column)
    return (
        kind is not models.Field
        and not issubclass(kind, NO_IDENTITY)
        and type(column).db_type is models.Field.db_type
        and column.get_internal_type() == kind.get_internal_type(column)
        and not any(hasattr(column, name) for name in ("get_placeholder", "get_placeholder_sql"))
    )


def _kind_of(column: Any) -> type[models.Field[Any, Any]]:
    """Return the class of Django that the field is an instance of."""
    return next(
        base
        for base in type(column).__mro__
        if issubclass(base, models.Field) and base.__module__.startswith("django.db.models.")
    )


def column_of(field: Any) -> Any:
    """Return the field that defines the column: the key's target, or the expression's field."""
    while field.is_relation and field.remote_field:
        field = field.target_field
    return field.output_field if getattr(field, "generated", False) else field


def text_of(field: Any, value: Any, connection: BaseDatabaseWrapper) -> str | None:
    """Return what ``field`` stores for ``value`` as text, or None for null and the empty string.

    An invalid value raises the same error as when it is saved.
    """
    column = column_of(field)
    stored = column.get_db_prep_save(value, connection)
    if stored is None or (isinstance(stored, str) and not stored):
        return None
    if isinstance(column, models.DecimalField):
        # SQLite doesn't round, and a foreign key stores the digits of the row that it refers to.
        rounds = "(" in (column.db_type(connection) or "") or not field.is_relation
        return plain_text(rounded(column, stored) if rounds else stored)
    if field.is_relation and connection.vendor == "mysql" and isinstance(stored, str):
        stored = _as_sent(stored, connection)  # as in the row that it refers to
    if isinstance(stored, str):
        stored = fitted(column, str.__str__(stored))
    convert = _converter(column.__class__)
    return plain_text(convert(column, stored, value, connection) if convert else stored)


def _as_sent(text: str, connection: Any) -> str:
    """Return what the driver of MySQL and MariaDB sends for a text.

    For an instance of a subclass of str, mysqlclient 2.3.1 sends what its ``__str__()`` returns,
    and 2.2.1 sends its characters.
    """
    plain = str.__str__(text)
    if type(text) is str or str(text) == plain:
        return plain
    connection.ensure_connection()
    literal = connection.connection.literal
    return plain if literal(text) == literal(plain) else str(text)


NEVER_SETTLED = frozenset({date, datetime, str, type(None)})
"""Types whose values :func:`settled` returns as they are, except for addresses and long texts."""

UNSETTLED = (
    models.CharField,
    models.DateField,
    models.DecimalField,
    models.GenericIPAddressField,
    models.TextField,
)
"""Fields for which :func:`settled` can return another value."""


def settled(field: Any, value: Any) -> Any:
    """Return the value to insert so that the column matches the text of :func:`text_of`.

    That is ``value`` itself, with four exceptions: subclasses of str and datetime, whose
    ``__str__()`` some drivers call; decimals, which SQLite doesn't round to the column's places;
    IP addresses with white space around them; and texts with more spaces at the end than fit.
    """
    stored = value
    if isinstance(value, str):
        stored = fitted(field, str.__str__(value))
    elif isinstance(value, datetime) and type(value) is not datetime:
        stored = datetime.combine(date(*value.timetuple()[:3]), value.timetz())
    elif isinstance(field, models.DecimalField):
        number = field.to_python(value)
        stored = number if number is None else rounded(field, number)
    if needs_strip(field):
        stored = field.to_python(stored)
    return value if type(stored) is type(value) and stored == value else stored


def are_settled(field: Any, values: Sequence[Any]) -> bool:
    """Return whether a quick look shows that :func:`settled` returns each value as it is."""
    if needs_strip(field) or not NEVER_SETTLED.issuperset(map(type, values)):
        return False
    if not isinstance(field, models.CharField) or field.max_length is None:
        return True
    texts = (value for value in set(values) if isinstance(value, str))
    return all(len(text) <= field.max_length for text in texts)


def fitted(field: Any, text: str) -> str:
    """Return the text that a column of limited length stores: without spaces that don't fit.

    PostgreSQL, MySQL and MariaDB cut off such spaces instead of refusing the text
    (https://www.postgresql.org/docs/15/datatype-character.html,
    https://dev.mysql.com/doc/refman/8.4/en/char.html).
    """
    length = field.max_length if isinstance(field, models.CharField) else None
    if length is None or len(text) <= length or text[length:].strip(" "):
        return text
    return text[:length]


def needs_strip(field: Any) -> bool:
    """Return whether the column would store white space around a value that the field ignores."""
    return isinstance(field, models.GenericIPAddressField)


def rounded(column: Any, number: Decimal) -> Decimal:
    """Round half away from zero, as PostgreSQL, MySQL and Oracle do when they store a decimal.

    https://www.postgresql.org/docs/15/datatype-numeric.html,
    https://dev.mysql.com/doc/refman/8.4/en/precision-math-rounding.html
    """
    step = Decimal(1).scaleb(-column.decimal_places)
    return number.quantize(step, ROUND_HALF_UP, EXACT) if number.is_finite() else number


def plain_text(value: Any) -> str | None:
    """Return a value without a field, such as a constant, as text; None for null and ``""``.

    :raises TypeError: equal values could have different texts, as those of a set.
    """
    match value:
        case None:
            return None
        case bool():
            return str(value)
        case int():
            return int.__repr__(value)
        case str():  # not str(value): an enum member may define another __str__()
            return str.__str__(value) or None
        case float():
            return float.__repr__(value + 0.0)  # -0.0 is 0.0
        case Decimal():
            return _decimal_text(value)
        case datetime() if value.tzinfo:
            return str(value.astimezone(UTC))
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case models.Model():
            return plain_text(value.pk)
        case Promise():  # a lazy text
            return str(value) or None
    if isinstance(value, Collection | Iterator) or _has_no_text(value):
        raise TypeError(
            f"a part of a scope must be one value that has a text of its own, not {value!r}"
        )
    return str(value)


def _has_no_text(value: Any) -> bool:
    """Return whether the object's text is that of all objects, which contains its address."""
    kind: Any = type(value)
    return kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__


@lru_cache(maxsize=1024)
def counter_name(base: str, texts: tuple[str, ...], separator: str) -> str:
    """Join ``base``, already escaped, and the texts. Different texts give different names."""
    return separator.join([base, *(escape(text, separator) for text in texts)])


def texts_of_name(name: str, base: str, separator: str) -> tuple[str, ...] | None:
    """Return the texts that ``counter_name()`` joined, or None if the name has another base."""
    if name == base:
        return ()
    if not name.startswith(base + separator):
        return None
    rest = name[len(base + separator) :]
    return tuple(unquote(text, errors="replace") for text in rest.split(separator))


def escape(text: str, separator: str) -> str:
    """Percent-encode the separator's characters, white space at both ends, NUL and ``%``."""
    return _special(separator).sub(_code, text)


@lru_cache
def _special(separator: str) -> re.Pattern[str]:
    return re.compile(rf"[{re.escape(separator)}%\0]|^\s|\s$")


def _code(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _decimal_text(number: Decimal) -> str:
    if not number.is_finite():
        return str(number)
    return f"{EXACT.normalize(number):f}" if number else "0"


def _moment(column: Any, stored: Any, value: Any, connection: Any) -> Any:
    """Return an aware datetime. MySQL and SQLite store naive ones in the connection's time zone."""
    moment = parse_datetime(str(stored)) if not isinstance(stored, datetime) else stored
    if moment is not None and moment.tzinfo is None and settings.USE_TZ:
        return make_aware(moment, connection.timezone)
    return stored if moment is None else moment


def _duration(column: Any, stored: Any, value: Any, connection: Any) -> timedelta:
    if isinstance(stored, int):
        return timedelta(microseconds=stored)
    return column.to_python(stored)  # type: ignore[no-any-return]


def _json(column: Any, stored: Any, value: Any, connection: Any) -> str:
    return json.dumps(value, cls=column.encoder, sort_keys=True)


_CONVERTERS: dict[type, Callable[[Any, Any, Any, Any], Any]] = {
    models.DateTimeField: _moment,
    models.DurationField: _duration,
    # PostgreSQL ignores the time zone; the other databases refuse it.
    models.TimeField: lambda column, stored, value, connection: (
        stored.replace(tzinfo=None) if isinstance(stored, time) else stored
    ),
    models.UUIDField: lambda column, stored, value, connection: column.to_python(stored),
    models.BooleanField: lambda column, stored, value, connection: bool(stored),
    models.BinaryField: lambda column, stored, value, connection: bytes(value),
    models.JSONField: _json,
}
"""Conversions for fields whose stored value depends on the database."""


@lru_cache
def _converter(kind: type) -> Callable[[Any, Any, Any, Any], Any] | None:
    return next((_CONVERTERS[base] for base in kind.__mro__ if base in _CONVERTERS), None)
