"""Parsing the template of a number format into pieces: literal text and placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Formatter

from django.db.models.constants import LOOKUP_SEP

from .dates import DateText
from .periods import Period
from .placeholders import Piece, Placeholder

NUMBER = "number"
"""The placeholder's name for the number, whatever the SequenceField is called."""

Pieces = tuple[Piece, ...]


def pieces_of(template: str, periods: Mapping[str, Period], tz: str | None) -> Pieces:
    """Return the pieces of a template in their order.

    :param periods: the periods that the template may name.
    :param tz: the name of the time zone in which moments have a date.

    Raises ValueError for braces that don't match and for malformed placeholders.
    """
    return tuple(_pieces(template, periods, tz))


def field_placeholders(pieces: Pieces) -> list[Placeholder]:
    """Return the placeholders that are about a field of the row: all but the number's."""
    return [piece for piece in pieces if not isinstance(piece, str) and piece.part is not None]


def _pieces(template: str, periods: Mapping[str, Period], tz: str | None) -> Iterator[Piece]:
    literal = ""  # The parser returns it in parts where it has "{{" or "}}".
    for text, name, spec, conversion in Formatter().parse(template):
        literal += text
        if name is None:
            continue
        if literal:
            yield literal
            literal = ""
        written = f"{name}:{spec}" if spec else name
        if conversion or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
            raise ValueError(f"{{{written}}} is not the name of a field: {template!r}")
        yield _placeholder(written, periods, tz)
    if literal:
        yield literal


def _placeholder(written: str, periods: Mapping[str, Period], tz: str | None) -> Placeholder:
    """Return the placeholder that is written so between the braces."""
    name, _, spec = written.partition(":")
    path = name.replace(".", LOOKUP_SEP)
    if "%" in spec and name != NUMBER and name not in periods:
        return Placeholder(written, DateText(path, spec, tz=tz))
    width = re.fullmatch("0([1-9][0-9]?)d", spec)
    if not (width or spec in ("", "d")) or (spec and name in periods):
        raise ValueError(
            f"{{{written}}}: write integers as {{{name}:05d}}, dates as {{{name}:%Y}}, and "
            f"text and periods as {{{name}}}"
        )
    places = int(width[1]) if width else 0
    if name == NUMBER:
        return Placeholder(name, None, places)
    return Placeholder(written, periods.get(name, path), places)
