"""System checks of FormattedNumberField, and of periods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from sequences_core.arguments import MAX_VALUE

from . import languages
from .counters import Numbering
from .dates import DateText
from .periods import Period
from .placeholders import Placeholder, path_of_piece
from .scopes import fields_of, has_moments, is_automatic, path_of

SETTLED = (models.Field.pre_save, models.DateField.pre_save)
"""What these return doesn't change between the taking of the number and the INSERT.

FileField's does: it stores the file, under a name that is free.
"""


def is_set_by_insert(first: Any, model: Any) -> bool:
    """Is a field of the row set while the row is inserted, after the number was taken?"""
    own = type(first).pre_save not in SETTLED and not isinstance(
        first, models.DateTimeField | models.TimeField | Numbering
    )
    # A number of the model's own row, or its serial key, is not known yet; a parent's row is there.
    later = first.model is model and isinstance(first, models.AutoField | Numbering)
    return is_automatic(first) or own or later or getattr(first, "generated", False)


def check_period(field: Any, part: DateText, column: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with a period, or parts of a date, of a column."""
    problem = hint = None
    if not isinstance(column, models.DateField):
        problem, hint = f"is no date, as {part!r} needs.", "Name a DateField or a DateTimeField."
    elif has_moments(column) and part.tz is None:
        problem = "is a moment, whose date depends on the time zone."
        hint = 'Say in which one documents are dated, such as tz="Europe/Vienna".'
    elif isinstance(part, Period) and not has_moments(column) and part.tz is not None:
        problem, hint = "is a date, which has no time zone.", f"Leave tz out of {part!r}."
    if problem:
        yield checks.Error(f"{column} {problem}", hint=hint, obj=field, id="sequences_contrib.E025")


