"""System checks of SequenceField."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router

from sequences_core import get_allocator
from sequences_core.models import Counter, has_table

from .checks_when import check_when
from .collations import BYTES, merges_texts
from .counters import in_order_of_insertion, is_numbered
from .dates import DateText
from .identity import column_of, has_identity
from .scopes import fields_of, is_unresolved, path_of
from .text_checks import check_insert, check_period

SQLITE_DIGITS = 15
"""SQLite stores decimals as floats: https://www.sqlite.org/datatype3.html#type_affinity."""


def check_field(field: Any, databases: Any = None) -> Iterator[checks.CheckMessage]:
    """Yield the problems of one field of one model."""
    yield from _check_default(field)
    yield from _check_unique(field)
    paths: list[tuple[str, list[Any]]] = []
    for part in field.scope_parts:
        if (path := path_of(part)) is None:
            continue
        try:
            fields = fields_of(field.model, path)
            if is_unresolved(fields):
                continue
            paths.append((path, fields))
            if isinstance(part, DateText):
                yield from check_period(field, part, fields[-1])
        except FieldDoesNotExist as error:
            yield checks.Error(
                f"The scope {path!r} can't be resolved: {error}",
                hint="Name fields of the model, or of models that its foreign keys refer to.",
                obj=field,
                id="sequences_contrib.E001",
            )
    for path, fields in paths:
        yield from _check_path(field, path, fields)
    yield from check_when(field)
    yield from _check_others(field)
    yield from _check_children(field)
    for alias in databases or ():
        if router.allow_migrate_model(alias, field.model):
            yield from _check_database(field, alias, [fields[-1] for _, fields in paths])


def _check_default(field: Any) -> Iterator[checks.CheckMessage]:
    if not field.has_default() and field.db_default is models.NOT_PROVIDED:
        return
    yield checks.Error(
        "A number can't have a default: every row would get the same number.",
        hint="Remove the default. If the table has rows, number them in the migration with "
        "sequences_contrib.operations.AddSequenceField.",
        obj=field,
        id="sequences_contrib.E007",
    )


def _check_unique(field: Any) -> Iterator[checks.CheckMessage]:
    varies = any(map(_varies, field.scope_parts))
    if not (field.unique and varies) or callable(field.initial_value):
        return
    yield checks.Warning(
        "The number is unique in the whole table, but the counter of each scope starts at the same "
        "number: the first row of a second scope would fail.",
        hint="Remove unique=True and primary_key=True, and declare unique_with or a "
        "UniqueConstraint of the scope and the number; or let a function return the initial value.",
        obj=field,
        id="sequences_contrib.W003",
    )


def _check_path(field: Any, path: str, fields: list[Any]) -> Iterator[checks.CheckMessage]:
    if not field.null and any(step.null for step in fields):
        yield checks.Warning(
            f"The scope {path!r} can be null, but the number can't: saving such a row would fail.",
            hint="Set null=True on the number, or null=False on the scope's fields.",
            obj=field,
            id="sequences_contrib.W001",
        )
    column = column_of(fields[-1])
    if not has_identity(column):
        yield checks.Error(
            f"The scope {path!r} is a {type(column).__name__}, whose equal values can be stored "
            f"differently: one scope could have two counters.",
            hint="Use a field of text, integers, decimals, dates or UUIDs whose column has the "
            "type that Django defines.",
            obj=field,
            id="sequences_contrib.E005",
        )
    yield from check_insert(
        field, fields[0], f"The scope {path!r}", "taken", "scope", id="sequences_contrib.E006"
    )


def _models(field: Any) -> list[Any]:
    """Return all models of the project, and those in the app registry of the field's model."""
    parents = field.model._meta.get_parent_list()
    isolated = [m for of in field.model._meta.apps.all_models.values() for m in of.values()]
    found = dict.fromkeys((field.model, *parents, *isolated, *apps.get_models()))
    return [model for model in found if not model._meta.swapped]


def _check_children(field: Any) -> Iterator[checks.CheckMessage]:
    """Report models whose rows are inserted before this model's in one save and after in another.

    Both are numbered, so the two saves would lock the counters in opposite orders.
    """
    before: dict[Any, Any] = {}
    after: dict[Any, Any] = {}
    for model in _models(field):
        inserted = in_order_of_insertion(model)
        if field.model not in inserted:
            continue
        place = inserted.index(field.model)
        before |= dict.fromkeys(inserted[:place], model)
        after |= dict.fromkeys(inserted[place + 1 :], model)
    for other in before.keys() & after.keys():
        yield checks.Error(
            f"Saving {before[other]._meta.label} inserts a row of {other._meta.label} before one "
            f"of this model, and saving {after[other]._meta.label} inserts it after: both rows are "
            f"numbered, so two such saves could deadlock.",
            hint="List the bases of the two models in the same order.",
            obj=field,
            id="sequences_contrib.E009",
        )


