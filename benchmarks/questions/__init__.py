"""What the suite asks: each module is a question, and its tests are the cells of the answer.

A test has a ``cell``, a dataclass that says what is measured, and a ``turn``. The turns of a cell
are taken together.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

TURNS = ("cell", "turn")


def turns(cells: Iterable[Any], passes: int) -> list[tuple[Any, int]]:
    """Give all cells their first turn, then all their second one, and so on.

    Cells that differ by their contestant alone are measured side by side, each time in another
    order: a server may still be busy with what the cell before has left behind.
    """
    alike = groupby(cells, lambda cell: asdict(cell) | {"contestant": ""})
    groups = [list(group) for _, group in alike]
    return [
        (cell, turn)
        for turn in range(passes)
        for group in groups
        for cell in random.Random(turn).sample(group, len(group))
    ]