def check_text(field: Any) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with a FormattedNumberField."""
    try:
        number: Any = field.model._meta.get_field(field.number)
    except FieldDoesNotExist:
        number = None
    if not isinstance(number, Numbering) or number.is_copy or number.model is not field.model:
        yield checks.Error(
            f"{field.number!r} is no SequenceField of this model, whose number could be written.",
            hint="Name one: FormattedNumberField(format, number=…).",
            obj=field,
            id="sequences_contrib.E020",
        )
        return
    try:
        pieces = field.format.languages(field.model)
    except (FieldDoesNotExist, TypeError) as error:
        yield checks.Error(
            f"The format {field.format.template!r} can't be written: {error}",
            hint="Name fields of text, integers or dates, by dots along foreign keys.",
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


def _check_pieces(field: Any, number: Any, pieces: Any) -> Iterator[checks.CheckMessage]:
    template = field.format.template
    # A maximum that a function tells may be any.
    highest = number.maximum if isinstance(number.maximum, int) else MAX_VALUE
    longest = field.format.longest(field.model, len(str(highest)))
    if field.max_length is not None and longest > field.max_length:
        length = "of any length" if longest == float("inf") else f"{longest} characters long"
        yield checks.Error(
            f"Texts of the format {template!r} can be {length}, and max_length is "
            f"{field.max_length}.",
            hint="Numbers have up to 19 digits. Raise max_length, lower that of fields, or give "
            "the number a maximum.",
            obj=field,
            id="sequences_contrib.E022",
        )
    if languages.is_ambiguous(pieces):
        yield checks.Error(
            f"Texts of the format {template!r} could be read in two ways, and so be equal.",
            hint="Put between fields what they can't contain; write integers that are not negative "
            "with their places, such as {branch:03d}; and use one field of text only.",
            obj=field,
            id="sequences_contrib.E023",
        )
    if number.null and not field.null:
        yield checks.Error(
            f"{number} can be null, its text can't: saving such a row would fail.",
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
    if is_set_by_insert(steps[0], field.model):
        yield checks.Error(
            f"{{{piece.written}}} is set while the row is inserted, after the number is written.",
            hint="Give the field a default, such as timezone.now, in place of auto_now_add, "
            "auto_now, an expression or a pre_save of its own; or leave it out of the format.",
            obj=field,
            id="sequences_contrib.E027",
        )
    scope = [_names(field.model, path) for part in number.scope_parts if (path := path_of(part))]
    names = [step.name for step in steps]
    for at, step in enumerate(steps, 1):
        if step.null and not any(names[:at] == path[:at] for path in scope):
            yield checks.Warning(
                f"{{{piece.written}}} can be null: saving such a row with a number would fail.",
                hint=f"Set null=False on {step}, or have it in the number's scope.",
                obj=field,
                id="sequences_contrib.W022",
            )


def _check_scope(field: Any, number: Any) -> Iterator[checks.CheckMessage]:
    """Compare what the text tells with what tells counters apart."""
    template = field.format.template
    if number.reset_value is not None:
        yield _same_text(field, f"{number} gives its numbers again: it has a reset_value.")
    for part in number.scope_parts:
        if callable(part):
            yield checks.Warning(
                f"Whether two scopes of {number} have one text can't be told: a function makes "
                f"them.",
                hint="Make the scope of fields and periods; or silence this check if the format "
                "tells the scopes apart.",
                obj=field,
                id="sequences_contrib.W021",
            )
        elif path_of(part) is None or _is_told(field, part):
            continue
        elif _is_told(field, part, short=True):
            yield checks.Warning(
                f"The format {template!r} has years of two digits: texts repeat after a century.",
                hint="Write %Y; or silence this check.",
                obj=field,
                id="sequences_contrib.W020",
            )
        else:
            yield _same_text(
                field,
                f"Two scopes of {number} could give the same text: {template!r} doesn't tell "
                f"{part!r}.",
            )


def _same_text(field: Any, problem: str) -> checks.Error:
    return checks.Error(
        problem,
        hint="Write each part of the scope: a unique field of it, or its period. Or set "
        "unique=False on the text, and a constraint with the scope.",
        obj=field,
        id="sequences_contrib.E024",
    )


def _names(model: Any, path: str) -> list[str]:
    try:
        return [field.name for field in fields_of(model, path)]
    except FieldDoesNotExist:
        return []  # of which the number's own check tells


def _is_told(field: Any, part: Any, *, short: bool = False) -> bool:
    """Does the text tell this part of the scope, if ``short`` says that %y is as good as %Y?"""
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
    """Return the time zone, where it has a meaning."""
    if not isinstance(part, DateText) or not _names(model, part.field):
        return None
    return part.tz if has_moments(fields_of(model, part.field)[-1]) else None


def _identified(model: Any, paths: Iterable[str]) -> set[tuple[str, ...]]:
    """Return the paths, and those to the rows that they tell, being unique, alone or together."""
    known: set[tuple[str, ...]] = set()
    owners: dict[tuple[str, ...], Any] = {}
    for path in paths:
        fields: list[Any] = fields_of(model, path)
        known.add(tuple(field.name for field in fields))
        for length in range(1, len(fields)):
            names = tuple(field.name for field in fields[:length])
            owners[names] = fields[length - 1].related_model
    # The longer a path, the earlier: what it tells may be a part of what tells a shorter one.
    for names, owner in sorted(owners.items(), key=lambda each: -len(each[0])):
        if any(known.issuperset((*names, each) for each in group) for group in _unique(owner)):
            known.add(names)
    return known


def _unique(model: Any) -> Iterator[Iterable[str]]:
    """Yield the names of fields that together are unique in all rows of a model."""
    yield [field.name for field in model._meta.pk_fields]
    for field in model._meta.concrete_fields:
        if field.unique:
            yield [field.name]
    for each in (model, *model._meta.get_parent_list()):
        yield from each._meta.unique_together
        for constraint in each._meta.total_unique_constraints:
            yield constraint.fields
