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
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import Model, QuerySet

from sequences_core.outcomes import outcome_of_block
from sequences_core.taking import database_errors, in_users_transaction

from ..counters import Numbering, sequence_fields, unsettled_in_parents
from ..exceptions import is_committed
from ..expressions import is_expression
from ..identity import settled
from .due import HELD, LOCKED, TRIES, Moved, lock_due, lock_rows
from .memory import LOADED, is_set
from .numbering import Numbers
from .row_values import deferring_if_lost
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
        numbers = _numbers_of(base_qs.model)
        posted = [
            field
            for field in numbers
            if field.when is not None and not is_expression(self.__dict__.get(field.attname))
        ]
        plain = [field for field in numbers if field.when is None or field not in posted]
        kept, changed = _changed_values(self, plain, values, using)
        if not posted:
            found = store(base_qs, kept)
        else:
            left_out = {value[0] for value in values} - {value[0] for value in kept}
            try:
                found = _Saving(self, posted, base_qs, pk_val, kept, names, left_out).run(store)
            except BaseException:
                with database_errors(connections[using], ours=False):
                    raise
        if found:
            if args[1:]:  # From Django 6.0 on, an UPDATE returns the values of expressions.
                changed |= zip(args[1], found[0], strict=False)
            for field in _with_texts(numbers) if changed else ():
                if field in changed and not is_expression(changed[field]):
                    _set(self, field, changed[field])  # Of others, only the database knows it.
            _read_back(self, numbers, base_qs, pk_val, values)
        return found

    return _do_update


@functools.lru_cache(maxsize=1024)
def _numbers_of(model: type[Model]) -> list[Any]:
    """Return the fields of the model's own table that are numbers."""
    return sequence_fields(model._meta.local_concrete_fields)


def _with_texts(numbers: list[Any]) -> Iterator[Any]:
    for field in numbers:
        yield field
        yield from field.texts


def _changed_values(
    row: Any, numbers: list[Any], values: Any, using: str
) -> tuple[list[Any], dict[Any, Any]]:
    """Leave out the numbers and texts that nobody has set since the row was loaded or saved.

    Return the values to store, and which of them are numbers and texts that were set, by field.

    :param numbers: the fields to look at, which have no condition.
    """
    # Names are looked up faster than fields.
    given = {field.attname: value for field, _, value in values}
    ours = {field.attname: field for field in _with_texts(numbers) if field.attname in given}
    changed: dict[Any, Any] = {
        field: given[name] for name, field in ours.items() if is_set(row, field, given[name], using)
    }
    if not changed:  # The usual case.
        return [value for value in values if value[0].attname not in ours], changed
    for field in numbers:
        for text in field.texts:
            if field in changed:
                changed[text] = text_for_update(text, field, row, using)
            elif text in changed:
                refuse_without_number(text, field, row)
    kept = [
        (field, model, changed.get(field, value))
        for field, model, value in values
        if field in changed or field.attname not in ours
    ]
    # An UPDATE of the number alone includes its text.
    kept += [(field, None, changed[field]) for field in changed if field.attname not in given]
    return kept, changed


def _read_back(row: Any, numbers: list[Any], rows: QuerySet[Any], pk: Any, values: Any) -> None:
    """Read the numbers and texts that the UPDATE has left out if the instance has others.

    Somebody has removed them from the instance, or it was made by hand.
    """
    has, known = row.__dict__, vars(row._state)
    others = [
        field
        for field in _with_texts(numbers)
        if has.get(field.attname, MISSING) not in (MISSING, known.get(field.memory, MISSING))
    ]
    if not others:  # The usual case.
        return
    given = {field.attname for field, _, value in values if not is_expression(value)}
    left_out = [field for field in others if field.attname in given]
    names = [field.attname for field in left_out]
    with deferring_if_lost(row, left_out, connections[rows.db]):
        for found in rows.filter(pk=pk).values_list(*names) if left_out else ():
            for field, value in zip(left_out, found, strict=True):
                _set(row, field, value)


def _set(row: Model, field: Any, value: Any) -> None:
    """Set a stored number or text on the instance, and remember that it wasn't set explicitly."""
    change(row, row, field.attname, value)
    change(row, row._state, field.memory, value)
    change(row, row._state, LOADED, row.pk)