def _check_others(field: Any) -> Iterator[checks.CheckMessage]:
    """Compare the field with every other numbered field of the project."""
    others = [
        other
        for model in _models(field)
        for other in model._meta.local_fields
        if is_numbered(other) and other is not field
    ]
    shared = [other for other in others if _share(field, other) and not _is_same(field, other)]
    if shared:
        names = ", ".join(map(str, shared))
        yield checks.Warning(
            f"The counter {field.base!r} also numbers {names}.",
            hint="Give each field its own sequence_name. If they should share a sequence, silence "
            "this check.",
            obj=field,
            id="sequences_contrib.W002",
        )
        choosy = field.reuse or field.skip_used or field.ascending
        if choosy or any(other.reuse or other.ascending for other in shared):
            yield checks.Error(
                f"The counter {field.base!r} also numbers {names}, but reuse, skip_used and "
                f"ascending read the rows of only one model.",
                hint="Give each field its own sequence_name, or leave these options out.",
                obj=field,
                id="sequences_contrib.E004",
            )
        if any(_are_related(field.model, other.model) for other in shared):
            yield checks.Error(
                f"The counter {field.base!r} also numbers {names}, whose rows are inserted in the "
                f"same save by another statement: two such saves could deadlock.",
                hint="Give each field its own sequence_name.",
                obj=field,
                id="sequences_contrib.E008",
            )
    meeting = [other for other in others if other not in shared and _could_meet(field, other)]
    if meeting:
        yield checks.Error(
            f"The counters of {', '.join(map(str, meeting))} could have the same names as the "
            f"counters of this field, which begin with {field.base!r}.",
            hint="Choose a sequence_name that isn't the beginning of another one.",
            obj=field,
            id="sequences_contrib.E003",
        )


def _is_same(field: Any, other: Any) -> bool:
    """Return whether both are the same column, perhaps in two models of one table."""
    one, two = ((each.model._meta.db_table, each.column) for each in (field, other))
    return one == two


def _share(field: Any, other: Any) -> bool:
    """Return whether one counter can number rows of both: name, separator and scope allow it."""
    if (field.base, field.separator) != (other.base, other.separator):
        return False
    parts = list(zip_longest(field.scope_parts, other.scope_parts))
    return all(
        None not in pair and (_varies(pair[0]) or _varies(pair[1]) or pair[0] == pair[1])
        for pair in parts
    )


def _varies(part: Any) -> bool:
    return callable(part) or path_of(part) is not None


def _could_meet(field: Any, other: Any) -> bool:
    """Return whether counters of two differently named fields could have the same name."""
    one, two = (
        each.base + each.separator if each.scope_parts else each.base for each in (field, other)
    )
    if (field.base, field.separator) == (other.base, other.separator):
        return False  # the same sequence: _share() reports it
    scoped_one, scoped_two = bool(field.scope_parts), bool(other.scope_parts)
    return (scoped_one and two.startswith(one)) or (scoped_two and one.startswith(two))


def _are_related(one: Any, other: Any) -> bool:
    """Return whether one model is an ancestor of the other, by multi-table inheritance."""
    return one is not other and (issubclass(one, other) or issubclass(other, one))


def _loses_digits(column: Any, connection: Any) -> bool:
    """Return whether two decimals of the column can be stored as the same number."""
    if connection.vendor != "sqlite" or not isinstance(column, models.DecimalField):
        return False
    return bool(column.max_digits and column.max_digits > SQLITE_DIGITS)


def _cuts_values(connection: Any) -> bool:
    """Return whether MySQL or MariaDB stores another value instead of one that doesn't fit."""
    modes: set[str] | None = getattr(connection, "sql_mode", None)
    return modes is not None and modes.isdisjoint({"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"})


def _check_database(
    field: Any, alias: str, columns: Iterable[Any]
) -> Iterator[checks.CheckMessage]:
    connection = connections[alias]
    # The router of django-tenants answers for the current schema, but the table of counters may be
    # in another one.
    elsewhere = get_allocator(connection).namespace(connection) and has_table(connection)
    if not elsewhere and not router.allow_migrate_model(alias, Counter):
        yield checks.Error(
            f"The table of counters is not on database {alias!r}, where this model's table is.",
            hint=f"Let the router return True for allow_migrate({alias!r}, "
            f"{Counter._meta.app_label!r}): the number and its row belong to one transaction.",
            obj=field,
            id="sequences_contrib.E002",
        )
    columns = [column_of(column) for column in columns]
    if columns and _cuts_values(connection):
        yield checks.Error(
            f"Database {alias!r} isn't in strict mode: it changes values that don't fit into a "
            f"column of the scope, so that one scope would have two counters.",
            hint='Add "sql_mode": "STRICT_TRANS_TABLES" to the OPTIONS of this database.',
            obj=field,
            id="sequences_contrib.E005",
        )
    for column in columns:
        if _loses_digits(column, connection):
            yield checks.Error(
                f"The column of {column}, which is in the scope, has {column.max_digits} digits, "
                f"but database {alias!r} stores {SQLITE_DIGITS} of them: one scope would have two "
                f"counters.",
                hint="Reduce max_digits, or use another database.",
                obj=field,
                id="sequences_contrib.E005",
            )
        if merges_texts(column, connection):
            yield checks.Error(
                f"The column of {column}, which is in the scope, compares different texts as equal "
                f"on database {alias!r}, such as 'a' and 'A', 'á' or 'a ': one scope would have "
                f"two counters.",
                hint=BYTES,
                obj=field,
                id="sequences_contrib.E005",
            )
