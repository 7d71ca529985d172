"""Database expressions that write what Python's formats write."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import NotSupportedError
from django.db.models import Case, CharField, F, Func, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.constants import LOOKUP_SEP
from django.db.models.lookups import GreaterThanOrEqual


class Digits(Func):
    """An integer in decimal, with zeros in front up to ``width`` places.

    ``LPAD`` alone cuts longer numbers on PostgreSQL, MySQL, MariaDB and Oracle: 10000 in four
    places would be 1000, a duplicate. The integer is evaluated twice.
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
        # Without CAST, whose collation could be another one than that of a column beside it.
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
    """An expression; on SQLite what its own functions compute from the second one, a date.

    For what Django does with dates on SQLite calls Python, several times for each row. It does that
    here too for a date that Django reads and ``STRFTIME`` doesn't, such as 2026-1-5, which another
    program has written. With a time behind it ``STRFTIME`` reads nothing but dates: not "now", and
    no number of a day.
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
    """Texts one after the other; null if one of them is, which Django's Concat isn't."""

    output_field = CharField()
    template = "(%(expressions)s)"
    arg_joiner = " || "

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="CONCAT(%(expressions)s)", arg_joiner=", "
        )


class Filled(Func):
    """A text, with null in the place of the empty one."""

    output_field = CharField()
    template = "NULLIF(%(expressions)s, '')"

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # '' is equal to spaces and control characters in most collations.
        template = "CASE WHEN LENGTH(%(expressions)s) > 0 THEN %(expressions)s END"
        sql, params = self.as_sql(compiler, connection, template=template)
        return sql, (*params, *params)

    def as_oracle(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s")  # '' is null there


class Moment(Func):
    """A moment of which parts are extracted in a time zone."""

    template = "%(expressions)s"

    def __init__(self, moment: Any, *, zone: str) -> None:
        super().__init__(moment, zone=zone)

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **context: Any) -> Any:
        # Without USE_TZ, Django extracts parts of what is stored, whatever zone it is told.
        zone, stored = self.extra["zone"], connection.timezone_name
        if zone != stored and not settings.USE_TZ:
            raise NotSupportedError(
                f"without USE_TZ a database can't tell the date in {zone!r} of a moment, which is "
                f"stored in TIME_ZONE {stored!r}"
            )
        return super().as_sql(compiler, connection, *args, **context)

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        # Where the server's table of zones is empty, CONVERT_TZ returns null, without an error.
        zone = self.extra["zone"]
        if zone != connection.timezone_name and not connection.features.has_zoneinfo_database:
            raise NotSupportedError(
                f"database {connection.alias!r} doesn't know the time zone {zone!r}: load its "
                f"table of time zones (mysql_tzinfo_to_sql)"
            )
        return self.as_sql(compiler, connection)


def padded(number: Any, width: int) -> Any:
    """Return a column's integer in so many places; null if it is negative."""
    return Case(When(GreaterThanOrEqual(number, Value(0)), then=Digits(number, width=width)))


class Stored:
    """What the end of a path of columns holds, also inside an UPDATE, which may join no tables.

    Like an ``F``, it becomes an expression where a query resolves it, which knows the model.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self.source(query.model).resolve_expression(query, *args, **kwargs)

    def source(self, model: Any) -> Any:
        """Return the column of the model's table, or the query that looks up what it refers to.

        So does the link to the row of a parent, whose columns an UPDATE can't join either.
        """
        first, _, rest = self.path.partition(LOOKUP_SEP)
        field = model._meta.pk if first == "pk" else model._meta.get_field(first)
        if field.model._meta.concrete_model is not model._meta.concrete_model:
            field, rest = model._meta.get_ancestor_link(field.model), self.path
        if not rest:
            return F(field.attname)
        if not field.is_relation:
            raise FieldDoesNotExist(f"{field} is no relation, so no {rest!r} follows")
        target = field.target_field
        related: QuerySet[Any] = QuerySet(model=target.model).filter(
            **{target.attname: OuterRef(field.attname)}
        )
        return Subquery(related.values(rest))
