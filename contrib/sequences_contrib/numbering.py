"""How rows get their numbers: before the INSERT, or by it, and taken back if it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import date, datetime
from operator import attrgetter
from typing import Any, Self

from django.db import IntegrityError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from sequences_core import (
    Allocation,
    SequenceExhausted,
    SequencesError,
    get_last_value,
    set_last_value,
)
from sequences_core.early_release import WaitedFor, durability
from sequences_core.functions import has_function
from sequences_core.models import Counter
from sequences_core.taking import begin, in_users_transaction, take
from sequences_core.waits import are_measured, measuring

from . import free, notes
from .counters import Numbering
from .formats import Affixes
from .identity import needs_strip, settled
from .rules import Rules, rules_of
from .scopes import CHOICES, rows_in

Wants = dict[str, dict[Numbering, tuple[list[Any], list[Any]]]]
"""For each counter, by field: the rows to be numbered, and those that bring their number."""


PLAIN = frozenset({date, datetime, str, type(None)})
"""Types that :func:`settled` leaves as they are."""

LOADED = "sequences_loaded"
"""Where the state of an instance remembers the primary key that it was loaded with."""


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
        due: bool = False,
    ) -> None:
        self.connection = connection
        self.using = connection.alias
        self.rows = rows
        self.fields = fields
        self.bulk = bulk
        self.conflicts = conflicts
        self.due = due
        """Are the rows numbered whatever the fields' conditions say?"""
        self.texts = [text for field in fields for text in field.texts]
        self.wants: Wants | None = None
        self.rules: dict[tuple[str, Any], Rules] = {}
        self._unwritten: list[tuple[Any, Any, list[Any], list[Affixes | None]]] = []
        self._before: list[tuple[list[Any], str, list[Any]]] = []
        self._settled: list[tuple[Any, str, Any, Any]] = []
        self._around: Any = None

    def __enter__(self) -> Self:
        if self.wants is None:
            try:
                self.wants = self._wants()
                self.rules = rules_of(self.wants, conflicts=self.conflicts)
                if self.wants and not self._leave_it_to_the_insert():
                    self._number()
                self._write()
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        else:  # bulk_create() inserts rows with primary keys and those without by themselves
            for row, attname, _, stored in self._settled:
                setattr(row, attname, stored)
        return self

    def __exit__(self, *exception: Any) -> None:
        for row, attname, value, _ in self._settled:
            setattr(row, attname, value)
        if self._around:
            around, self._around = self._around, None
            around.__exit__(*exception)

    def restore(self, error: BaseException) -> None:
        """Take the numbers back from the rows, which were not inserted."""
        for rows, attname, values in reversed(self._before):
            for row, value in zip(rows, values, strict=True):
                setattr(row, attname, value)
        if isinstance(error, SequencesError):
            return  # which says by itself what is wrong
        if self._before and isinstance(error, IntegrityError):
            notes.explain(error, self.wants or {}, self.connection)

    def remember(self) -> None:
        """Note on the rows, now inserted, that nobody has set their numbers."""
        for field in (*self.fields, *self.texts):
            attname, memory = field.attname, field.memory
            for row in self.rows:
                if self.bulk or attname in row.__dict__:  # else it is deferred
                    setattr(row._state, memory, getattr(row, attname))

    def pass_stored(self) -> None:
        """Move the counters past the explicit numbers that are stored, after ON CONFLICT."""
        for name, fields in sorted((self.wants or {}).items()):
            for field, (_, explicit) in fields.items():
                if stored := self._stored(field, name, explicit):
                    _pass(field, explicit[0], name, max(stored), self.using)

    def _wants(self) -> Wants:
        wants: Wants = {}
        for field in self.fields:
            attname, rows = field.attname, self.rows
            values = list(map(attrgetter(attname), rows))
            writing = [self._to_write(text, field) for text in field.texts]
            if explicit := values.count(None) < len(values):
                rows = [row for row in rows if not is_expression(getattr(row, attname))]
                copies = [row for row in rows if is_copy(row, field, self.using)]
                self._set(copies, attname, [None] * len(copies))
            for part in field.unsettled:
                self._settle(rows, part)
            if field.when is not None and not self.due:
                rows = [
                    row
                    for row in rows
                    if getattr(row, attname) is not None or field.is_due(row, self.connection)
                ]
            names = field.names_of(rows, self.connection) if rows else []
            if field.texts:
                numbered = {id(row) for row, name in zip(rows, names, strict=True) if name}
                for text, chosen in zip(field.texts, writing, strict=True):
                    self._prepare(text, field, chosen, numbered)
            if not explicit and len(set(names)) == 1 and None not in names:
                wants.setdefault(names[0], {})[field] = (list(rows), [])
                continue
            for name, row in zip(names, rows, strict=True):
                if name is not None:
                    new, given = wants.setdefault(name, {}).setdefault(field, ([], []))
                    (new if getattr(row, attname) is None else given).append(row)
        return wants

    def _settle(self, rows: Sequence[Any], part: Any) -> None:
        """Let the INSERT store what the counter's name is made from; see :func:`settled`."""
        attname = part.attname
        values = list(map(attrgetter(attname), rows))
        if set(map(type, values)) <= PLAIN and not needs_strip(part):
            return
        for row, value in zip(rows, values, strict=True):
            if is_expression(value):
                continue
            if (stored := settled(part, value)) is not value:
                self._settled.append((row, attname, value, stored))
                setattr(row, attname, stored)

    def _leave_it_to_the_insert(self) -> bool:
        """Set the expression on a single row that is numbered by a single counter."""
        assert self.wants is not None
        if self.bulk or self.texts or len(self.wants) != 1:
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
        # In atomic() the wait follows the COMMIT; in autocommit nobody else would wait.
        waits = durability(self.connection) is not None and self.connection.get_autocommit()
        self._set(new, field.attname, [field.next_value(name, waited_for=waits)])
        if waits:
            self._around = WaitedFor(self.connection)
            self._around.__enter__()
        if are_measured():
            both = ExitStack()
            if self._around:
                both.push(self._around)
            self._around = both
            both.enter_context(measuring(self.connection, name))
        return True

    def _number(self) -> None:
        assert self.wants is not None
        if self.conflicts and any(new for of in self.wants.values() for new, _ in of.values()):
            raise NotSupportedError(
                "bulk_create() with ignore_conflicts or update_conflicts would lose the numbers "
                "of rows that are not inserted"
            )
        if not in_users_transaction(self.connection):
            limits = [
                field.limit for of in self.wants.values() for field in of if field.limit is not None
            ]
            self._around = begin(self.using, min(limits) if limits else None)
        for name, fields in sorted(self.wants.items()):
            for field, (new, explicit) in fields.items():
                self._number_alike(field, name, new, explicit)

    def _number_alike(self, field: Any, name: str, new: list[Any], explicit: list[Any]) -> None:
        """Number the rows of one field and counter."""
        if self.conflicts:
            return lock_counter(field, explicit[0], name, self.using)
        given = {_number(row, field) for row in explicit}
        if given:
            _pass(field, explicit[0], name, max(given), self.using)
        if new:
            self._set(new, field.attname, take_numbers(field, new, name, self.using, given))
        if rules := self.rules.get((name, field)):
            rules.check(self.using)
        return None

    def _set(self, rows: list[Any], attname: str, values: Iterable[Any]) -> None:
        self._before.append((rows, attname, list(map(attrgetter(attname), rows))))
        for row, value in zip(rows, values, strict=True):
            setattr(row, attname, value)

    def _to_write(self, text: Any, field: Any) -> list[Any]:
        """Return the rows whose numbers are to be written: those to which nobody gave a text."""
        rows = []
        for row in self.rows:
            number, given = getattr(row, field.attname), getattr(row, text.attname)
            if not given or is_copy(row, text, self.using):
                if is_expression(number):
                    raise ValueError(f"{text} can't be written: only the database knows {field}")
                rows.append(row)
            elif number is None or is_copy(row, field, self.using):
                raise ValueError(f"{text} is {given!r}, but has no number: set {field} too")
        return rows

    def _prepare(self, text: Any, field: Any, rows: list[Any], numbered: set[int]) -> None:
        """Look up all but the numbers, while no counter is locked."""
        affixes = text.format.affixes(rows, self.connection) if rows else []
        for row, known in zip(rows, affixes, strict=True):
            if getattr(row, field.attname) is not None:
                text.text(known, _number(row, field))
            elif known is None and id(row) in numbered:
                text.text(known, 0)
        self._unwritten.append((text, field, rows, affixes))

    def _write(self) -> None:
        """Set the texts of the rows' numbers; none where there is no number."""
        for text, field, rows, affixes in self._unwritten:
            numbers = map(field.get_prep_value, map(attrgetter(field.attname), rows))
            texts = [
                None if number is None else text.text(known, number)
                for number, known in zip(numbers, affixes, strict=True)
            ]
            self._set(rows, text.attname, texts)

    def _stored(self, field: Any, name: str, rows: list[Any]) -> list[int]:
        """Return the numbers of the given rows that rows of this counter have now."""
        numbers = [_number(row, field) for row in rows]
        stored = rows_in(field.model, self.using)
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


