"""Updating rows by ``save()``: it changes no number that nobody has set, and numbers new documents.

An instance can be older than the number of its row, because others have changed that since. So an
UPDATE leaves out the numbers and texts that nobody has set on the instance.

``save()`` numbers a row when the field's condition has become true. The counter is locked first.
Then the UPDATE that stores the number locks the row. This UPDATE matches the row only if it has no
number yet. If two requests post the same document, the UPDATE of the second matches no row: it
gives its number back, and reads the number that the first has stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from functools import cached_property
from typing import Any

from django.db import connections, transaction
from django.db.models import Model, QuerySet

from sequences_core.outcomes import outcome_of_block
from sequences_core.taking import database_errors, in_users_transaction

from ..counters import is_numbered, unsettled_in_parents
from ..exceptions import OutOfOrder, is_committed
from ..expressions import is_expression
from ..identity import settled
from .due import HELD, LOCKED, TRIES, Moved, changed_too_often, lock_due, lock_rows
from .memory import LOADED, is_set
from .numbering import Numbers
from .row_values import copy_of, deferring_if_lost
from .texts import refuse_without_number, text_for_update
from .uncommitted import MISSING, change, posting_memory, remember_posting


class _Changed(Exception):
    """The row was changed, numbered or deleted after it was read."""


ANNOUNCED = "sequences_announced"
"""The attribute of ``_state`` that :func:`announce` sets."""


def announce(row: Model) -> None:
    """Note that ``save()`` is about to update the row.

    Unlike ``save()``, ``loaddata`` doesn't call ``pre_save()``, so it stores the values of the file
    and numbers no rows.
    """
    setattr(row._state, ANNOUNCED, True)


def numbering_update(update: Any) -> Any:
    """Wrap ``Model._do_update``: store the numbers and texts that were set or have become due."""

    @functools.wraps(update)
    def _do_update(
        self: Any, base_qs: Any, using: str, pk_val: Any, values: Any, names: Any, *args: Any
    ) -> Any:
        def store(rows: Any, kept: Any) -> Any:
            # Without values, and with names, Django doesn't ask whether the row exists.
            return update(
                self, rows, using, pk_val, kept, names if kept or not values else None, *args
            )

        model: type[Model] = type(self)
        if sources := unsettled_in_parents(model):
            values = [_settled(each, sources) for each in values]
        is_parents = values and base_qs.model is not self._meta.concrete_model
        if is_parents and connections[using].features.has_select_for_update:
            lock_due(self, using, names)
        if not vars(self._state).pop(ANNOUNCED, False) and names is None:
            return store(base_qs, values)
        update_of_row = _Update(self, base_qs, pk_val, values, names)
        found = update_of_row.run(store)
        if found:
            # From Django 6.0 on, an UPDATE returns the values of expressions.
            returned = zip(args[1], found[0], strict=False) if args[1:] else ()
            update_of_row.finish(dict(returned))
        return found

    return _do_update


@functools.lru_cache(maxsize=1024)
def _numbers_of(model: type[Model]) -> list[Any]:
    """Return the fields of the model's own table that are numbers."""
    return list(filter(is_numbered, model._meta.local_concrete_fields))


@functools.lru_cache(maxsize=1024)
def _names_of(model: type[Model]) -> frozenset[str]:
    """Return the attributes of these numbers and of their texts."""
    return frozenset(field.attname for field in _with_texts(_numbers_of(model)))


def _with_texts(numbers: list[Any]) -> Iterator[Any]:
    for field in numbers:
        yield field
        yield from field.texts


def _set(row: Model, field: Any, value: Any) -> None:
    """Set a stored number or text on the instance, and remember that it wasn't set explicitly."""
    change(row, row, field.attname, value)
    change(row, row._state, field.memory, value)
    change(row, row._state, LOADED, row.pk)


