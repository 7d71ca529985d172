"""What an instance keeps until its row is stored and committed, so that a rollback can undo it.

If a ``save()`` fails, what it has changed on the instance is set back at once. If the block of
``atomic()`` around it is rolled back, that is found when the instance is used again, because Django
tells nobody of a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from sequences_core.outcomes import Outcome, outcome_of_block
from sequences_core.taking import in_users_transaction

from ..counters import Numbering
from ..expressions import is_expression
from ..formatted import Formatted

CHANGES = "sequences_changes"
"""The attribute of ``_state`` that lists what a running ``save()`` has changed before its UPDATE.

Each change is the row or its state, the name of an attribute, and the value that it had. When the
row is stored, the list is removed.
"""

UNCOMMITTED = "sequences_uncommitted"
"""The attribute of ``_state`` that keeps the changes of UPDATEs whose block may be rolled back.

The keys are the outcome of the block, whether the attribute is one of the row or of its state, and
its name; the values are those that it had before the block, or that the caller has set in it, and
after its last change.
"""

OUTCOME = "sequences_outcome"
"""The attribute of ``_state`` that keeps the outcome of the block that took the primary key."""

MISSING: Any = ...  # Unlike an object(), it is the same in pickled and deep copies.


def change(row: Model, holder: Any, name: str, value: Any) -> None:
    """Set an attribute of the row or of its state for an UPDATE; see :func:`undo_changes`."""
    if (changes := vars(row._state).get(CHANGES)) is not None:
        changes.append((holder, name, vars(holder).get(name, MISSING)))
    setattr(holder, name, value)


def undo_changes(row: Model) -> None:
    """Set back what ``save()`` has changed for an UPDATE that failed."""
    for holder, name, value in reversed(vars(row._state).get(CHANGES, ())):
        set_back(holder, name, value)


def set_back(holder: Any, name: str, value: Any) -> None:
    """Set an attribute to a value that it had before; MISSING removes it."""
    if value is MISSING:
        vars(holder).pop(name, None)
    else:
        setattr(holder, name, value)


def keep_changes(*, instance: Model, using: str, **kwargs: Any) -> None:
    """Keep what ``save()`` has changed, because the row is stored: a receiver of ``post_save``.

    If a later receiver raises an error, the UPDATE isn't undone.
    """
    if changes := vars(instance._state).pop(CHANGES, None):
        keep_until_commit(instance, changes, using)


def keep_until_commit(row: Model, changes: Iterable[Any], using: str) -> None:
    """Keep changes of the row and its state, as in ``CHANGES``, until their block is committed."""
    connection, state = connections[using], vars(row._state)
    if not can_be_rolled_back(connection):
        return
    outcome = outcome_of_block(connection)
    kept = dict(state.get(UNCOMMITTED, ()))  # Copies of the row may have the same dictionary.
    seen = set()
    for holder, name, value in changes:
        key, after = (outcome, holder is row, name), vars(holder).get(name, MISSING)
        before, last = kept.pop(key, (value, value))  # so that the order is that of the last ones
        if key not in seen and last != value:
            before = value  # The caller has set it since the last UPDATE.
        seen.add(key)
        kept[key] = before, after
    state[UNCOMMITTED] = kept


def can_be_rolled_back(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a block of the caller is open, whose outcome will be known."""
    return in_users_transaction(connection) and connection.commit_on_exit


def remember_outcome(field: Any, rows: Iterable[Any], connection: BaseDatabaseWrapper) -> None:
    """Remember the block in which these rows were inserted, with this number as primary key."""
    if can_be_rolled_back(connection):
        outcome = outcome_of_block(connection)
        for row in rows:
            setattr(row._state, OUTCOME, outcome)
            _add_number(outcome, field, row)


def remember_posting(field: Any, row: Any, outcome: Outcome) -> None:
    """Remember the block in which a stored row got this number."""
    setattr(row._state, posting_memory(field), outcome)
    _add_number(outcome, field, row)


def _add_number(outcome: Outcome, field: Any, row: Any) -> None:
    number = field.number_of(row)
    ranges = outcome.numbers.setdefault(_rest_of_key(field, row), [])
    if ranges and ranges[-1].stop == number:
        ranges[-1] = range(ranges[-1].start, number + 1)
    else:
        ranges.append(range(number, number + 1))


