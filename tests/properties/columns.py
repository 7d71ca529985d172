"""Columns that a scope can be, and values that Python or the column holds equal, or doesn't."""

from __future__ import annotations

import enum
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections, models
from django.utils.functional import lazystr
from django.utils.safestring import SafeString
from hypothesis import strategies as st

SHORT_TEXTS = st.text(st.sampled_from("aA.%é "), min_size=1, max_size=3)


class Label(str):
    """Text that says something else of itself than what is stored."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"label of {str.__str__(self)}"


class Letter(str, enum.Enum):  # noqa: UP042 - a StrEnum says its value of itself
    SMALL = "a"
    LARGE = "A"


class Kind(models.TextChoices):
    SMALL = "a", "Small"
    SEVEN = "7", "Seven"


class Rank(models.IntegerChoices):
    ONE = 1, "One"
    SEVEN = 7, "Seven"


class Count(int):
    def __str__(self) -> str:
        return f"{int(self)} of them"


class Moment(datetime):
    def __str__(self) -> str:
        return "now"


class CoarseDateTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A column that keeps whole seconds, as MySQL's were before 5.6.4."""

    def db_type(self, connection: Any) -> str:
        types = {"mysql": "datetime", "postgresql": "timestamp(0) with time zone"}
        return types.get(connection.vendor, "datetime")


def binary(using: str) -> str:
    """Return the name of a collation that compares byte for byte."""
    connection: Any = connections[using]
    if connection.vendor != "mysql":
        return {"sqlite": "BINARY", "postgresql": "C"}[connection.vendor]
    return "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"


BERLIN = ZoneInfo("Europe/Berlin")
PLUS_TWO = timezone(timedelta(hours=2))
KEY = uuid.UUID("0123456789abcdef0123456789abcdef")

TEXTS: list[Any] = [
    *("a", Label("a"), Letter.SMALL, Kind.SMALL, SafeString("a"), lazystr("a")),
    *("A", Letter.LARGE, "a ", " a", "á", "a\u0301", "a.a", "a%2E", "%", "\\", "😀"),
    *("7", 7, Kind.SEVEN, Rank.SEVEN, "07", "7.0", Decimal("7.0"), 7.0, Count(7)),
    *("1", 1, True, "True", "None", KEY, str(KEY), KEY.hex),
]

INTEGERS: list[Any] = [
    *(7, "7", "07", " 7", 7.0, 7.9, Decimal(7), Decimal("7.5"), Rank.SEVEN, Count(7)),
    *(1, True, "1", Rank.ONE, 0, False, -0.0, "-0", 10, "1_0"),
]

DECIMALS: list[Any] = [
    *("1.00", Decimal(1), Decimal("1.00"), Decimal("1.004"), 1, True, "1", "1e0", 1.0, 1.004),
    *(Decimal("1.005"), Decimal("1.006"), Decimal("1.01"), "1.01", 1.01, 1.005),
    *(Decimal(0), Decimal("-0"), Decimal("-0.00"), Decimal("0.001"), "-0", 0, -0.0),
    *(Decimal("1E+2"), 100, "100.00", Decimal("-1.00"), -1),
]

BOOLEANS: list[Any] = [True, False, 1, 0, "1", "0", "t", "f", "True", "False"]

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

DATETIMES: list[Any] = [
    *(NOON, NOON.astimezone(PLUS_TWO), NOON.astimezone(BERLIN), "2030-01-01T12:00:00Z"),
    *("2030-01-01 14:00:00+02:00", "2030-01-01T12:00:00.000000+00:00", NOON.isoformat()),
    Moment(2030, 1, 1, 12, tzinfo=UTC),
    *(NOON.replace(microsecond=1), NOON.replace(microsecond=100_000), "2030-01-01T12:00:00.1Z"),
    *(NOON.replace(microsecond=499_999), NOON.replace(microsecond=500_000)),
    *(NOON.replace(tzinfo=PLUS_TWO), datetime(2030, 1, 1, tzinfo=UTC), date(2030, 1, 1)),
    *(datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)),
    *(datetime(2030, 10, 27, hour, 30, tzinfo=UTC) for hour in (0, 1)),
    datetime(2030, 1, 1, 12),  # Django warns of a naive one, which is an error here
]

DATES: list[Any] = [
    *(date(2030, 1, 1), "2030-01-01", NOON, datetime(2030, 1, 1, 12), "2030-1-1"),
    *(datetime(2030, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5))), date(2030, 1, 2)),
    *(Moment(2030, 1, 2, tzinfo=UTC), "2030-01-02", date(1, 1, 1), date(9999, 12, 31)),
]

