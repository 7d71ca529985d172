"""Giving rows their numbers for an INSERT or UPDATE, and taking them back if it fails."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Self

from django.db import IntegrityError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core import SequencesError, get_last_value
from sequences_core.taking import begin, in_users_transaction

from ..counters import Numbering, counters_of_children
from ..expressions import is_expression
from ..rules import Rules, rules_of
from ..scopes import in_chunks, rows_in
from ..taking import lock_counter, lock_counters, pass_number, take_numbers
from . import in_statement, notes
from .memory import forget_loaded, is_copy, is_restored, remember_given
from .row_values import RowValues
from .texts import Texts
from .uncommitted import remember_outcome

ByCounter = dict[str, dict[Numbering, tuple[list[Any], list[Any]]]]
"""By counter and field: the rows that need a number, and those that have an explicit one."""


class Numbers:
    """A context manager around the statements that store rows, which gives the rows their numbers.

    When it is first entered, it sets the number of each row. A single INSERT may take the number
    in-statement: then it is set to the expression that does so. Otherwise the numbers are taken
    here, in a transaction that ends with the block, or in the caller's. The counters of all fields
    and rows are locked in name order, so that no two calls deadlock.

    The caller must call :meth:`remember` when the rows are stored, and :meth:`restore` when they
    are not.

    :param bulk: whether the block may store several rows, or stores them by other means than one
        INSERT, so that none may take a number in-statement.
    :param conflicts: whether rows that conflict with stored rows are ignored or update those.
    :param due: whether the rows are numbered even if the condition of a field isn't true of them.
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
        self.by_counter: ByCounter | None = None
        """None until the block is entered, and if that fails while the rows are grouped."""
        self._rules: dict[tuple[str, Any], Rules] = {}
        self._values = RowValues()
        self._text_fields = [text for field in fields for text in field.texts]
        self._texts = Texts(rows, connection, self._values)
        self._around: Any = None

    def __enter__(self) -> Self:
        if self.by_counter is not None:
            # bulk_create() inserts rows with primary keys by another statement than those without.
            self._values.settle_again()
            return self
        try:
            self.by_counter = self._grouped()
            self._rules = rules_of(self.by_counter, conflicts=self.conflicts)
            if self.by_counter and not self._leave_it_to_the_insert():
                self._number()
            if self._text_fields:
                self._texts.write()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        self._values.unsettle()
        # For an Exception, such as a database error, Django's save() and bulk_create() do the same.
        if kind and not issubclass(kind, Exception) and self.connection.in_atomic_block:
            self.connection.needs_rollback = True
        if self._around:
            around, self._around = self._around, None
            around.__exit__(kind, *exception)

    def restore(self, error: BaseException) -> None:
        """Take the numbers back from the rows, which were not stored because of the error.

        An IntegrityError gets a note if a counter is behind its rows.
        """
        self._values.restore()
        if isinstance(error, SequencesError):
            return  # Its message says already what is wrong.
        if self._values and isinstance(error, IntegrityError):
            notes.explain(error, self.by_counter or {}, self.connection)

    def remember(self) -> None:
        """Remember the numbers and texts of the rows, now stored, as those that nobody has set."""
        for field in self.stored_fields:
            attname, memory = field.attname, field.memory
            for row in self.rows:
                if self.bulk or attname in row.__dict__:  # Otherwise it is deferred.
                    row._state.__dict__[memory] = getattr(row, attname)
        for fields in (self.by_counter or {}).values():
            for field, (new, explicit) in fields.items():
                remember_given(field, explicit, self.using)
                if field.is_key and not self.conflicts:  # With conflicts, a row may be another's.
                    remember_outcome(field, [*new, *explicit], self.connection)
        for text, rows in self._texts.given:
            remember_given(text, rows, self.using)

    @property
    def stored_fields(self) -> list[Any]:
        """The fields of the numbers and texts."""
        return [*self.fields, *self._text_fields]

    def pass_stored(self) -> None:
        """Increase the counters to those explicit numbers that were stored despite conflicts."""
        for name, fields in sorted((self.by_counter or {}).items()):
            for field, (_, explicit) in fields.items():
                if stored := self._stored(field, name, explicit):
                    pass_number(field, explicit[0], name, max(stored), self.using)

    def _grouped(self) -> ByCounter:
        """Find the counter of each row that is numbered, and prepare the rows' texts."""
        by_counter: ByCounter = {}
        has_explicit = {field: self._has_explicit(field) for field in self.fields}
        if not self.conflicts:  # Otherwise the row that has the number may be that of the instance.
            for field in self.fields:
                if has_explicit[field]:
                    self._forget_lost(field)
        for field in self.fields:
            attname, rows = field.attname, self.rows
            writing = [self._texts.rows_to_write(text, field) for text in field.texts]
            if explicit := has_explicit[field]:
                rows = [row for row in rows if not is_expression(getattr(row, attname))]
                copies = [row for row in rows if is_copy(row, field, self.using)]
                self._values.set(copies, attname, [None] * len(copies))
            for part in field.unsettled:
                self._values.settle(rows, part)
            if field.when is not None and not self.due:
                rows = [
                    row
                    for row in rows
                    if getattr(row, attname) is not None or field.is_due(row, self.connection)
                ]
            names = field.names_of(rows, self.connection)
            if field.texts:
                numbered = {id(row) for row, name in zip(rows, names, strict=True) if name}
                for text, chosen in zip(field.texts, writing, strict=True):
                    self._texts.look_up(text, field, chosen, numbered)
            if not explicit and len(set(names)) == 1 and None not in names:  # The usual case.
                by_counter.setdefault(names[0], {})[field] = (list(rows), [])
                continue
            for name, row in zip(names, rows, strict=True):
                if name is not None:
                    new, given = by_counter.setdefault(name, {}).setdefault(field, ([], []))
                    (new if getattr(row, attname) is None else given).append(row)
        return by_counter

    def _has_explicit(self, field: Any) -> bool:
        values = list(map(attrgetter(field.attname), self.rows))
        return values.count(None) < len(values)

    def _forget_lost(self, field: Any) -> None:
        """Let rows get new numbers if they were loaded in a block that was rolled back.

        A deleted row keeps its number if it is inserted again. But a number above the counter was
        given back, and one that another row has was given back and then taken again.
        """
        rows = [row for row in self.rows if is_restored(row, field, self.using)]
        if not rows or field.reset_value is not None:
            return
        by_counter: dict[str, list[Any]] = {}
        for name, row in zip(field.names_of(rows, self.connection), rows, strict=True):
            if name is not None:
                by_counter.setdefault(name, []).append(row)
        for name, alike in by_counter.items():
            # Read before the rows, so that what it has passed is committed.
            last = get_last_value(name, using=self.using)
            stored = set(self._stored(field, name, alike))
            for row in alike:
                number = field.number_of(row)
                if last is None or number > last or number in stored:
                    forget_loaded(row)

    def _leave_it_to_the_insert(self) -> bool:
        """Set the number of a single row to an expression, if the INSERT can take it by itself."""
        assert self.by_counter is not None
        if self.bulk or self._text_fields or len(self.by_counter) != 1:
            return False
        ((name, fields),) = self.by_counter.items()
        (field, (new, _)), *others = fields.items()
        if others or not new or not in_statement.can_take(self.connection, field, new[0]):
            return False
        expression, self._around = in_statement.take(self.connection, field, name)
        self._values.set(new, field.attname, [expression])
        return True

    def _number(self) -> None:
        """Take the numbers, in a transaction that lasts until the block ends."""
        assert self.by_counter is not None
        counted = [each for fields in self.by_counter.values() for each in fields.items()]
        if self.conflicts and any(new for _, (new, _) in counted):
            raise NotSupportedError(
                "bulk_create() with ignore_conflicts or update_conflicts would lose the numbers "
                "of rows that are not inserted"
            )
        if not in_users_transaction(self.connection):
            limits = [field.limit for field, _ in counted if field.limit is not None]
            self._around = begin(self.using, min(limits, default=None))
        if self.connection.vendor == "mysql" and any(field.reads_rows for field, _ in counted):
            self._lock_all()
        for name, fields in sorted(self.by_counter.items()):
            for field, (new, explicit) in fields.items():
                self._number_alike(field, name, new, explicit)

    def _lock_all(self) -> None:
        """Lock all counters, and those of a child model whose row is stored afterwards.

        InnoDB may keep the locks of rows of other counters that a locking read has only looked at.
        Transactions that have locked those counters can wait for these rows, so no counter may be
        left to lock then.
        """
        assert self.by_counter is not None
        counters: dict[str, tuple[Any, Any]] = {}
        for name, fields in self.by_counter.items():
            field, (new, explicit) = next(iter(fields.items()))
            counters[name] = (field, (new or explicit)[0])
        model = type(self.rows[0])
        if any(model._meta.parents.values()) and self.rows[0]._state.adding:
            counters |= counters_of_children(self.rows[0], self.fields[0].model, self.using)
        if len(counters) > 1:
            lock_counters(counters, model, self.using)

    def _number_alike(self, field: Any, name: str, new: list[Any], explicit: list[Any]) -> None:
        """Number the rows of one field and counter."""
        if self.conflicts:  # Which numbers are stored is known after the INSERT: pass_stored().
            lock_counter(field, explicit[0], name, self.using)
            return
        given = {field.number_of(row) for row in explicit}
        if given:
            pass_number(field, explicit[0], name, max(given), self.using)
        if new:
            numbers = take_numbers(field, new, name, self.using, given)
            self._values.set(new, field.attname, numbers)
        if rules := self._rules.get((name, field)):
            rules.check(self.using)

    def _stored(self, field: Any, name: str, rows: list[Any]) -> list[int]:
        """Return those of the rows' numbers that stored rows of this counter have."""
        stored = rows_in(field.model, self.using)
        found: list[int] = []
        for chunk in in_chunks(map(field.number_of, rows)):
            alike = list(stored.filter(**{f"{field.attname}__in": chunk}))
            names = field.names_of(alike, self.connection)
            found += [
                getattr(row, field.attname)
                for row, each in zip(alike, names, strict=True)
                if each == name
            ]
        return found
