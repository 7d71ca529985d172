"""Find out whether a block of ``atomic()`` was committed or rolled back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Outcome", "outcome_of_block"]


class Outcome:
    """The outcome of a block of ``atomic()``, which is an on_commit hook of that block.

    Django has no hook for a rollback. But whatever undoes the block also discards its on_commit
    hooks: a rollback of the transaction or to a savepoint, and the end of the connection.

    A pickled copy is None: another process can't know the outcome.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.is_committed = False
        """False if the block is still open, if it was rolled back, and if nobody knows."""
        self.numbers: dict[Hashable, list[range]] = {}
        """Numbers that the block has stored, by what else identifies their rows."""

    def __call__(self) -> None:
        self.is_committed = True

    def __deepcopy__(self, memo: object) -> Outcome:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def is_rolled_back(self) -> bool:
        """Return whether the block was rolled back.

        With manual transaction management, True can be wrong: Django runs the hooks when autocommit
        is turned on again, and a rollback of a later transaction discards them, too.
        """
        hooks: list[Any] = self.connection.run_on_commit
        return not self.is_committed and all(hook is not self for _, hook, _ in hooks)


def outcome_of_block(connection: BaseDatabaseWrapper) -> Outcome:
    """Return the outcome of the innermost open block, which must exist.

    Its hook is executed before those of other code, because one of these may raise an error after
    the COMMIT. In a TestCase, it is the last one: captureOnCommitCallbacks() counts the hooks that
    were there before.
    """
    hooks: list[Any] = connection.run_on_commit
    is_test = getattr(connection.atomic_blocks[0], "_from_testcase", False)
    if hooks:
        savepoints, newest, _ = hooks[-1 if is_test else 0]
        if isinstance(newest, Outcome) and savepoints == set(connection.savepoint_ids):
            return newest
    outcome = Outcome(connection)
    transaction.on_commit(outcome, using=connection.alias)
    if not is_test:
        hooks.insert(0, hooks.pop())
    return outcome