class _Saving:
    """One UPDATE of a row, which numbers the row if its condition is true."""

    def __init__(
        self,
        row: Any,
        fields: list[Any],
        rows: QuerySet[Any],
        pk: Any,
        values: Any,
        names: Any,
        left_out: Collection[Any],
    ) -> None:
        self.row = row
        self.fields = fields
        self.rows = rows
        self.stored = rows.filter(pk=pk)
        # The row, or that of a parent model, may be locked already. If others have numbered it
        # since it was read, locking its counter now could end in a deadlock.
        self.has_parents = bool(row._meta.concrete_model._meta.parents)
        self.is_locked = self.has_parents or hasattr(row._state, LOCKED)
        self.connection = connections[rows.db]
        self.names = None if names is None else frozenset(names)
        # A number is stored only if it is taken here, or was set explicitly. Otherwise the
        # instance's number may be outdated, and must not overwrite the stored one.
        self.explicit = [field for field in fields if self._is_explicit(field, values)]
        others = [field for field in fields if field not in self.explicit]
        texts = [text for field in fields for text in field.texts]
        known = [text for text in texts if not self._is_explicit(text, values)]
        self.values = [value for value in values if value[0] not in others + known]
        self.left_out = {*left_out, *others}
        self.open = [field for field in others if self._may_be_due(field)]

    def run(self, store: Callable[[Any, Any], Any]) -> Any:
        """Update the row, and number it if that is due; return what Django's method returns."""
        doubtful = [
            field for field in self.open if self.is_locked or self._known(field) is not None
        ]
        for _ in range(TRIES):
            document = self._as_it_will_be()
            due = [field for field in self.open if field.is_due(document, self.connection)]
            numbers = self._stored_numbers([field for field in due if field in doubtful])
            new = [field for field in due if numbers.get(field) is None]
            if not new and not self.explicit:
                break
            try:
                return self._number(document, new, store)
            except _Changed:
                doubtful = self.open
                if not self.stored.exists():
                    break  # if an INSERT follows, it numbers the row
                if hasattr(self.row._state, HELD):
                    raise Moved from None
        else:
            raise OperationalError(
                f"{self.row!r} can't be numbered: it was changed during each of {TRIES} attempts"
            )
        for field in self.fields:
            for text in field.texts:
                if self._is_explicit(text, self.values):
                    refuse_without_number(text, field, self.row)
        return store(self.rows, self.values)

    def _known(self, field: Any) -> Any:
        """Return the instance's number, or MISSING if it is deferred."""
        return self.row.__dict__.get(field.attname, MISSING)

    def _is_explicit(self, field: Any, values: Any) -> bool:
        given = self._known(field)
        if given in (None, MISSING) or all(value[0] is not field for value in values):
            return False
        return is_set(self.row, field, given, self.connection.alias)

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
        return self._is_saved(field) and field not in self.left_out

    def _as_it_will_be(self) -> Any:
        """Return the row as it will be stored: the saved fields, the others from the database."""
        fields = [*self.open, *self.explicit]
        left_out = [
            about for field in fields for about in field.depends_on if about in self.left_out
        ]
        if not fields or (self.names is None and not left_out):
            return self.row
        document = self.stored.first()
        if document is None:
            return self.row
        for field in document._meta.concrete_fields:
            if self._is_stored(field) and field.attname in self.row.__dict__:
                setattr(document, field.attname, self.row.__dict__[field.attname])
        for field in self.explicit:  # It was set, even if others have stored the same number.
            vars(document._state).pop(field.memory, None)
        return document

    def _stored_numbers(self, fields: list[Any]) -> dict[Any, int | None]:
        """Return the numbers that are stored in the database, and set them on the instance."""
        numbers: dict[Any, int | None] = {}
        for field in fields:
            for number, *texts in self.stored.values_list(
                field.attname, *(text.attname for text in field.texts)
            ):
                numbers[field] = number
                for each, value in zip([field, *field.texts], [number, *texts], strict=True):
                    if not self._is_explicit(each, self.values):
                        self._set(each, value)
        return numbers

    def _number(self, document: Any, new: list[Any], store: Callable[[Any, Any], Any]) -> Any:
        """Take the numbers and update the row in one transaction."""
        fields = [*self.explicit, *new]
        texts = [text for field in fields for text in field.texts]
        written = [text for text in texts if all(value[0] is not text for value in self.values)]
        before = {field: self._known(field) for field in fields + texts}
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
                self._store(document, before)
                raise
            numbers.restore(error)
            self._set_back(before)
            raise
        self._store(document, before, uncommitted=inside)
        return found

    def _store(self, document: Any, before: dict[Any, Any], *, uncommitted: bool = False) -> None:
        """Set the stored values on the instance, which may be the document.

        :param before: the values that the instance had, by field.
        """
        stored = {field: getattr(document, field.attname) for field in before}
        self._set_back(before)
        for field, value in stored.items():
            self._set(field, value, uncommitted=uncommitted)

    def _set_back(self, before: dict[Any, Any]) -> None:
        for field, value in before.items():
            self.row.__dict__.pop(field.attname, None)
            if value is not MISSING:
                setattr(self.row, field.attname, value)

    def _unchanged(self, document: Any, new: list[Any]) -> QuerySet[Any]:
        """Return the rows filtered so that what their numbers depend on must be unchanged."""
        expected = {
            about.attname: getattr(document, about.attname)
            for field in [*self.explicit, *new]
            for about in field.depends_on
            if not self._is_stored(about)
        }
        return self.rows.filter(*(field.is_missing for field in new), **expected)

    def _set(self, field: Any, number: int | None, *, uncommitted: bool = False) -> None:
        """Set a stored number on the instance, and remember that it wasn't set explicitly."""
        _set(self.row, field, number)
        if uncommitted and isinstance(field, Numbering):
            # If the transaction is rolled back, the row doesn't have this number.
            remember_posting(field, self.row, outcome_of_block(self.connection))


def _settled(assigned: tuple[Any, Any, Any], sources: Collection[Any]) -> tuple[Any, Any, Any]:
    """Return a field, its model and the value to store, which settles a source of a number."""
    field, model, value = assigned
    if field not in sources or is_expression(value):
        return assigned
    return field, model, settled(field, value)
