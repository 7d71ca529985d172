"""System checks of SequenceField: what would go wrong, said with the remedy."""

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
from .counters import Numbering
from .dates import DateText
from .identity import column_of
from .scopes import fields_of, path_of
from .text_checks import check_insert, check_period

NO_IDENTITY = (models.BinaryField, models.FloatField, models.JSONField)
"""Fields whose columns have no one text for values that they hold to be equal."""

TIMES = (models.DateTimeField, models.TimeField)
"""Fields whose columns round in ways that only Django's own types tell."""


def check_field(field: Any, databases: Any = None) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with one field of one model."""
    yield from _check_default(field)
    paths: list[tuple[str, list[Any]]] = []
    for part in field.scope_parts:
        if (path := path_of(part)) is None:
            continue
        try:
            paths.append((path, fields_of(field.model, path)))
            if isinstance(part, DateText):
                yield from check_period(field, part, paths[-1][1][-1])
        except FieldDoesNotExist as error:
            yield checks.Error(
                f"The scope {path!r} can't be resolved: {error}",
                hint="Name fields of the model, or of what its foreign keys lead to.",
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
        "A number can't have a default: every row would get the same.",
        hint="For a table that has rows, add the field with null=True, number the rows in a data "
        "migration, and then remove null=True.",
        obj=field,
        id="sequences_contrib.E007",
    )


def _check_path(field: Any, path: str, fields: list[Any]) -> Iterator[checks.CheckMessage]:
    if not field.null and any(step.null for step in fields):
        yield checks.Warning(
            f"The scope {path!r} can be null, the number can't: saving would fail.",
            hint="Set null=True on the number, or null=False on the scope's fields.",
            obj=field,
            id="sequences_contrib.W001",
        )
    if fields[-1].is_relation and isinstance(fields[-1].related_model, str):
        return  # an unknown model, of which Django's own check tells
    column = column_of(fields[-1])
    of_its_own = isinstance(column, TIMES) and type(column).db_type is not models.Field.db_type
    if isinstance(column, NO_IDENTITY) or of_its_own:
        yield checks.Error(
            f"The scope {path!r} is a {type(column).__name__}, whose equal values can look "
            f"different: one scope could have two counters.",
            hint="Use a field of text, integers, decimals, dates or UUIDs.",
            obj=field,
            id="sequences_contrib.E005",
        )
    yield from check_insert(
        field, fields[0], f"The scope {path!r}", "taken", "scope", id="sequences_contrib.E006"
    )


def _models(field: Any) -> list[Any]:
    """Return all models of the project; of a test, those of an application that isn't there too."""
    parents = field.model._meta.get_parent_list()
    isolated = [m for of in field.model._meta.apps.all_models.values() for m in of.values()]
    found = dict.fromkeys((field.model, *parents, *isolated, *apps.get_models()))
    return [model for model in found if not model._meta.swapped]


def _check_children(field: Any) -> Iterator[checks.CheckMessage]:
    """Look for models that insert the field's row before another's, and for others after it."""
    before: dict[Any, Any] = {}
    after: dict[Any, Any] = {}
    for model in _models(field):
        inserted = _inserted(model)
        if field.model not in inserted:
            continue
        place = inserted.index(field.model)
        before |= dict.fromkeys(inserted[:place], model)
        after |= dict.fromkeys(inserted[place + 1 :], model)
    for other in before.keys() & after.keys():
        yield checks.Error(
            f"Rows of {before[other]._meta.label} are inserted along with one of "
            f"{other._meta.label} first, those of {after[other]._meta.label} with one of this "
            f"model first: both are numbered, so such saves would deadlock.",
            hint="Name the bases of the two models in the same order.",
            obj=field,
            id="sequences_contrib.E009",
        )


def _inserted(model: Any) -> list[Any]:
    """Return the numbered models of which a row is inserted with one of this, in that order."""
    found: list[Any] = []
    for parent, link in model._meta.parents.items():
        found += _inserted(parent) if link else []
    numbered = any(isinstance(field, Numbering) for field in model._meta.local_fields)
    return list(dict.fromkeys([*found, model] if numbered else found))