class _Update:
    """One UPDATE of a row by ``save()``."""

    def __init__(
        self, row: Any, rows: QuerySet[Any], pk: Any, values: list[Any], names: Any
    ) -> None:
        self.row = row
        self.rows = rows
        self.pk = pk
        self.connection = connections[rows.db]
        self.names = None if names is None else frozenset(names)
        model: Any = rows.model
        self.numbers = _numbers_of(model)
        self.ours = _names_of(model)
        # Names are looked up faster than fields.
        self.given = {field.attname: value for field, _, value in values}
        self.changed: dict[Any, Any] = {}
        """The numbers and texts that somebody has set since the row was loaded or saved."""
        self.explicit: list[Any] = []
        """The fields of those numbers that a lower counter must be set to."""
        self.open: list[Any] = []
        """The fields whose condition may become true, so that the row gets a number."""
        for field in self.numbers:
            self._look_at(field)
        self.values = self._kept(values)

    def _look_at(self, field: Any) -> None:
        """Find out what the UPDATE does with a number and its texts."""
        number = self.given.get(field.attname, MISSING)
        if vars(self.row._state).get(field.memory) is MISSING:  # renumber() has taken the number
            taken = [each for each in (field, *field.texts) if each.attname in self.given]
            self.changed |= {each: self.given[each.attname] for each in taken}
            return
        if self._is_set(field) and not (number is None and field.when is not None):
            self.changed[field] = number
            if number is not None and not is_expression(number):
                self.explicit.append(field)
            for text in field.texts:
                value = text_for_update(text, field, self.row)
                if value is not MISSING:
                    self.changed[text] = value
            return
        if field.when is not None and self._may_be_due(field):
            self.open.append(field)
        for text in field.texts:
            if self._is_set(text):
                self.changed[text] = self.given[text.attname]

    def _is_set(self, field: Any) -> bool:
        value = self.given.get(field.attname, MISSING)
        return value is not MISSING and is_set(self.row, field, value, self.rows.db)

    def _kept(self, values: list[Any]) -> list[Any]:
        """Leave out the numbers and texts that nobody has set."""
        if not self.changed:  # The usual case.
            return [value for value in values if value[0].attname not in self.ours]
        kept = [
            (field, model, self.changed.get(field, value))
            for field, model, value in values
            if field in self.changed or field.attname not in self.ours
        ]
        # An UPDATE of a number alone includes its text.
        return kept + [
            (field, None, value)
            for field, value in self.changed.items()
            if field.attname not in self.given
        ]

    def run(self, store: Callable[[Any, Any], Any]) -> Any:
        """Update the row; return what Django's method returns."""
        if not (self.explicit or self.open):  # The usual case.
            self._refuse_texts(self.numbers)
            return store(self.rows, self.values)
        try:
            return self._run(store)
        except BaseException:
            with database_errors(self.connection, ours=False):
                raise

    def finish(self, returned: dict[Any, Any]) -> None:
        """Remember what was stored, and read what was left out if the instance has other values.

        Somebody has removed those from the instance, or it was made by hand.

        :param returned: the values of expressions that the UPDATE has returned, by field.
        """
        stored = self.changed | returned
        for field in _with_texts(self.numbers) if stored else ():
            if field in stored and not is_expression(stored[field]):
                _set(self.row, field, stored[field])  # The database knows the others.
        has, known = self.row.__dict__, vars(self.row._state)
        others = [
            field
            for field in _with_texts(self.numbers)
            if has.get(field.attname, MISSING) not in (MISSING, known.get(field.memory, MISSING))
        ]
        if not others:  # The usual case.
            return
        given = self.given
        left_out = [
            field
            for field in others
            if field.attname in given and not is_expression(given[field.attname])
        ]
        with deferring_if_lost(self.row, left_out, self.connection):
            self._read(left_out)

    @property
    def stored(self) -> QuerySet[Any]:
        """The row as it is stored."""
        return self.rows.filter(pk=self.pk)

    @cached_property
    def has_parents(self) -> bool:
        """Whether the row has rows in the tables of parent models."""
        return bool(self.row._meta.concrete_model._meta.parents)

    def _run(self, store: Callable[[Any, Any], Any]) -> Any:
        # The row, or that of a parent model, may be locked already. If others have numbered it
        # since it was read, locking its counter now could end in a deadlock.
        is_locked = self.has_parents or hasattr(self.row._state, LOCKED)
        doubtful = [field for field in self.open if is_locked or self._known(field) is not None]
        for _ in range(TRIES):
            document = self._as_it_will_be()
            if document is None:
                break
            due = [field for field in self.open if field.is_due(document, self.connection)]
            self._read(_with_texts([field for field in due if field in doubtful]))
            new = [f for f in due if f not in doubtful or self._known(f) in (None, MISSING)]
            if not new and not self.explicit:
                self._refuse_texts(self.numbers)
                return store(self.rows, self.values)
            try:
                return self._number(document, new, store)
            except _Changed:
                doubtful = self.open
                if not self.stored.exists():
                    break
                if hasattr(self.row._state, HELD):
                    raise Moved from None
        else:
            raise changed_too_often(self.row)
        return store(self.rows.none(), self.values)  # If an INSERT follows, it numbers the row.

    def _known(self, field: Any) -> Any:
        """Return the instance's number, or MISSING if it is deferred."""
        return self.row.__dict__.get(field.attname, MISSING)

    def _may_be_due(self, field: Any) -> bool:
        """Return whether this save can make the condition true for a row without a number."""
        is_numbered = self._known(field) not in (None, MISSING)
        if is_numbered and not self._is_doubtful(field):
            return False
        return any(map(self._is_saved, [field, *field.condition_fields]))

    def _is_doubtful(self, field: Any) -> bool:
        """Return whether the transaction that stored the instance's number may be rolled back."""
        state, name = vars(self.row._state), posting_memory(field)
        return name in state and not (state[name] and state[name].is_committed)

    def _is_saved(self, field: Any) -> bool:
        return self.names is None or field.name in self.names or field.attname in self.names

    def _is_stored(self, field: Any) -> bool:
        """Return whether the UPDATE stores the instance's value, which can be outdated if not."""
        return self._is_saved(field) and (field in self.changed or field.attname not in self.ours)

    def _as_it_will_be(self) -> Any:
        """Return the row as it will be stored, or None if there is no row.

        Values that aren't saved are those in the database. A number that the row has already is
        left out: its counter needn't be locked, and the row keeps its texts.
        """
        fields = [*self.open, *self.explicit]
        is_whole = all(self._is_stored(about) for field in fields for about in field.depends_on)
        if is_whole and not self.explicit:
            return copy_of(self.row)
        stored = self.stored.first()
        if stored is None:
            return None
        for field in list(self.explicit):
            if getattr(stored, field.attname) == field.number_of(self.row):
                self._leave_out(field, stored)
        if is_whole:
            return copy_of(self.row)
        for field in stored._meta.concrete_fields:
            if self._is_stored(field) and field.attname in self.row.__dict__:
                setattr(stored, field.attname, self.row.__dict__[field.attname])
        for field, value in self.changed.items():  # also the text of a number that is saved alone
            setattr(stored, field.attname, value)
        return stored

    def _leave_out(self, number: Any, stored: Any) -> None:
        self.explicit.remove(number)
        del self.changed[number]
        self.values = [value for value in self.values if value[0] is not number]
        for field in (number, *number.texts):
            if field not in self.changed:
                _set(self.row, field, getattr(stored, field.attname))

    def _refuse_texts(self, fields: list[Any]) -> None:
        """Raise ValueError if a text of one of these numbers was set, and the row has no number."""
        for field in fields if self.changed else ():
            for text in field.texts:
                if self.changed.get(text):
                    refuse_without_number(text, field, self.row)

    def _read(self, fields: Iterable[Any]) -> None:
        """Read numbers and texts from the row, and set them on the instance."""
        fields = [field for field in fields if field not in self.changed]
        names = [field.attname for field in fields]
        for found in self.stored.values_list(*names) if names else ():
            for field, value in zip(fields, found, strict=True):
                _set(self.row, field, value)

    def _number(self, document: Any, new: list[Any], store: Callable[[Any, Any], Any]) -> Any:
        """Take the new numbers, and update the row in the same transaction."""
        self._refuse_texts([field for field in self.numbers if field not in new])
        fields = [*self.explicit, *new]
        texts = [text for field in fields for text in field.texts]
        written = [text for text in texts if text not in self.changed]
        inside = in_users_transaction(self.connection)
        savepoint = transaction.atomic(using=self.connection.alias) if inside else nullcontext()
        for field in new + written:
            setattr(document, field.attname, None)
        numbers = Numbers(self.connection, [document], fields, bulk=True)
        found: Any = None
        try:
            with savepoint, numbers:
                sources = {source for field in fields for source in field.unsettled}
                values = [_settled(each, sources) for each in self.values]
                taken = [(field, None, getattr(document, field.attname)) for field in new + written]
                if self.has_parents:
                    # The filter can be about a parent's row. InnoDB's UPDATE would lock that only
                    # after the child's row, but other saves lock it first. PostgreSQL's would read
                    # the values from before it has waited for the child's row.
                    lock_rows(self.row, self.connection.alias, no_key=True)
                found = store(self._unchanged(document, new), values + taken)
                if not found:
                    raise _Changed
        except BaseException as error:
            if found and is_committed(error, self.connection.alias):
                self._store(document, fields)
            else:
                numbers.restore(error)
                if isinstance(error, OutOfOrder):
                    error.row = self.row
            raise
        self._store(document, fields, uncommitted=inside)
        return found

    def _store(self, document: Any, numbers: list[Any], *, uncommitted: bool = False) -> None:
        """Set the stored numbers and their texts on the instance."""
        for field in _with_texts(numbers):
            _set(self.row, field, getattr(document, field.attname))
        for field in numbers if uncommitted else ():
            if field.when is not None:
                # If the transaction is rolled back, the row doesn't have this number.
                remember_posting(field, self.row, outcome_of_block(self.connection))

    def _unchanged(self, document: Any, new: list[Any]) -> QuerySet[Any]:
        """Return the rows filtered so that what their numbers depend on must be unchanged."""
        expected = {
            about.attname: getattr(document, about.attname)
            for field in [*self.explicit, *new]
            for about in field.depends_on
            if not self._is_stored(about)
        }
        rows = self.rows.filter(*(field.is_missing for field in new))
        features: Any = self.connection.features
        if not expected or features.has_select_for_update:
            return rows.filter(**expected)
        # SQLite compares texts, and other programs write dates and decimals in other forms than
        # Django. Since the counters are locked, nobody else can change the row.
        found = self.stored.values_list(*expected).first()
        return rows if found == tuple(expected.values()) else rows.none()


def _settled(assigned: tuple[Any, Any, Any], sources: Collection[Any]) -> tuple[Any, Any, Any]:
    """Return a field, its model and the value to store, which settles a source of a number."""
    field, model, value = assigned
    if field not in sources or is_expression(value):
        return assigned
    return field, model, settled(field, value)
