"""System checks of FormattedNumberField, and of periods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router

from sequences_core.arguments import MAX_VALUE

from . import languages
from .collations import BYTES, TEXT_FIELDS, merges_texts
from .counters import Numbering, is_numbered
from .dates import DateText
from .periods import Period
from .placeholders import Placeholder, column_at, path_of_piece
from .scopes import (
    PLAIN_PRE_SAVES,
    fields_of,
    has_moments,
    is_automatic,
    is_unresolved,
    path_of,
)


def is_set_by_insert(first: Any, model: Any) -> bool:
    """Return whether a field of the row is set during the INSERT, after the number is taken."""
    own = type(first).pre_save not in PLAIN_PRE_SAVES and not isinstance(first, Numbering)
    # The model's own numbers and its automatic primary key aren't known yet. Those of a parent
    # model are, because its row has been inserted before.
    later = first.model is model and isinstance(first, models.AutoField | Numbering)
    return is_automatic(first) or own or later or getattr(first, "generated", False)


def check_insert(
    field: Any, first: Any, what: str, work: str, place: str, id: str
) -> Iterator[checks.CheckMessage]:
    """Yield an error if the first field of a path is set after the ``work`` that needs it."""
    if is_set_by_insert(first, field.model):
        yield checks.Error(
            f"{what} is set while the row is inserted, after the number is {work}.",
            hint="Give the field a default, such as timezone.now, instead of auto_now_add, "
            f"auto_now, an expression or its own pre_save(); or leave it out of the {place}.",
            obj=field,
            id=id,
        )


def check_period(field: Any, part: DateText, column: Any) -> Iterator[checks.CheckMessage]:
    """Yield the problems of a column as the date of a period or of a placeholder."""
    problem = hint = None
    if not isinstance(column, models.DateField):
        problem, hint = f"is not a date, but {part!r} needs one.", "Name a date or datetime field."
    elif has_moments(column) and part.tz is None:
        problem = "is a DateTimeField, so its date depends on the time zone."
        hint = 'Set the time zone in which documents are dated, such as tz="Europe/Vienna".'
    elif isinstance(part, Period) and not has_moments(column) and part.tz is not None:
        problem, hint = "is a DateField, which has no time zone.", f"Leave tz out of {part!r}."
    if problem:
        yield checks.Error(f"{column} {problem}", hint=hint, obj=field, id="sequences_contrib.E025")


def check_text(field: Any, databases: Any = None) -> Iterator[checks.CheckMessage]:
    """Yield the problems of a FormattedNumberField."""
    try:
        number: Any = field.model._meta.get_field(field.number)
    except FieldDoesNotExist:
        number = None
    if not is_numbered(number) or number.model is not field.model:
        yield checks.Error(
            f"{field.number!r} is not a SequenceField of this model.",
            hint="Name the one to format: FormattedNumberField(format, number=…).",
            obj=field,
            id="sequences_contrib.E020",
        )
        return
    try:
        if any(is_unresolved(fields_of(field.model, path)) for path in field.format.paths):
            return
        pieces = field.format.languages(field.model)
    except (FieldDoesNotExist, TypeError) as error:
        yield checks.Error(
            f"The format {field.format.template!r} can't be used: {error}",
            hint="Name fields of text, integers or dates; follow foreign keys with dots.",
            obj=field,
            id="sequences_contrib.E021",
        )
        return
    yield from _check_pieces(field, number, pieces)
    for piece in field.format.placeholders:
        if piece.part is not None:
            yield from _check_placeholder(field, number, piece)
    if field.unique:
        yield from _check_scope(field, number)
        for alias in databases or ():
            if router.allow_migrate_model(alias, field.model):
                yield from _check_collation(field, alias)


def _check_collation(field: Any, alias: str) -> Iterator[checks.CheckMessage]:
    """Check that texts which differ only in the text of a field are different in the column."""
    connection = connections[alias]
    if not merges_texts(field, connection):
        return
    for path in field.format.paths:
        column = column_at(field.model, path)
        if isinstance(column, TEXT_FIELDS) and not merges_texts(column, connection):
            yield checks.Error(
                f"The column of the text compares different texts as equal on database {alias!r}, "
                f"such as 'a' and 'A', 'á' or 'a ', but that of {column} doesn't: two numbers "
                f"could have the same text.",
                hint=BYTES,
                obj=field,
                id="sequences_contrib.E028",
            )


def _check_pieces(field: Any, number: Any, pieces: Any) -> Iterator[checks.CheckMessage]:
    template = field.format.template
    # A maximum that is a function can have any value.
    highest = number.maximum if isinstance(number.maximum, int) else MAX_VALUE
    longest = field.format.longest(field.model, len(str(highest)))
    if field.max_length is not None and longest > field.max_length:
        length = "of any length" if longest == float("inf") else f"{longest} characters long"
        yield checks.Error(
            f"Texts of the format {template!r} can be {length}, but max_length is "
            f"{field.max_length}.",
            hint="Numbers have up to 19 digits. Increase max_length, decrease that of the fields "
            "in the format, or set a maximum on the number.",
            obj=field,
            id="sequences_contrib.E022",
        )
    if languages.is_ambiguous(pieces):
        yield checks.Error(
            f"Texts of the format {template!r} are ambiguous: different values can have equal "
            f"texts.",
            hint="Separate fields by text that they can't contain; pad non-negative integers with "
            "zeros, such as {branch:03d}; and use only one field of text.",
            obj=field,
            id="sequences_contrib.E023",
        )
    if number.null and not field.null:
        yield checks.Error(
            f"{number} can be null, but its text can't: saving such a row would fail.",
            hint="Set null=True on both.",
            obj=field,
            id="sequences_contrib.E026",
        )


def _check_placeholder(
    field: Any, number: Any, piece: Placeholder
) -> Iterator[checks.CheckMessage]:
    steps = fields_of(field.model, path_of_piece(piece))
    if isinstance(piece.part, DateText):
        yield from check_period(field, piece.part, steps[-1])
    written = f"{{{piece.written}}}"
    yield from check_insert(
        field, steps[0], written, "formatted", "format", id="sequences_contrib.E027"
    )
    scope = [_names(field.model, path) for part in number.scope_parts if (path := path_of(part))]
    names = [step.name for step in steps]
    for at, step in enumerate(steps, 1):
        if step.null and not any(names[:at] == path[:at] for path in scope):
            yield checks.Warning(
                f"{written} can be null: saving such a row with a number would fail.",
                hint=f"Set null=False on {step}, or add it to the number's scope.",
                obj=field,
                id="sequences_contrib.W022",
            )


def _check_scope(field: Any, number: Any) -> Iterator[checks.CheckMessage]:
    """Check that numbers of different counters can't have the same text."""
    template = field.format.template
    if number.reset_value is not None:
        yield _same_text(field, f"{number} has a reset_value, so its numbers repeat.")
    for part in number.scope_parts:
        if callable(part):
            yield checks.Warning(
                f"Two scopes of {number} may have the same text: the scope is a function, which "
                f"can't be checked.",
                hint="Use fields and periods as the scope; or silence this check if the format "
                "distinguishes the scopes.",
                obj=field,
                id="sequences_contrib.W021",
            )
        elif path_of(part) is None or _is_told(field, part):
            continue
        elif _is_told(field, part, short=True):
            yield checks.Warning(
                f"The format {template!r} has years of two digits: texts repeat after a century.",
                hint="Use %Y; or silence this check.",
                obj=field,
                id="sequences_contrib.W020",
            )
        else:
            yield _same_text(
                field,
                f"Two scopes of {number} can have the same text: {template!r} doesn't contain "
                f"{part!r}.",
            )


