"""Overhead: what does the core add to the bare statement, layer by layer, and to the start?

Each layer is measured by itself; what one adds is its median less the one before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, transaction

from benchmarks.contestants.limits import statement_of
from benchmarks.scale import current
from benchmarks.steps import ROOT
from sequences_core import Allocation, get_allocator, get_next_value
from sequences_core.taking import take

SCALE = current()

CALLS = 100
"""In one transaction, less than a millisecond on SQLite."""

SETUP = """
import django.db
from django.conf import settings
settings.configure(INSTALLED_APPS={apps}, DATABASES={{"default": {{"ENGINE": "{engine}"}}}})
django.setup()
django.db.connection.ops
"""


@dataclass(frozen=True)
class Cell:
    layer: str
    turn: int

    def __str__(self) -> str:
        return f"{self.layer}, turn {self.turn}"


def bare(name: str) -> Callable[[], Any]:
    sql, params = statement_of(get_next_value, name)
    get_next_value(name)

    def call() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else cursor.lastrowid

    return call


def layers() -> dict[str, Callable[[str], Callable[[], Any]]]:
    """From the bare statement up to the public function: how to make each, for a counter."""
    allocator = get_allocator(connection)

    def backend(name: str) -> Callable[[], Any]:
        allocation = Allocation(name)
        return lambda: allocator.upsert(connection, allocation)

    def dispatch(name: str) -> Callable[[], Any]:
        allocation = Allocation(name)
        return lambda: allocator.allocate(connection, allocation)

    def registry(name: str) -> Callable[[], Any]:
        allocation = Allocation(name)
        return lambda: take(allocation)

    return {
        "bare statement": bare,
        "backend": backend,
        "dispatch": dispatch,
        "router, registry, errors": registry,
        "validation": lambda name: lambda: get_next_value(name),
    }


def cells() -> Iterator[Cell]:
    for turn in range(SCALE.overhead_passes):
        for layer in layers():
            yield Cell(layer, turn)


@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_layer(benchmark: Any, cell: Cell) -> None:
    name = f"{cell.layer} {cell.turn}"
    call = layers()[cell.layer](name)
    with transaction.atomic():
        benchmark.pedantic(call, rounds=CALLS, warmup_rounds=5)


def imports() -> Iterator[Cell]:
    for turn in range(SCALE.imports):
        yield Cell("start of Django", turn)
        yield Cell("start of Django with sequences_core", turn)


@pytest.mark.parametrize("cell", list(imports()), ids=str)
def test_start(benchmark: Any, cell: Cell) -> None:
    """A process that sets Django up, database backend included, and ends."""
    apps = ["sequences_core"] if cell.layer.endswith("sequences_core") else []
    engine = connection.settings_dict["ENGINE"]
    command = [sys.executable, "-c", SETUP.format(apps=apps, engine=engine)]

    def start() -> None:
        subprocess.run(command, check=True, cwd=ROOT)

    benchmark.pedantic(start, rounds=1, warmup_rounds=cell.turn == 0)
