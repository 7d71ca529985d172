"""The texts that the pieces of a format can have, and whether a format is ambiguous."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Atom(NamedTuple):
    """One character of a set; or one or more of them, if it ``repeats``."""

    characters: frozenset[str] | None
    """None stands for any character."""

    repeats: bool = False


Word = tuple[Atom, ...]
Language = tuple[Word, ...]
"""The alternative forms of a piece. Each of its texts matches exactly one of them."""

DIGIT = Atom(frozenset("0123456789"))
DIGITS = DIGIT._replace(repeats=True)
FIRST = Atom(frozenset("123456789"))
MINUS = Atom(frozenset("-"))
TEXT: Language = ((Atom(None, repeats=True),),)


def literal(text: str) -> Language:
    return (tuple(Atom(frozenset(character)) for character in text),)


def natural(width: int) -> Language:
    """Return the language of non-negative integers, padded with zeros to ``width`` digits."""
    places = (DIGIT,) * (width - 1)
    return ((*places, DIGIT), (FIRST, *places, DIGITS))


def whole() -> Language:
    """Return the language of all integers."""
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
    """Return whether a text exists that can be split into these pieces in two ways.

    This explores the product of the automaton of the pieces with itself. The format is ambiguous if
    both copies can reach the end with the same text but by different paths.
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
    """A state of the automaton: the piece, the form of this piece, and the atom of this form."""

    piece: int
    word: int
    atom: int


END = Place(-1, -1, -1)


def _following(pieces: Sequence[Language]) -> dict[Place | None, list[Place]]:
    """Return the possible next places of each place; None stands for the beginning."""
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
    """Return whether the same character can match at both places."""
    first, second = (
        pieces[place.piece][place.word][place.atom].characters for place in (one, other)
    )
    return first is None or second is None or not first.isdisjoint(second)


def fullmatch(pieces: Iterable[Language], text: str) -> list[str] | None:
    """Split a text into the pieces; return None if it doesn't match."""
    groups = "".join(f"({pattern(language)})" for language in pieces)
    match = re.fullmatch(groups, text, re.DOTALL)
    return None if match is None else list(match.groups())