def _same_text(field: Any, problem: str) -> checks.Error:
    return checks.Error(
        problem,
        hint="Add each part of the scope to the format: a unique field of it, or its period. Or "
        "set unique=False on the text, and add a unique constraint with the scope.",
        obj=field,
        id="sequences_contrib.E024",
    )


def _names(model: Any, path: str) -> list[str]:
    try:
        return [field.name for field in fields_of(model, path)]
    except FieldDoesNotExist:
        return []  # the number's own check reports it


def _is_told(field: Any, part: Any, *, short: bool = False) -> bool:
    """Return whether the text determines this part of the scope.

    :param short: whether to accept a year of two digits, ``%y``.
    """
    model, path = field.model, path_of(part) or ""
    names, codes = _names(model, path), set()
    tz = _zone(model, part)
    written = [piece.part for piece in field.format.placeholders]
    for text in written:
        if isinstance(text, DateText):
            alike = _names(model, text.field) == names and _zone(model, text) == tz
            if alike and text == part:
                return True
            codes |= text.codes if alike else set()
    known = _identified(model, [text for text in written if isinstance(text, str)])
    if any(tuple(names[:length]) in known for length in range(1, len(names) + 1)):
        return True
    if short and "y" in codes:
        codes.add("Y")
    if isinstance(part, Period):
        return any(codes.issuperset(enough) for enough in part.enough)
    days = names and not has_moments(fields_of(model, path)[-1])
    return bool(days) and codes.issuperset("Ymd")


def _zone(model: Any, part: Any) -> str | None:
    """Return the time zone of a period or placeholder of a DateTimeField, otherwise None."""
    if not isinstance(part, DateText) or not _names(model, part.field):
        return None
    return part.tz if has_moments(fields_of(model, part.field)[-1]) else None


def _identified(model: Any, paths: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the paths, and the paths of the related rows that they identify by unique fields."""
    known: set[tuple[str, ...]] = set()
    owners: dict[tuple[str, ...], Any] = {}
    for path in paths:
        fields: list[Any] = fields_of(model, path)
        known.add(tuple(field.name for field in fields))
        for length in range(1, len(fields)):
            names = tuple(field.name for field in fields[:length])
            owners[names] = fields[length - 1].related_model
    # Longer paths come first, because a row that they identify may identify one of a shorter path.
    for names, owner in sorted(owners.items(), key=lambda each: -len(each[0])):
        if any(known.issuperset((*names, each) for each in group) for group in _unique(owner)):
            known.add(names)
    return known


def _unique(model: Any) -> Iterator[Iterable[str]]:
    """Yield the names of fields whose values together are unique among all rows of a model."""
    yield [field.name for field in model._meta.pk_fields]
    for field in model._meta.concrete_fields:
        if field.unique:
            yield [field.name]
    for each in (model, *model._meta.get_parent_list()):
        yield from each._meta.unique_together
        for constraint in each._meta.total_unique_constraints:
            yield constraint.fields