def remember_open_block(row: Any, fields: Iterable[Any], connection: BaseDatabaseWrapper) -> None:
    """Remember the open block that has stored these numbers of a row that was loaded inside it."""
    hooks: list[Any] = connection.run_on_commit
    outcomes = [hook for _, hook, _ in hooks if isinstance(hook, Outcome) and hook.numbers]
    for field in fields if outcomes else ():
        number, rest = _loaded_value(field, row), _rest_of_key(field, row)
        for outcome in outcomes:
            if all(number not in each for each in outcome.numbers.get(rest, ())):
                continue
            if field.is_key:
                setattr(row._state, OUTCOME, outcome)
                setattr(row._state, field.memory, number)
            else:
                setattr(row._state, posting_memory(field), outcome)


def _rest_of_key(field: Any, row: Any) -> tuple[Any, ...]:
    """Return the number's field, and the values of the primary key without the number.

    The values are those that are stored, because a row that is loaded later has no others.
    """
    others = [each for each in field.model._meta.pk_fields if each is not field]
    values = [(each, _loaded_value(each, row)) for each in others]
    return (
        field,
        *(value if is_expression(value) else each.get_prep_value(value) for each, value in values),
    )


def _loaded_value(field: Any, row: Any) -> Any:
    """Return the value of a field, or None if it is deferred.

    ``only()`` loads the primary key of a parent model just as the child's link to the parent.
    """
    while field.attname not in row.__dict__ and field.primary_key:
        link = row._meta.get_ancestor_link(field.model)
        if link is None or link is field:
            break
        field = link
    return row.__dict__.get(field.attname)


def forget_rolled_back(row: Model) -> None:
    """Remove the numbers that the row doesn't have, because a block was rolled back.

    They may be those of other rows by now. Those that the caller has set stay, and count as set by
    the caller again.
    """
    state = vars(row._state)
    undo_rolled_back(row)
    if state.get(OUTCOME) is not None:
        _forget_key(row)


def forget_all_rolled_back(rows: Iterable[Any]) -> None:
    """Do the same for many rows, few of which were in a block that can be rolled back."""
    for row in rows:
        state = row._state.__dict__
        if OUTCOME in state or UNCOMMITTED in state:
            forget_rolled_back(row)


def undo_rolled_back(row: Model) -> None:
    """Set back what UPDATEs have changed that were rolled back."""
    state, still_open = vars(row._state), {}
    if UNCOMMITTED not in state:
        return
    for key, (before, after) in reversed(state.pop(UNCOMMITTED).items()):
        outcome, is_rows, name = key
        if outcome is None or outcome.is_committed:
            continue
        holder: Any = row if is_rows else row._state
        if not outcome.is_rolled_back():
            still_open[key] = before, after
        elif vars(holder).get(name, MISSING) == after:
            set_back(holder, name, before)
    if still_open:
        state[UNCOMMITTED] = dict(reversed(still_open.items()))


def _forget_key(row: Model) -> None:
    """Remove the primary key of a row whose INSERT was rolled back.

    Otherwise, ``save()`` would overwrite the row of somebody else, who has the number now.
    """
    state = vars(row._state)
    outcome = state[OUTCOME]
    is_elsewhere = row._state.db != outcome.connection.alias  # It was stored there since.
    if not (outcome.is_committed or is_elsewhere or outcome.is_rolled_back()):
        return
    del state[OUTCOME]
    if outcome.is_committed or is_elsewhere:
        return
    row._state.adding = True
    for field in row._meta.concrete_fields:
        end = end_of(field)
        if not isinstance(end, Numbering | Formatted):
            continue
        known = state.get(end.memory, MISSING)
        if known != row.__dict__.get(field.attname, known):  # A key of a parent can be deferred.
            continue
        if given_memory(end) in state:
            del state[end.memory]
        else:
            setattr(row, field.attname, None)


def end_of(field: Any) -> Any:
    """Return the field whose value a link to a parent repeats, or the field itself.

    A parent's primary key can be a link to a parent of its own.
    """
    while field.is_relation and field.remote_field.parent_link:
        field = field.target_field
    return field


def set_by_insert(field: Any) -> tuple[str, ...]:
    """Return the attributes of ``_state`` that an INSERT of this number or text sets."""
    return field.memory, given_memory(field), OUTCOME


def given_memory(field: Any) -> str:
    """Return the attribute of ``_state`` that keeps the primary key of :func:`remember_given`."""
    return f"{field.memory}_given"


def posting_memory(field: Any) -> str:
    """Return the attribute of ``_state`` that keeps the outcome of :func:`remember_posting`."""
    return f"{field.memory}_outcome"
