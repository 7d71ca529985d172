"""Contention: how many rows per second do several writers number, and at what wait?

Each cell is a number of writers, processes all, on one counter or on one each, at some latency of
the network, with or without rollbacks. Its turns are spread over the run, and after each the
numbers must be exact before its speed counts.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import django

from benchmarks.events import emit
from benchmarks.questions.writers import Outcome, Task, Writers
from benchmarks.scale import Scale, current
from tests.servers.proxy import Proxy


@dataclass(frozen=True)
class Cell:
    contestant: str
    writers: int
    counters: str
    """one: all writers want numbers of the same; own: each of its own."""
    latency: int
    """Round trip of the network in milliseconds; 0 is loopback as it is."""
    rollbacks: bool
    """Does one transaction in ten roll back after taking its number?"""

    def __str__(self) -> str:
        rollbacks = ", 10 % rollbacks" if self.rollbacks else ""
        return (
            f"{self.contestant}, {self.writers} writers, {self.counters} counter, "
            f"{self.latency} ms{rollbacks}"
        )

    def is_compared(self, scale: Scale) -> bool:
        """Is it what the charts and ratios show first?"""
        busiest = (self.writers, self.counters, self.rollbacks) == (scale.busiest, "one", False)
        return busiest and self.latency <= 1

    def scope(self, writer: int) -> str:
        return "one" if self.counters == "one" else f"w{writer}"


C = TypeVar("C", bound=Cell)

PATIENT = ("SequenceField", "get_next_value", "django-sequences")
"""Whose fairness on SQLite is measured for as long as it takes."""


PGBENCH = re.compile(r"actually processed: (\d+).*^tps = ([\d.]+)", re.DOTALL | re.MULTILINE)
"""What pgbench says of its run: how many transactions, and how many per second."""


@dataclass
class Tally:
    """The turns of one cell."""

    rates: list[float] = field(default_factory=list)
    """Committed rows per second."""
    writers: Counter[int] = field(default_factory=Counter)
    """Rows committed by each writer, over all turns."""
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    committed: int = 0
    rolled_back: int = 0
    faults: list[str] = field(default_factory=list)
    """What was wrong with the numbers."""

    def result(self, *, gapless: bool) -> dict[str, Any]:
        exact = not self.faults if gapless else None
        result: dict[str, Any] = {
            "committed": self.committed,
            "rolled_back": self.rolled_back,
            "errors": dict(self.errors),
            "exact": exact,
            "fault": self.faults[0] if self.faults else None,
        }
        if exact is False or not self.committed:
            return result
        result["rate"] = round(statistics.median(self.rates), 1)
        result["turns"] = [round(rate, 1) for rate in self.rates]
        result["fairness"] = self.fairness()
        result["seconds"] = round(self.seconds, 1)
        if len(self.waits) > 1:
            quantiles = statistics.quantiles(self.waits, n=100)
            for percent in (50, 95, 99):
                result[f"p{percent}"] = round(quantiles[percent - 1] * 1e3, 3)
        return result

    def fairness(self) -> float | None:
        """What the slowest writer committed, as a part of what the fastest did."""
        counts = self.writers.values()
        return round(min(counts) / max(counts), 3) if len(counts) > 1 else None


def cells(scale: Scale, *, network: bool) -> Iterator[tuple[int, str, int, bool]]:
    """Writers, counters, latency, rollbacks."""
    for writers in scale.writers:
        yield writers, "one", 0, False
    for writers in scale.writers:
        if writers > 1:  # one writer alone has one counter, whichever way it is put
            yield writers, "own", 0, False
    if network:
        for counters in ("one", "own"):
            for latency in scale.latencies:
                yield scale.busiest, counters, latency, False
    yield scale.busiest, "one", 0, True


def main() -> None:
    """Measure all cells, turn by turn."""
    django.setup()
    from django.db import connection

    from benchmarks.contestants import contestants

    scale = current()
    network = connection.vendor != "sqlite"
    parties = [one for one in contestants() if one.stores_rows or one.name.startswith("pgbench")]
    wanted = [
        Cell(party.name, *cell) for cell in cells(scale, network=network) for party in parties
    ]
    with ExitStack() as stack:
        ports: dict[int, int | None] = {0: None}
        if network:
            host = connection.settings_dict["HOST"] or "127.0.0.1"
            port = int(connection.settings_dict["PORT"])
            for latency in scale.latencies:
                proxy = Proxy(port, host=host, latency=latency / 2)
                ports[latency] = stack.enter_context(proxy).port
        measure(wanted, scale, lambda cell: ports[cell.latency])


def measure(
    wanted: Sequence[C], scale: Scale, prepare: Callable[[C], int | None] = lambda cell: None
) -> None:
    """Measure these cells in alternating turns, and tell what came of them.

    ``prepare`` is called before each turn of a cell; it returns the port to connect to, or None
    for the server's own.
    """
    from benchmarks.contestants import by_name

    tallies: dict[C, Tally] = defaultdict(Tally)
    failed: set[C] = set()
    turns = [
        cell
        for number in range(scale.contention_passes)
        for cell in wanted
        if number < scale.other_passes or cell.is_compared(scale)
    ]
    emit("cells", count=len(turns))
    size = max(cell.writers for cell in wanted)
    with ExitStack() as stack:
        writers = stack.enter_context(Writers(size))
        for cell in turns:
            emit("cell", name=str(cell))
            try:
                turn(cell, tallies[cell], writers, prepare(cell), scale)
            except Exception as error:  # noqa: BLE001 # whatever it is, the table says so
                text = f"{type(error).__name__}: {error}".splitlines()[0]
                emit("failed", cell=asdict(cell), error=text)
                failed.add(cell)
                # Others may still be at it, or wait for the start, or have answered already.
                writers.close()
                writers = stack.enter_context(Writers(size))
            emit("done")
    for cell in wanted:
        if cell not in failed:
            result = tallies[cell].result(gapless=by_name(cell.contestant).gapless)
            emit("result", **asdict(cell), **result)


def turn(cell: Cell, tally: Tally, writers: Writers, port: int | None, scale: Scale) -> None:
    """Measure once, check the numbers, and add it all to the tally."""
    from benchmarks.contestants import by_name
    from benchmarks.contestants.limits import PgBench

    contestant = by_name(cell.contestant)
    contestant.clear()
    time_of_turn = scale.contention_seconds
    if cell.is_compared(scale):
        sqlite = contestant.vendor == "sqlite" and cell.contestant in PATIENT
        time_of_turn = scale.sqlite_seconds if sqlite else scale.headline_seconds
    if isinstance(contestant, PgBench):
        seconds, outcomes = pgbench(contestant, cell, port, time_of_turn)
    else:
        tasks = [
            Task(cell.contestant, cell.scope(n), time_of_turn, cell.rollbacks, port)
            for n in range(cell.writers)
        ]
        seconds, outcomes = writers.run(tasks)
    committed = sum(outcome.committed for outcome in outcomes)
    tally.committed += committed
    tally.seconds += seconds
    tally.rolled_back += sum(outcome.rolled_back for outcome in outcomes)
    tally.rates.append(committed / seconds)
    for writer, outcome in enumerate(outcomes):
        tally.writers[writer] += outcome.committed
        tally.waits += outcome.waits
        tally.errors += outcome.errors
    if contestant.gapless and (fault := fault_in(contestant, outcomes)):
        tally.faults.append(fault)


def fault_in(contestant: Any, outcomes: list[Outcome]) -> str | None:
    """What is wrong: the numbers of a scope must be 1..n once each, n the rows it committed."""
    committed: Counter[str] = Counter()
    for outcome in outcomes:
        committed[outcome.scope] += outcome.committed
    numbers: dict[str, list[int]] = defaultdict(list)
    for scope, number in contestant.numbers():
        numbers[scope].append(number)
    for scope, count in committed.items():
        found = numbers[scope]
        if duplicates := len(found) - len(set(found)):
            return f"{duplicates} of {len(found)} numbers given twice"
        if sorted(found) != list(range(1, len(found) + 1)):
            return f"numbers up to {max(found)} for {len(found)} rows"
        if len(found) != count:
            return f"{len(found)} rows for {count} commits"
        last = contestant.last(scope) if count else None
        if last not in (None, count):
            return f"the counter is at {last} after {count} rows"
    return None


def pgbench(contestant: Any, cell: Cell, port: int | None, seconds: float) -> tuple[float, Any]:
    """The same statement by pgbench; how many it committed is what the table holds."""
    settings = contestant.connection.settings_dict
    script = contestant.script(own=cell.counters == "own")
    if cell.rollbacks:
        if "COMMIT" not in script:
            script = f"BEGIN;\n{script}COMMIT;\n"
        rolled_back = script.replace("COMMIT", "ROLLBACK")
        weights = {script: 9, rolled_back: 1}
    else:
        weights = {script: 1}
    # It counts in whole seconds.
    command = [contestant.program, "-n", "-M", "prepared", "-T", str(max(1, round(seconds)))]
    command += ["-c", str(cell.writers), "-j", str(min(2, cell.writers))]
    command += ["-h", settings["HOST"] if port is None else "127.0.0.1"]
    command += ["-p", str(settings["PORT"] if port is None else port), "-U", settings["USER"]]
    with ExitStack() as stack:
        for text, weight in weights.items():
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".sql"))
            file.write(text)
            file.flush()
            command += ["-f", f"{file.name}@{weight}"]
        done = subprocess.run(
            [*command, settings["NAME"]],
            env={"PGPASSWORD": settings["PASSWORD"] or ""},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    # Without the time to connect, which the other writers' clocks leave out, too.
    said = PGBENCH.search(done.stdout)
    if said is None:
        raise RuntimeError("pgbench doesn't say how many transactions it ran per second")
    taken = float(said[1]) / float(said[2])
    counts = Counter(scope for scope, _ in contestant.numbers())
    return taken, [Outcome(scope, committed=count) for scope, count in counts.items()]


if __name__ == "__main__":
    main()
