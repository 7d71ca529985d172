"""How rows get their numbers: before the INSERT, or by it, and taken back if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Self

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max, Model

from sequences_core import Allocation, SequenceExhausted, get_last_value, set_last_value
from sequences_core.functions import has_function
from sequences_core.taking import begin, in_users_transaction, take

from . import free
from .counters import Numbering
from .scopes import CHOICES

Wants = dict[str, dict[Numbering, tuple[list[Any], list[Any]]]]
"""For each counter, by field: the rows to be numbered, and those that bring their number."""


def is_expression(value: Any) -> bool:
    """Will the database say the value?"""
    return hasattr(value, "resolve_expression")


class Numbers:
    """The numbers of rows that are about to be inserted.

    A context manager around the INSERT statements. Entered for the first time it sets the number of
    each row: to the expression that takes it, where a single INSERT can do that by itself, else to
    a number taken here, in a transaction that lasts until the block ends, unless one is open. All
    counters of all fields and rows are locked in the order of their names, so that no two calls
    wait for each other. Whoever uses it calls :meth:`restore` if the rows weren't inserted.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        rows: Sequence[Any],
        fields: Sequence[Any],
        *,
        bulk: bool = False,
        conflicts: bool = False,
    ) -> None:
        self.connection = connection
        self.using = connection.alias
        self.rows = rows
        self.fields = fields
        self.bulk = bulk
        self.conflicts = conflicts
        self.wants: Wants | None = None
        self._before: list[tuple[Any, str, Any]] = []
        self._texts: list[tuple[Any, str, Any]] = []
        self._transaction: Any = None

    def __enter__(self) -> Self:
        if self.wants is None:
            try:
                self.wants = self._wants()
                if self.wants and not self._leave_it_to_the_insert():
                    self._number()
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(self, *exception: Any) -> None:
        for row, attname, value in self._texts:
            row.__dict__[attname] = value
        if self._transaction:
            opened, self._transaction = self._transaction, None
            opened.__exit__(*exception)

    def restore(self, error: BaseException) -> None:
        """Take the numbers back from the rows, which were not inserted."""
        for row, attname, value in self._before:
            row.__dict__[attname] = value
        if self._before and isinstance(error, IntegrityError):
            self._explain(error)

    def remember(self) -> None:
        """Note on the rows, now inserted, that nobody has set their numbers."""
        for field in self.fields:
            for row in self.rows:
                memory(row)[field.attname] = (self.using, row.__dict__.get(field.attname), None)

    def pass_stored(self) -> None:
        """Move the counters past the explicit numbers that are stored, after ON CONFLICT."""
        for name, fields in sorted((self.wants or {}).items()):
            for field, (_, explicit) in fields.items():
                if stored := self._stored(field, name, explicit):
                    _pass(field, explicit[0], name, max(stored), self.using)

    def _wants(self) -> Wants:
        wants: Wants = {}
        for field in self.fields:
            attname = field.attname
            values = [_explicit(row, field, self.using) for row in self.rows]
            rows = self.rows
            if any(value is not None for value in values):
                kept = [i for i, value in enumerate(values) if not is_expression(value)]
                rows, values = [rows[i] for i in kept], [values[i] for i in kept]
            if not rows:
                continue
            for row, value in zip(rows, values, strict=True):
                if value is None and row.__dict__.get(attname) is not None:
                    self._set(row, attname, None)  # it has the number of the row it is a copy of
            for text in field.text_columns:
                self._settle(rows, text)
            names = field.names_of(rows, self.connection)
            for name, row, value in zip(names, rows, values, strict=True):
                if name is not None:
                    new, explicit = wants.setdefault(name, {}).setdefault(field, ([], []))
                    (new if value is None else explicit).append(row)
        return wants

    def _settle(self, rows: Sequence[Any], attname: str) -> None:
        """Store text of a subclass of str as what it is; mysqlclient asks its ``__str__``."""
        for row in rows:
            value = row.__dict__.get(attname)
            if type(value) is not str and isinstance(value, str):
                self._texts.append((row, attname, value))
                row.__dict__[attname] = str.__str__(value)

    def _leave_it_to_the_insert(self) -> bool:
        """Set the expression on a single row that is numbered by a single counter."""
        assert self.wants is not None
        if self.bulk or len(self.wants) != 1:
            return False
        ((name, fields),) = self.wants.items()
        (field, (new, _)), *others = fields.items()
        if others or not new or not field.is_plain or not has_function(self.connection):
            return False
        if not self.connection.features.can_return_columns_from_insert:
            # The number is read back by the primary key, after the commit.
            keys: Sequence[Any] = field.model._meta.pk_fields
            unknown = any(is_expression(getattr(new[0], key.attname)) for key in keys)
            if unknown or field in keys or in_users_transaction(self.connection):
                return False
        self._set(new[0], field.attname, field.next_value(name))
        return True

    def _number(self) -> None:
        assert self.wants is not None
        if self.conflicts and any(new for of in self.wants.values() for new, _ in of.values()):
            raise NotSupportedError(
                "bulk_create() with ignore_conflicts or update_conflicts would lose the numbers "
                "of rows that are not inserted"
            )
        if not in_users_transaction(self.connection):
            limits = [field.limit for of in self.wants.values() for field in of]
            limit = min((limit for limit in limits if limit is not None), default=None)
            self._transaction = begin(self.using, limit)
        for name, fields in sorted(self.wants.items()):
            for field, (new, explicit) in fields.items():
                self._number_alike(field, name, new, explicit)

    def _number_alike(self, field: Any, name: str, new: list[Any], explicit: list[Any]) -> None:
        """Number the rows of one field and counter."""
        if self.conflicts:
            return _lock(field, explicit[0], name, self.using)
        given = {_number(row, field) for row in explicit}
        if given:
            _pass(field, explicit[0], name, max(given), self.using)
        if new:
            attname = field.attname
            for row, number in zip(new, _take(field, new, name, self.using, given), strict=True):
                self._set(row, attname, number)
        return None

    def _set(self, row: Any, attname: str, value: Any) -> None:
        self._before.append((row, attname, row.__dict__.get(attname)))
        row.__dict__[attname] = value

    def _stored(self, field: Any, name: str, rows: list[Any]) -> list[int]:
        """Return the numbers of the given rows that rows of this counter have now."""
        numbers = [_number(row, field) for row in rows]
        stored = field.model._base_manager.using(self.using)
        found: list[int] = []
        for start in range(0, len(numbers), CHOICES):
            chosen = stored.filter(**{f"{field.attname}__in": numbers[start : start + CHOICES]})
            alike = list(chosen)
            names = field.names_of(alike, self.connection) if alike else []
            found += [
                getattr(row, field.attname)
                for row, each in zip(alike, names, strict=True)
                if each == name
            ]
        return found

    def _explain(self, error: IntegrityError) -> None:
        """Add a note that says which counter is behind its rows, if one is."""
        for name, fields in (self.wants or {}).items():
            for field, (new, _) in fields.items():
                if not new:
                    continue
                remedy = (
                    f"manage.py sequences set {name!r} HIGHEST --database={self.using}, or "
                    f"declare {field} with skip_used=True"
                )
                try:
                    rows = field.rows_of(new[0], self.using)
                    highest = rows.aggregate(highest=Max(field.attname))["highest"]
                    # Read after the rows, so that those of other transactions don't mislead.
                    last = get_last_value(name, using=self.using) or 0
                except (DatabaseError, ObjectDoesNotExist, ValueError):
                    error.add_note(  # the transaction that it broke answers no query
                        f"If rows of {field} have higher numbers than their sequence {name!r}, "
                        f"the sequence is behind them: {remedy}"
                    )
                    continue
                if highest is not None and highest > last:
                    error.add_note(
                        f"Sequence {name!r} is at {last}, behind the highest number {highest} of "
                        f"{field}: {remedy.replace('HIGHEST', str(highest))}"
                    )


