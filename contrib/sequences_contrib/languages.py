"""What the pieces of a format can look like, and whether a text can be read in two ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Atom(NamedTuple):
    """One character out of some; or several of those."""

    characters: frozenset[str] | None
    """None is any character."""

    repeats: bool = False


Word = tuple[Atom, ...]
Language = tuple[Word, ...]
"""The forms that a piece can have: each text of it has exactly one of these."""

DIGIT = Atom(frozenset("0123456789"))
DIGITS = DIGIT._replace(repeats=True)
FIRST = Atom(frozenset("123456789"))
MINUS = Atom(frozenset("-"))
TEXT: Language = ((Atom(None, repeats=True),),)


def literal(text: str) -> Language:
    return (tuple(Atom(frozenset(character)) for character in text),)


def natural(width: int) -> Language:
    """Return the numbers that are not negative, with zeros in front up to ``width`` places."""
    places = (DIGIT,) * (width - 1)
    return ((*places, DIGIT), (FIRST, *places, DIGITS))


def whole() -> Language:
    """Return the integers."""
    return (*natural(1), (MINUS, FIRST), (MINUS, FIRST, DIGITS))


def pattern(language: Language) -> str:
    """Return the language as a regular expression."""
    return "|".join("".join(map(_pattern, word)) for word in language)


def _pattern(atom: Atom) -> str:
    if atom.characters is None:
        characters = "."
    elif len(atom.characters) == 1:
        characters = re.escape(*atom.characters)
    else:
        characters = f"[{''.join(sorted(atom.characters))}]"
    return characters + "+" * atom.repeats


def is_ambiguous(pieces: Sequence[Language]) -> bool:
    """Return whether a text exists that can be cut into these pieces in two ways.

    Two readers go through all texts at once, each from atom to atom as its reading says. The format
    is ambiguous if both can come to the end by different ways.
    """
    following = _following(pieces)
    waiting: list[tuple[Place | None, Place | None, bool]] = [(None, None, False)]
    seen = set(waiting)
    while waiting:
        one, other, differ = waiting.pop()
        for next_one in following[one]:
            for next_other in following[other]:
                if (next_one is END or next_other is END) and next_one != next_other:
                    continue
                if next_one is END:
                    if differ:
                        return True
                    continue
                if not _meet(pieces, next_one, next_other):
                    continue
                found = (next_one, next_other, differ or next_one != next_other)
                if found not in seen:
                    seen.add(found)
                    waiting.append(found)
    return False


class Place(NamedTuple):
    """Where a reader is: in which piece, in which of its forms, at which atom."""

    piece: int
    word: int
    atom: int


END = Place(-1, -1, -1)


def _following(pieces: Sequence[Language]) -> dict[Place | None, list[Place]]:
    """Return, for each place, those that the next character can be at; None is the beginning."""
    starts = [
        [Place(piece, word, 0) for word in range(len(language))]
        for piece, language in enumerate(pieces)
    ]
    starts.append([END])
    following: dict[Place | None, list[Place]] = {None: starts[0]}
    for piece, language in enumerate(pieces):
        for word, atoms in enumerate(language):
            for at, atom in enumerate(atoms):
                place = Place(piece, word, at)
                last = at == len(atoms) - 1
                after = starts[piece + 1] if last else [Place(piece, word, at + 1)]
                following[place] = [*after, place] if atom.repeats else list(after)
    return following


def _meet(pieces: Sequence[Language], one: Place, other: Place) -> bool:
    """Can the same character be at both places?"""
    first, second = (
        pieces[place.piece][place.word][place.atom].characters for place in (one, other)
    )
    return first is None or second is None or not first.isdisjoint(second)


def fullmatch(pieces: Iterable[Language], text: str) -> list[str] | None:
    """Cut a text into the pieces; None if it has other ones."""
    groups = "".join(f"({pattern(language)})" for language in pieces)
    match = re.fullmatch(groups, text, re.DOTALL)
    return None if match is None else list(match.groups())
