"""The rules of ``ascending`` and ``maximum``, and their enforcement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, NoReturn

from django.db import NotSupportedError, connections
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL

from sequences_core import SequenceExhausted
from sequences_core.arguments import check_integer

from .exceptions import OutOfOrder
from .expressions import is_expression
from .scopes import is_automatic, parts_of

logger = logging.getLogger("sequences_contrib")

Found = tuple[int, Any, Any]
"""A number, the date of its row, and the row itself, or None for a row that is already stored."""


def refuse_bad_options(field: Any) -> None:
    """Raise TypeError or ValueError if ``ascending``, ``maximum`` or ``warn_below`` is invalid."""
    if field.ascending is not None:
        if not isinstance(field.ascending, str) or not field.ascending:
            raise TypeError(f"ascending must be a field's name, not {field.ascending!r}")
        if field.reuse or field.reset_value is not None:
            raise ValueError("ascending can't be combined with reuse or reset_value")
        if any(map(callable, parts_of(field.scope))):
            raise ValueError("ascending needs a scope made of fields, not of a function")
    if field.maximum is not None and field.reset_value is not None:
        raise ValueError("maximum can't be combined with reset_value")
    if field.maximum is not None and not callable(field.maximum):
        maximum = check_integer("maximum", field.maximum)
        if not callable(field.initial_value) and maximum < field.initial_value:
            raise ValueError(f"the maximum {maximum} is below the initial_value")
    if check_integer("warn_below", field.warn_below) and field.maximum is None:
        raise ValueError("warn_below needs a maximum")


def date_of(field: Any, row: Model) -> Any:
    """Return the value of the row's ``ascending`` field, as its column stores it.

    :raises ValueError: it is null, or not known before the INSERT. The field may raise other errors
        for an invalid value.
    """
    dates = field.model._meta.get_field(field.ascending)
    value = getattr(row, dates.attname)
    if is_expression(value) or is_automatic(dates):
        raise ValueError(
            f"{field} ascends with {dates}, whose value must be known before the INSERT: set it, "
            f"or give it a default such as timezone.now instead of auto_now_add"
        )
    if (value := dates.get_prep_value(value)) is None:
        raise ValueError(f"{field} ascends with {dates}, which is null: set it before saving")
    return value


def maximum_of(field: Any, row: Model) -> int | None:
    """Return the highest number that the row may have; None if only the column limits it."""
    if not callable(field.maximum):
        return field.maximum  # type: ignore[no-any-return]
    maximum = field.maximum(row)
    return None if maximum is None else check_integer("maximum", maximum)


class Rules:
    """The rules of one field for the rows of one counter that are numbered together.

    The constructor checks the rows themselves, without a query. :meth:`check` must be called when
    the counter is locked and the rows have their numbers.
    """

    def __init__(self, field: Any, name: str, new: Sequence[Any], given: Sequence[Any]) -> None:
        self.field = field
        self.name = name
        self.rows = [*new, *given]
        # If false, the new numbers are above those of all stored rows.
        self.between = bool(given or field.skip_used)
        self.dates = [date_of(field, row) for row in self.rows] if field.ascending else []
        self.maxima = []
        if field.maximum is not None:
            self.maxima = [maximum_of(field, row) for row in self.rows]
            for row, maximum in zip(given, self.maxima[len(new) :], strict=True):
                number = field.number_of(row)
                if maximum is not None and number > maximum:
                    raise ValueError(f"{field}: the number {number} is above the maximum {maximum}")

    def check(self, using: str) -> None:
        """Raise OutOfOrder or SequenceExhausted if the numbers of the rows break a rule."""
        numbers = list(map(self.field.number_of, self.rows))
        if self.maxima:
            check_end(self.field, self.name, numbers, self.maxima)
        if self.dates:
            self.check_order(numbers, using)

    def check_order(self, numbers: list[int], using: str) -> None:
        """Raise OutOfOrder unless the dates ascend, including those of adjacent stored numbers."""
        ours: list[Found] = list(zip(numbers, self.dates, self.rows, strict=True))
        ours.sort(key=itemgetter(0))
        around = self._around(min(numbers), max(numbers), using)
        found = sorted(ours + [(each[0], each[1], None) for each in around], key=itemgetter(0))
        for (_, before, earlier), (_, after, later) in pairwise(found):
            if after >= before or earlier is later is None:
                continue
            if later is not None:
                self._refuse(later, after, f"before {before}, that of the previous number", before)
            self._refuse(earlier, before, f"after {after}, that of the next number", after)

    def _refuse(self, row: Any, date: Any, why: str, last: Any) -> NoReturn:
        raise OutOfOrder(
            f"{self.field}: the {self.field.ascending} {date} of {row!r} is {why} of counter "
            f"{self.name!r}",
            counter=self.name,
            date=date,
            last=last,
            row=row,
        )

    def _around(self, first: int, last: int, using: str) -> list[Any]:
        """Return the stored numbers next to and between these, with their dates."""
        connection: Any = connections[using]
        dates = {f"{self.field.ascending}__isnull": False}
        rows: QuerySet[Any] = self.field.rows_of(self.rows[0], using).filter(**dates)
        row, *others = self.rows
        key = getattr(row, self.field.model._meta.pk.attname)
        if self.between and not others and key is not None:  # A row isn't its own neighbour.
            rows = rows.exclude(pk=key)
        if connection.vendor != "mysql":
            return self._next_to(rows, first, last)
        # A snapshot that is older than the lock of the counter doesn't include rows that were
        # committed in between. In this case, PostgreSQL and Oracle have raised an error when the
        # counter was locked; on MySQL and MariaDB, only a locking read returns these rows
        # (https://dev.mysql.com/doc/refman/8.4/en/innodb-consistent-read.html). At READ COMMITTED,
        # each statement has its own snapshot, so no row needs to be locked.
        variable = "@@tx_isolation" if connection.mysql_is_mariadb else "@@transaction_isolation"
        level = RawSQL(variable, ())  # noqa: S611 # one of two constants
        found = self._next_to(rows.annotate(sequences_level=level), first, last, "sequences_level")
        levels = {each[2] for each in found}
        if not found:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {variable}")
                levels = {cursor.fetchone()[0]}
        if levels == {"READ-COMMITTED"}:
            return found
        return self._next_to(rows.select_for_update(), first, last)

    def _next_to(self, rows: QuerySet[Any], first: int, last: int, *more: str) -> list[Any]:
        number = self.field.attname
        stored = rows.values_list(number, self.field.ascending, *more)
        found = list(stored.filter(**{f"{number}__lt": first}).order_by(f"-{number}")[:1])
        if self.between:
            found += stored.filter(**{f"{number}__gt": first, f"{number}__lt": last})
            found += stored.filter(**{f"{number}__gt": last}).order_by(number)[:1]
        return found


def check_end(field: Any, name: str, numbers: Sequence[int], maxima: Sequence[int | None]) -> None:
    """Compare numbers of a counter with the maxima of their rows, and log if few are left.

    :raises SequenceExhausted: a number is above its maximum.
    """
    limits = [
        (maximum - number, maximum)
        for number, maximum in zip(numbers, maxima, strict=True)
        if maximum is not None
    ]
    left, maximum = min(limits, default=(field.warn_below, 0))
    if left < 0:
        raise SequenceExhausted(f"{field}: counter {name!r} would pass its maximum {maximum}")
    if left < field.warn_below:
        logger.warning(
            "%s: counter %r has %d numbers left until its maximum %d",
            *(field, name, left, maximum),
        )


def check_block(field: Any, name: str, first: Model, numbers: Sequence[int], using: str) -> None:
    """Check the numbers that one UPDATE assigned to rows in the order of their dates.

    :param first: the row with the first of the numbers. Null dates are ordered before all others,
        so no other row needs to be checked for one.
    """
    rules = Rules(field, name, [first], [])
    if rules.maxima:
        check_end(field, name, [numbers[-1]], rules.maxima)
    if rules.dates:
        rules.check_order([numbers[0]], using)


def rules_of(
    wants: Mapping[str, Mapping[Any, tuple[list[Any], list[Any]]]], *, conflicts: bool
) -> dict[tuple[str, Any], Rules]:
    """Return the rules for each counter and field with ``ascending`` or ``maximum``."""
    rules: dict[tuple[str, Any], Rules] = {}
    for name, fields in wants.items():
        for field, (new, given) in fields.items():
            if not field.has_rules:
                continue
            if conflicts and field.ascending:
                raise NotSupportedError(
                    f"bulk_create() with ignore_conflicts or update_conflicts doesn't return which "
                    f"rows it inserted, so {field} can't ascend with {field.ascending!r}"
                )
            rules[name, field] = Rules(field, name, new, given)
    return rules