def _check_others(field: Any) -> Iterator[checks.CheckMessage]:
    """Compare the field with every other one of the project."""
    others = [
        other
        for model in _models(field)
        for other in model._meta.local_fields
        if isinstance(other, Numbering) and not other.is_copy and other is not field
    ]
    shared = [other for other in others if _share(field, other) and not _is_same(field, other)]
    if shared:
        names = ", ".join(map(str, shared))
        yield checks.Warning(
            f"The counter {field.base!r} numbers {names} too.",
            hint="Give each its own sequence_name. If they are to share one series of numbers, "
            "silence this check.",
            obj=field,
            id="sequences_contrib.W002",
        )
        choosy = field.reuse or field.skip_used or field.ascending
        if choosy or any(other.reuse or other.ascending for other in shared):
            yield checks.Error(
                f"The counter {field.base!r} numbers {names} too, and reuse, skip_used and "
                f"ascending look at the rows of one model only.",
                hint="Give each its own sequence_name, or leave these options out.",
                obj=field,
                id="sequences_contrib.E004",
            )
        if any(_are_related(field.model, other.model) for other in shared):
            yield checks.Error(
                f"The counter {field.base!r} numbers {names} too, whose rows are inserted along "
                f"with these, by another statement: such saves would deadlock.",
                hint="Give each its own sequence_name.",
                obj=field,
                id="sequences_contrib.E008",
            )
    meeting = [other for other in others if other not in shared and _could_meet(field, other)]
    if meeting:
        yield checks.Error(
            f"Counters of {', '.join(map(str, meeting))} could have the names of this field's, "
            f"which begin with {field.base!r}.",
            hint="Choose a sequence_name that isn't the beginning of another's.",
            obj=field,
            id="sequences_contrib.E003",
        )


def _is_same(field: Any, other: Any) -> bool:
    """Are they one column, perhaps of two models of a table?"""
    one, two = ((each.model._meta.db_table, each.column) for each in (field, other))
    return one == two


def _share(field: Any, other: Any) -> bool:
    """Can one counter number rows of both, by the names that were chosen for them?"""
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
    """Could a counter of one have a name of the other's, though they aren't named alike?"""
    one, two = (
        each.base + each.separator if each.scope_parts else each.base for each in (field, other)
    )
    if (field.base, field.separator) == (other.base, other.separator):
        return False  # what they share they share by name
    scoped_one, scoped_two = bool(field.scope_parts), bool(other.scope_parts)
    return (scoped_one and two.startswith(one)) or (scoped_two and one.startswith(two))


def _are_related(one: Any, other: Any) -> bool:
    """Is one model the other's parent, by multi-table inheritance?"""
    return one is not other and (issubclass(one, other) or issubclass(other, one))


def _check_database(
    field: Any, alias: str, columns: Iterable[Any]
) -> Iterator[checks.CheckMessage]:
    connection = connections[alias]
    # The router of django-tenants speaks of the current schema; the table may be in another one.
    elsewhere = get_allocator(connection).namespace(connection) and has_table(connection)
    if not elsewhere and not router.allow_migrate_model(alias, Counter):
        yield checks.Error(
            f"The table of counters is not on database {alias!r}, where this model's is.",
            hint=f"Let the router's allow_migrate({alias!r}, {Counter._meta.app_label!r}) be "
            f"true: a number and its row are one transaction.",
            obj=field,
            id="sequences_contrib.E002",
        )
    for column in map(column_of, columns):
        if not isinstance(column, models.CharField | models.TextField):
            continue
        collation = column.db_parameters(connection).get("collation")
        if _ignores_case(connection, collation):
            yield checks.Error(
                f"The column of {column}, which is in the scope, holds 'a' and 'A' (or 'á') "
                f"to be equal on database {alias!r}: one scope would have two counters.",
                hint="Give it a db_collation that compares bytes, such as utf8mb4_0900_bin on "
                "MySQL, utf8mb4_nopad_bin on MariaDB, C on PostgreSQL.",
                obj=field,
                id="sequences_contrib.E005",
            )


def _ignores_case(connection: Any, collation: str | None) -> bool:
    """Ask the database what a collation makes of different texts; None is its default."""
    with connection.cursor() as cursor:
        if collation is None:
            if connection.vendor != "mysql":
                return False
            cursor.execute("SELECT @@collation_database")
            (collation,) = cursor.fetchone()
        name = connection.ops.quote_name(collation)
        cursor.execute(f"SELECT CASE WHEN 'a' COLLATE {name} IN ('A', 'á') THEN 1 ELSE 0 END")
        return bool(cursor.fetchone()[0])
