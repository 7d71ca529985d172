"""The questions: each module measures the answer to one, a cell per test.

A test has a ``cell``, a dataclass that describes what is measured, and a ``turn``. A cell's result
combines its turns.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

TURNS = ("cell", "turn")


def turns(cells: Iterable[Any], passes: int) -> list[tuple[Any, int]]:
    """Return the first turn of all cells, then the second turn of all cells, and so on.

    Cells that differ only in the contestant follow one another, each time in another order: the
    server may still be busy with work that the previous cell caused.
    """
    alike = groupby(cells, lambda cell: asdict(cell) | {"contestant": ""})
    groups = [list(group) for _, group in alike]
    return [
        (cell, turn)
        for turn in range(passes)
        for group in groups
        for cell in random.Random(turn).sample(group, len(group))
    ]
