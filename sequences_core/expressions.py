"""Take numbers in-statement: in the INSERT or UPDATE that stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import NotSupportedError
from django.db.models import BigIntegerField, Expression, Value
from django.db.models.sql.compiler import SQLInsertCompiler, SQLUpdateCompiler
from django.utils.deconstruct import deconstructible

from .allocator import FUNCTION, Allocation
from .arguments import check_sequence_name
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
    "only reads: use it only in create(), bulk_create(), update() and db_default"
)


@deconstructible(path="sequences_core.expressions.NextValue")
class NextValue(Expression):
    """The next number of a sequence, for ``create()``, ``bulk_create()`` and ``update()``.

    One statement takes the number and stores it, without a round trip in between. ``name`` may be
    an expression. ``initial_value`` and ``reset_value`` mean the same as in ``get_next_value()``.
    PostgreSQL also allows a NextValue as ``db_default``, and SQLite does for rows that Django
    inserts; the other databases allow no such function there.

    Before you use it in an UPDATE, lock the rows by ``select_for_update()``: after a concurrent
    update of the same rows, PostgreSQL evaluates the expressions again, and a number would be lost.
    ``bulk_create()`` with ``ignore_conflicts`` or ``update_conflicts`` is refused, because it would
    take numbers for rows that aren't inserted. Queries that only read are refused, too:
    ``filter()``, ``annotate()``, ``aggregate()``, conditions and subqueries.

    :raises TypeError, ValueError: an argument is invalid.
    :raises NotSupportedError: the use is refused, or the backend has no function. Raised when the
        query is built or compiled.
    :raises FunctionMissing: the function isn't installed, is outdated, or may not be executed.
        Raised when the query is compiled.
    :raises DataError: the sequence is exhausted, or ``name`` is an expression and its value isn't
        a valid name. The statement raises it; on Oracle it is a DatabaseError, on SQLite an
        OperationalError.
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
            raise TypeError("the database can't call initial_value: pass an int")
        super().__init__()
        self._expressions: list[Any] = [name] if hasattr(name, "resolve_expression") else []
        self._name = "default"
        if not self._expressions:
            self._name = check_sequence_name(name, "name")  # type: ignore[arg-type]
        checked = Allocation(self._name, 1, initial_value, reset_value)
        # The values are plain ints, so they are safe as literals, whose type is always the same.
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
            refuse_on_conflict(query)  # a db_default is resolved, but may not be compiled
            if not self._expressions:
                return self
            return super().resolve_expression(query, allow_joins, reuse, summarize, for_save)
        if query.model is not None:
            raise NotSupportedError(READ)
        # full_clean() validates constraints by Q.check(), which ignores database errors, but only
        # those raised while it executes the query. So raise this error then.
        refused = self.copy()
        refused._is_read = True
        return refused

    def waited_for(self) -> NextValue:
        """Return a copy for a statement in the block of ``early_release.WaitedFor``.

        In autocommit, only such a copy releases its counter early, because only this block waits.
        """
        copy = self.copy()
        copy._is_waited_for = True
        return copy

    def uses_sequence(self, name: str) -> bool:
        """Return whether this takes numbers of the sequence; False if its name is an expression."""
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
                f"{type(allocator).__name__} can't take a number in-statement: use "
                f"get_next_value(), or a SequenceField"
            )
        if not has_function(connection):
            forget_functions()  # the function may have been created meanwhile
            if not has_function(connection):
                raise function_missing(connection)
        sql, params = self._sql, (self._name,)
        texts = [self._name]
        for name in self._expressions:
            texts = [str(each.value) for each in name.flatten() if isinstance(each, Value)]
            name_sql, params = compiler.compile(name)
            sql = sql % name_sql
        for text in texts:
            if not text.isascii():
                allocator.check_name(connection, text)
        return self._released(sql, compiler, connection), tuple(params)

    def _released(self, sql: str, compiler: Any, connection: Any) -> str:
        """Return SQL that releases the counter early if there will be a wait after the COMMIT.

        Leave a column's default as it is, because all clients evaluate it.
        """
        if not isinstance(compiler, SQLInsertCompiler | SQLUpdateCompiler):
            return sql
        found = durability_in_transaction(connection)
        if found is not None:
            wait_after_commit(connection)
        elif self._is_waited_for and not connection.in_atomic_block:
            found = None if sends_together(connection) else durability(connection)
        return sql if found is None else get_allocator(connection).releasing(connection, sql, found)


def refuse_on_conflict(query: Any) -> None:
    """Raise NotSupportedError for an INSERT that may skip rows after taking their numbers."""
    if getattr(query, "on_conflict", None) is not None:
        raise NotSupportedError(
            "bulk_create() with ignore_conflicts or update_conflicts would lose the numbers of "
            "rows that are not inserted"
        )
