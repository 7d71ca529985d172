"""The texts before and after the number of each row, written from the row's fields.

They don't depend on the number, so they are looked up before a counter is locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from .pieces import Pieces, field_placeholders
from .placeholders import in_places, path_of_piece
from .scopes import ALIKE, fields_of, is_automatic, text_of_one, texts_of

Affixes = tuple[str, str]
"""The text before the number, and the text after it."""


def affixes_of(
    pieces: Pieces, rows: Sequence[Model], connection: BaseDatabaseWrapper
) -> list[Affixes | None]:
    """Return the affixes of each row; None where a field of the format is null or empty.

    :param rows: at least one row, all of the same model.
    """
    model, alias = type(rows[0]), connection.alias
    columns = _own_columns(pieces, model)
    if columns is None:
        return _looked_up(pieces, rows, connection)
    keys = [tuple([getattr(row, column.attname) for column in columns]) for row in rows]
    kinds = {tuple(map(type, key)) for key in keys}
    # Equal values of other types may be stored differently, so they can't be keys of a cache.
    if len(kinds) > 1 or not ALIKE.issuperset(*kinds):
        return _looked_up(pieces, rows, connection)
    (types,) = kinds
    known = {key: _affixes(pieces, model, types, key, alias) for key in set(keys)}
    return [known[key] for key in keys]


@lru_cache(maxsize=1024)
def _own_columns(pieces: Pieces, model: type[Model]) -> list[Any] | None:
    """Return the field of each placeholder; None unless each is set on the row before the INSERT.

    Fields of related rows and those that Django sets during the INSERT are not.
    """
    paths = [fields_of(model, path_of_piece(piece)) for piece in field_placeholders(pieces)]
    if any(len(path) > 1 or is_automatic(path[0]) for path in paths):
        return None
    return [path[0] for path in paths]


@lru_cache(maxsize=1024)
def _affixes(
    pieces: Pieces, model: type[Model], types: Any, values: Any, using: str
) -> Affixes | None:
    """Return the affixes for values of the row's own columns.

    ``types`` is part of the cache's key, because 1 and True are equal.
    """
    columns, connection = _own_columns(pieces, model) or (), connections[using]
    texts = [
        in_places(piece, text_of_one(piece.part or "", column, value, connection))
        for piece, column, value in zip(field_placeholders(pieces), columns, values, strict=True)
    ]
    return _joined(pieces, texts)


def _looked_up(
    pieces: Pieces, rows: Sequence[Model], connection: BaseDatabaseWrapper
) -> list[Affixes | None]:
    """Return the affixes of rows whose values can't be keys of a cache, or need queries."""
    texts = [
        [in_places(piece, text) for (text,) in texts_of(piece.part, rows, connection)]
        for piece in field_placeholders(pieces)
    ]
    return [_joined(pieces, each) for each in zip(*texts, strict=True)]


def _joined(pieces: Pieces, texts: Sequence[str | None]) -> Affixes | None:
    """Join the texts of the fields with the literal text around them, up to the number and after.

    None if one of the texts is.
    """
    if None in texts:
        return None
    before, after, following = "", "", iter(texts)
    for piece in pieces:
        if isinstance(piece, str):
            after += piece
        elif piece.part is None:  # the number
            before, after = after, ""
        else:
            after += next(following) or ""
    return before, after
