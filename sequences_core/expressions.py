"""Numbers taken by the database, inside the statement that stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import NotSupportedError
from django.db.models import BigIntegerField, Expression
from django.db.models.sql.compiler import SQLInsertCompiler, SQLUpdateCompiler
from django.utils.deconstruct import deconstructible

from .allocator import FUNCTION, Allocation
from .early_release import (
    durability,
    durability_in_transaction,
    sends_together,
    wait_after_commit,
)
from .functions import forget_functions, function_missing, has_function
from .registry import get_allocator

__all__ = ["NextValue", "refuse_on_conflict"]


READ = (
    "NextValue takes a number each time that it is evaluated, so it can't be part of a query that "
    "reads: use it in create(), bulk_create(), update() and db_default only"
)


@deconstructible(path="sequences_core.expressions.NextValue")
class NextValue(Expression):
    """The next number of a sequence, for ``create()``, ``bulk_create()``, ``update()``.

    No round trip of the client happens between taking the number and storing it. ``name`` may be
    an expression; ``initial_value`` and ``reset_value`` are as for ``get_next_value``. Also a
    ``db_default`` on PostgreSQL, and on SQLite for rows that Django inserts: the others allow no
    such function there.

    An UPDATE must not meet concurrent updates of the same rows: PostgreSQL would evaluate its
    expressions once more, and a number would be lost. Lock the rows by ``select_for_update()``
    in a statement before. ``bulk_create(ignore_conflicts=True)``, where a number would be taken
    for a row that isn't stored, is refused, and so is whatever only reads: ``filter()``,
    ``annotate()``, ``aggregate()``, a condition, a subquery.

    Raises TypeError and ValueError for bad arguments; NotSupportedError, when the statement is
    built, for a use that is refused or a backend that has no function; FunctionMissing, if it isn't
    installed. The statement itself raises DataError (Oracle: DatabaseError, SQLite:
    OperationalError) where the function refuses a name that is an expression, or the sequence is
    exhausted.
    """

    output_field = BigIntegerField()
    _is_read = False
    _is_waited_for = False

    def __init__(
        self,
        name: str | Expression = "default",
        initial_value: int = 1,
        reset_value: int | None = None,
    ) -> None:
        if callable(initial_value):
            raise TypeError("the database can't call initial_value: give an int")
        super().__init__()
        self._expressions: list[Any] = [name] if hasattr(name, "resolve_expression") else []
        checked = Allocation(
            "default" if self._expressions else name,  # type: ignore[arg-type]
            1,
            initial_value,
            reset_value,
        )
        self._name = checked.name
        # As literals, which are of one type whatever their size; they are plain ints by now.
        last = "NULL" if checked.reset_value is None else checked.reset_value
        self._sql = f"{FUNCTION}(%s, {checked.initial_value}, {last})"

    @property
    def allowed_default(self) -> bool:  # type: ignore[override]
        return all(name.allowed_default for name in self._expressions)

    def resolve_expression(
        self,
        query: Any = None,
        allow_joins: bool = True,
        reuse: Any = None,
        summarize: bool = False,
        for_save: bool = False,
    ) -> Any:
        if for_save or query is None:
            if not self._expressions:
                return self
            return super().resolve_expression(query, allow_joins, reuse, summarize, for_save)
        if query.model is not None:
            raise NotSupportedError(READ)
        # Q.check(), by which full_clean() validates constraints: it takes an error of the database
        # for "can't say", so raise one when it executes.
        refused = self.copy()
        refused._is_read = True
        return refused

    def waited_for(self) -> NextValue:
        """Return a copy for a statement in the block of ``early_release.WaitedFor``.

        In autocommit only this is released early, for nobody else waits.
        """
        copy = self.copy()
        copy._is_waited_for = True
        return copy

    def uses_sequence(self, name: str) -> bool:
        """Return whether the numbers are of this sequence; False for a name in the database."""
        return not self._expressions and self._name == name

    def get_source_expressions(self) -> list[Any]:
        return self._expressions

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        self._expressions = list(exprs)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        if self._is_read:
            raise NotSupportedError(READ)
        allocator = get_allocator(connection)
        if not allocator.supports_function:
            raise NotSupportedError(
                f"{type(allocator).__name__} can't take a number inside a statement: use "
                f"get_next_value, or a SequenceField"
            )
        if not has_function(connection):
            forget_functions()  # it may have been made meanwhile
            if not has_function(connection):
                raise function_missing(connection)
        refuse_on_conflict(compiler.query)
        sql, params = self._sql, (self._name,)
        for name in self._expressions:
            name_sql, params = compiler.compile(name)
            sql = sql % name_sql
        return self._released(sql, compiler, connection), tuple(params)

    def _released(self, sql: str, compiler: Any, connection: Any) -> str:
        """Let the statement release the counter early, where somebody waits after its commit.

        A column's default, which is not compiled for an INSERT, is for all clients to evaluate.
        """
        if not isinstance(compiler, SQLInsertCompiler | SQLUpdateCompiler):
            return sql
        found = durability_in_transaction(connection)
        if found is not None:
            wait_after_commit(connection)
        elif self._is_waited_for and not connection.in_atomic_block:
            found = None if sends_together(connection) else durability(connection)
        return sql if found is None else get_allocator(connection).releasing(sql, found)


def refuse_on_conflict(query: Any) -> None:
    """Raise NotSupportedError for an INSERT that may drop rows after their numbers are taken."""
    if getattr(query, "on_conflict", None) is not None:
        raise NotSupportedError(
            "bulk_create() with ignore_conflicts or update_conflicts would lose the numbers of "
            "rows that are not inserted"
        )