TIMES: list[Any] = [
    *(time(12), "12:00", "12:00:00", "12:00:00.000000", datetime(2030, 1, 1, 12)),
    *(time(12, microsecond=1), "12:00:00.000001", time(12, fold=1), time(12, 0, 1)),
    *(time(12, microsecond=500_000), "12:00:00.5", time(0), "00:00"),
]

DURATIONS: list[Any] = [
    *(timedelta(hours=1), timedelta(seconds=3600), "01:00:00", "PT1H", "3600", "0 01:00:00"),
    *(timedelta(days=1), "1 00:00:00", timedelta(hours=24), "P1D", timedelta(days=-1)),
    *(timedelta(microseconds=1), timedelta(milliseconds=0.001), timedelta(0), "0"),
]

UUIDS: list[Any] = [
    *(KEY, str(KEY), KEY.hex, str(KEY).upper(), f"{{{KEY}}}", KEY.urn, KEY.int),
    *(uuid.UUID(int=7), 7, str(uuid.UUID(int=7)), uuid.UUID(int=0)),
]

ADDRESSES: list[Any] = [
    *("10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1", " 10.0.0.1 ", "10.0.0.2"),
    *("2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:0db8::0001", "::1"),
    *(ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("2001:db8::1")),
]


@dataclass(frozen=True)
class Column:
    """A field to make a column of, and values for it."""

    make: Callable[[str], models.Field[Any, Any]]
    values: list[Any]
    unique: bool = False
    """Is the number unique with it?"""
    refusable: bool = False
    """May a check refuse it as a scope, as what can't be made canonical is?"""
    only: str = ""
    """The vendor of the only database that has it."""

    @property
    def strategy(self) -> st.SearchStrategy[Any]:
        """One of the values, or any text where they are text."""
        chosen = st.sampled_from(self.values)
        return chosen | SHORT_TEXTS if self.values is TEXTS else chosen


COLUMNS = {
    "char": Column(
        lambda using: models.CharField(max_length=40, db_collation=binary(using)), TEXTS
    ),
    "char, short": Column(
        lambda using: models.CharField(max_length=3, db_collation=binary(using)),
        ["abc", "abc ", "abc  ", Label("abc "), "ab ", "ab  ", "ab   ", "   ", "    ", "abcd"],
    ),
    "text": Column(lambda using: models.TextField(db_collation=binary(using)), TEXTS),
    "slug": Column(
        lambda using: models.SlugField(max_length=40, db_collation=binary(using)), TEXTS
    ),
    "text choices": Column(
        lambda using: models.CharField(
            max_length=9, choices=Kind.choices, db_collation=binary(using)
        ),
        [Kind.SMALL, "a", Kind.SEVEN, "7", 7, Letter.SMALL],
    ),
    "integer choices": Column(lambda using: models.IntegerField(choices=Rank.choices), INTEGERS),
    "small integer": Column(lambda using: models.SmallIntegerField(), INTEGERS),
    "integer": Column(lambda using: models.IntegerField(), INTEGERS),
    "big integer": Column(lambda using: models.BigIntegerField(), INTEGERS, unique=True),
    "positive integer": Column(lambda using: models.PositiveIntegerField(), INTEGERS),
    "decimal": Column(
        lambda using: models.DecimalField(max_digits=8, decimal_places=2), DECIMALS, unique=True
    ),
    "boolean": Column(lambda using: models.BooleanField(), BOOLEANS),
    "date": Column(lambda using: models.DateField(), DATES),
    "datetime": Column(lambda using: models.DateTimeField(), DATETIMES, unique=True),
    "time": Column(lambda using: models.TimeField(), TIMES),
    "duration": Column(lambda using: models.DurationField(), DURATIONS),
    "uuid": Column(lambda using: models.UUIDField(), UUIDS),
    "address": Column(lambda using: models.GenericIPAddressField(), ADDRESSES),
    "address, unpacked": Column(
        lambda using: models.GenericIPAddressField(unpack_ipv4=True), ADDRESSES
    ),
    # What the database compares in its own way: a check refuses it, or the counter follows.
    "char, default collation": Column(
        lambda using: models.CharField(max_length=40), TEXTS, unique=True, refusable=True
    ),
    "char, ignoring case": Column(
        lambda using: models.CharField(max_length=40, db_collation="NOCASE"),
        TEXTS,
        unique=True,
        refusable=True,
        only="sqlite",
    ),
    "char, nondeterministic": Column(
        lambda using: models.CharField(max_length=40, db_collation="properties_ci"),
        TEXTS,
        unique=True,
        refusable=True,
        only="postgresql",
    ),
    "coarse datetime": Column(lambda using: CoarseDateTimeField(), DATETIMES, refusable=True),
}

REFUSED: dict[str, Callable[[], models.Field[Any, Any]]] = {
    "binary": lambda: models.BinaryField(max_length=9),
    "json": lambda: models.JSONField(),
    "float": lambda: models.FloatField(),
}