def _explicit(row: Any, field: Any, using: str) -> Any:
    """Return the number that somebody has set; None if the row is to get one.

    A row that is inserted as a copy of another has that one's number, which nobody set.
    """
    value = row.__dict__.get(field.attname)
    if value is None or is_expression(value):
        return value
    given = memory(row).get(field.attname)
    if given is None or given[:2] != (using, value):
        return value
    # The same row again, which somebody deleted meanwhile, keeps its number.
    return value if given[2] is not None and given[2] == row.pk else None


def memory(row: Any) -> dict[str, tuple[str | None, Any, Any]]:
    """Return where an instance remembers the numbers that it didn't get by an assignment.

    By attribute: the database alias, the number, and the primary key of the row that has it, or
    None if this instance inserted that itself, and so may have been rolled back.
    """
    return row._state.__dict__.setdefault("sequence_numbers", {})  # type: ignore[no-any-return]


def _number(row: Any, field: Any) -> int:
    return field.get_prep_value(getattr(row, field.attname))  # type: ignore[no-any-return]


def _pass(field: Any, row: Model, name: str, number: int, using: str) -> None:
    """Move the counter past an explicit number, unless it is or will start past it."""
    if get_last_value(name, using=using) is None:
        initial = field.initial_value
        if number < (initial(row) if callable(initial) else initial):
            return
    if field.limit is None or number < 0:
        with suppress(ValueError):
            set_last_value(number, name, using=using)
        return
    # What bounds the wait is taking; the counter is locked by then, and may go back.
    with suppress(SequenceExhausted):
        last = take(Allocation(name, timeout=field.limit), using)[0] - 1
        set_last_value(max(number, last), name, force=True, using=using)


def _lock(field: Any, row: Model, name: str, using: str) -> None:
    """Lock the counter, and leave it where it is."""
    with suppress(SequenceExhausted):
        taken = take(field.allocation(row, name), using)
        set_last_value(taken[0] - 1, name, force=True, using=using)


def _take(field: Any, rows: list[Any], name: str, using: str, explicit: set[int]) -> Iterable[int]:
    """Take numbers for the rows; the counter is locked before any row is looked at."""
    if field.reset_value is not None:
        return [take(field.allocation(row, name), using)[0] for row in rows]
    n = len(rows)
    if field.reuse:
        taken = take(field.allocation(rows[0], name), using)
        others = field.rows_of(rows[0], using)
        choice = free.reusable(field, others, taken, explicit)
        numbers = free.pick(field, choice, others, n, explicit)
        last = numbers[-1]
        free.move(name, max(last, taken[0] - 1) if field.reuse == "gaps" else last, taken, using)
        return numbers
    taken = take(field.allocation(rows[0], name, n), using)
    if not field.skips_used(rows[0]):
        return taken
    others = field.rows_of(rows[0], using)
    if not free.is_used(field, others, taken):
        return taken
    numbers = free.pick(field, free.unused(field, others, taken), others, n, ())
    free.move(name, numbers[-1], taken, using)
    return numbers