def is_copy(row: Any, field: Any, using: str) -> bool:
    """Return whether the row, about to be inserted, has another's number or text, set by nobody.

    The state of an instance remembers what it was loaded or saved with.
    """
    value, state = getattr(row, field.attname), row._state
    if value is None or getattr(state, field.memory, None) != value or state.db != using:
        return False
    # The same row again, which somebody deleted meanwhile, keeps its number.
    key = getattr(state, LOADED, None)
    return key is None or key != row.pk


def _number(row: Any, field: Any) -> int:
    return field.get_prep_value(getattr(row, field.attname))  # type: ignore[no-any-return]


def _pass(field: Any, row: Model, name: str, number: int, using: str) -> None:
    """Move the counter past an explicit number, unless it is or will start past it."""
    if get_last_value(name, using=using) is None:
        initial = field.initial_value
        if number < (initial(row) if callable(initial) else initial):
            if field.ascending:  # the first number's date is compared with this one's
                lock_counter(field, row, name, using)
            return
    if field.limit is None or number < 0:
        with suppress(ValueError):
            set_last_value(number, name, using=using)
        return
    # What bounds the wait is taking; the counter is locked by then, and may go back.
    with suppress(SequenceExhausted):
        last = take(Allocation(name, timeout=field.limit), using)[0] - 1
        set_last_value(max(number, last), name, force=True, using=using)


def lock_counter(field: Any, row: Model, name: str, using: str) -> None:
    """Lock the counter, which is created if there is none, and leave it where it is."""
    with suppress(SequenceExhausted):
        # A sequence that loops would start again.
        allocation = replace(field.allocation(row, name), reset_value=None)
        last = take(allocation, using)[0] - 1
        if last >= 0:
            set_last_value(last, name, force=True, using=using)
        else:  # before the first number, which is 0
            Counter.objects.using(using).filter(pk=name).update(last=last)


def take_numbers(
    field: Any, rows: list[Any], name: str, using: str, explicit: set[int]
) -> Iterable[int]:
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
    if not any(map(field.skips_used, rows)):
        return taken
    others = field.rows_of(rows[0], using)
    if not free.is_used(field, others, taken):
        return taken
    numbers = free.pick(field, free.unused(field, others, taken), others, n, ())
    free.move(name, numbers[-1], taken, using)
    return numbers
