"""Database expressions with the same results as the formats in Python."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import NotSupportedError
from django.db.models import (
    Case,
    CharField,
    F,
    Func,
    OuterRef,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.constants import LOOKUP_SEP
from django.db.models.lookups import GreaterThanOrEqual


def is_expression(value: Any) -> bool:
    """Return whether a value is an expression, which only the database can evaluate."""
    return hasattr(value, "resolve_expression")


class Digits(Func):
    """An integer in decimal, padded with zeros to ``width`` digits.

    ``LPAD`` alone truncates longer numbers on PostgreSQL, MySQL, MariaDB and Oracle: 10000 in four
    digits would be 1000, a duplicate. The integer is evaluated twice.
    """

    output_field = CharField()
    template = (
        "LPAD(CAST(%(expressions)s AS VARCHAR(20)), "
        "GREATEST(%(width)s, LENGTH(CAST(%(expressions)s AS VARCHAR(20)))), '0')"
    )

    def __init__(self, number: Any, *, width: int = 1) -> None:
        super().__init__(number, width=width)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        sql, params = super().as_sql(compiler, connection, *args, **context)
        return sql, (*params, *params)

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # No CAST: its collation could differ from that of a column in the same expression.
        template = "LPAD(%(expressions)s, GREATEST(%(width)s, CHAR_LENGTH(%(expressions)s)), '0')"
        return self.as_sql(compiler, connection, template=template)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        zeros = "0" * self.extra["width"]
        template = (
            f"(SUBSTR('{zeros}', 1, MAX(0, %(width)s - LENGTH(%(expressions)s))) "
            f"|| %(expressions)s)"
        )
        return self.as_sql(compiler, connection, template=template)


class BySQLite(Func):
    """An expression; on SQLite, functions of SQLite compute the same from a date.

    Django's own expression for SQLite calls Python functions for each row. It is used only for
    dates that Django parses and ``STRFTIME`` doesn't, such as 2026-1-5, written by another program.
    A time is appended to the date, because ``STRFTIME`` would otherwise also accept "now" and
    numbers.

    :param general: the expression for other databases.
    :param day: the date.
    :param native: the SQL for SQLite, in which ``DAY`` stands for the date.
    """

    def __init__(self, general: Any, day: Any, *, native: str) -> None:
        super().__init__(general, day, native=native)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        return compiler.compile(self.source_expressions[0])

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        (general, others), (day, params) = map(compiler.compile, self.source_expressions)
        native = self.extra["native"].replace("%", "%%").replace("DAY", f"{day} || ' 00:00'")
        return f"COALESCE({native}, {general})", (*params, *others)


class Joined(Func):
    """Concatenated texts. Unlike Django's Concat, this is null if one of them is null."""

    output_field = CharField()
    template = "(%(expressions)s)"
    arg_joiner = " || "

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="CONCAT(%(expressions)s)", arg_joiner=", "
        )


class Filled(Func):
    """A text, or null if it is empty."""

    output_field = CharField()
    template = "NULLIF(%(expressions)s, '')"

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # In most collations, '' is equal to spaces and control characters.
        template = "CASE WHEN LENGTH(%(expressions)s) > 0 THEN %(expressions)s END"
        sql, params = self.as_sql(compiler, connection, template=template)
        return sql, (*params, *params)

    def as_oracle(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s")  # '' is null


class ByBytes(Func):
    """A text that compares byte for byte, whatever the collation of its column.

    On Oracle and other databases it is unchanged, so that the collation still matters.
    """

    output_field = TextField()
    template = "%(expressions)s"

    def as_postgresql(self, compiler: Any, connection: Any) -> Any:
        template = 'CAST(%(expressions)s AS text) COLLATE "C"'
        return self.as_sql(compiler, connection, template=template)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s COLLATE BINARY")

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # The column may have another character set than the connection.
        template = "CAST(CONVERT(%(expressions)s USING utf8mb4) AS BINARY)"
        return self.as_sql(compiler, connection, template=template)


class Moment(Func):
    """A datetime whose parts are extracted in a time zone."""

    template = "%(expressions)s"

    def __init__(self, moment: Any, *, zone: str) -> None:
        super().__init__(moment, zone=zone)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        # Without USE_TZ, Django extracts parts of the stored value and ignores the time zone.
        zone, stored = self.extra["zone"], connection.timezone_name
        if zone != stored and not settings.USE_TZ:
            raise NotSupportedError(
                f"without USE_TZ, the database can't convert a datetime from TIME_ZONE {stored!r} "
                f"to {zone!r}"
            )
        return super().as_sql(compiler, connection, *args, **context)

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # If the server's time zone tables are empty, CONVERT_TZ returns null without an error.
        zone = self.extra["zone"]
        if zone != connection.timezone_name and not connection.features.has_zoneinfo_database:
            raise NotSupportedError(
                f"database {connection.alias!r} doesn't know the time zone {zone!r}: load its time "
                f"zone tables (mysql_tzinfo_to_sql)"
            )
        return self.as_sql(compiler, connection)


def padded(number: Any, width: int) -> Any:
    """Return an integer as text of at least ``width`` digits; null if it is negative."""
    return Case(When(GreaterThanOrEqual(number, Value(0)), then=Digits(number, width=width)))


class Stored:
    """The column at the end of a path, like ``F`` but without a JOIN, so that UPDATE can use it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self.source(query.model).resolve_expression(query, *args, **kwargs)

    def source(self, model: Any) -> Any:
        """Return the column, or a subquery for one of a related model or of a parent model."""
        first, _, rest = self.path.partition(LOOKUP_SEP)
        field = model._meta.pk if first == "pk" else model._meta.get_field(first)
        if field.model._meta.concrete_model is not model._meta.concrete_model:
            field, rest = model._meta.get_ancestor_link(field.model), self.path
        if not rest:
            return F(field.attname)
        if not field.is_relation:
            raise FieldDoesNotExist(f"{field} is not a relation, so {rest!r} can't follow it")
        target = field.target_field
        related: QuerySet[Any] = QuerySet(model=target.model).filter(
            **{target.attname: OuterRef(field.attname)}
        )
        return Subquery(related.values(rest))
