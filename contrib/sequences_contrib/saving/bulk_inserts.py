"""Numbering rows that ``bulk_create()`` inserts: a wrapper around ``QuerySet.bulk_create``."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sequences_core.taking import begin, database_errors

from ..counters import sequence_fields
from ..exceptions import is_committed
from ..expressions import is_expression
from ..transactions import is_manual, savepoint
from .numbering import Numbers
from .uncommitted import forget_all_rolled_back


def numbering_bulk_create(bulk_create: Any) -> Any:
    """Wrap ``QuerySet.bulk_create``: the first of its statements numbers all rows.

    Django inserts the rows with a primary key and those without in two statements of a transaction.
    All counters must be locked in name order, so the numbers can't be taken for each statement.
    """

    @functools.wraps(bulk_create)
    def wrapper(
        self: Any,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        numbered = sequence_fields(self.model)
        options = (batch_size, ignore_conflicts, update_conflicts, *args)
        if not numbered or not objs:
            return bulk_create(self, objs, *options, **kwargs)
        rows = list(objs)
        if not rows:
            return bulk_create(self, rows, *options, **kwargs)
        if len(set(map(id, rows))) < len(rows):
            raise ValueError("bulk_create() has one instance twice, which can't have two numbers")
        forget_all_rolled_back(rows)
        query = self._chain()  # Another thread may use the queryset itself.
        vars(query).update({name: vars(self)[name] for name in vars(self).keys() - vars(query)})
        query._for_write = True
        using, connection = query.db, connections[query.db]
        conflicts = ignore_conflicts or update_conflicts
        numbers = Numbers(connection, rows, numbered, bulk=True, conflicts=conflicts)

        def insert(some: Any, *insert_args: Any, **insert_kwargs: Any) -> Any:
            with (
                database_errors(connection, ours=False),
                # Model.save() does the same. From Django 6.0 on, bulk_create() does so for batches.
                transaction.mark_for_rollback_on_error(using=using),
                numbers,
            ):
                return type(query)._batched_insert(query, some, *insert_args, **insert_kwargs)

        query._batched_insert = insert
        try:
            # For a single batch, Django 6.0 opens no transaction, and sets the primary keys after
            # the INSERT. If a wait for the disk fails after that, the instances must have them.
            with ExitStack() as stack:
                if not (connection.in_atomic_block or is_manual(connection)):
                    limits = [field.limit for field in numbered if field.limit is not None]
                    stack.push(begin(using, min(limits, default=None)))
                elif conflicts or not connection.in_atomic_block:
                    stack.enter_context(savepoint(using))
                bulk_create(query, rows, *options, **kwargs)
                if conflicts:
                    numbers.pass_stored()
        except BaseException as error:
            # An earlier transaction's error would be raised while the counters are found.
            if numbers.by_counter is not None and is_committed(error, using):
                _remember(numbers, connection)
            else:
                numbers.restore(error)
            raise
        _remember(numbers, connection)
        return rows

    return wrapper


def _remember(numbers: Numbers, connection: BaseDatabaseWrapper) -> None:
    """Remember the numbers of the rows, now stored; defer those that only the database knows."""
    if not connection.features.can_return_rows_from_bulk_insert:
        for row in numbers.rows:
            row._state.db = connection.alias  # Django sets it only if it knows the primary keys.
            for field in numbers.fields:
                if is_expression(getattr(row, field.attname)) and row.pk is not None:
                    delattr(row, field.attname)
    numbers.remember()
