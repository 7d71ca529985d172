"""A database under test: its server, its tables, and rounds in which writers fill them."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import dj_database_url

from sequences_core.testing.history import Verdict, check, events, transactions
from tests.faults import tables
from tests.faults.acknowledged import too_early
from tests.faults.fleet import Fleet, call
from tests.faults.tables import Place
from tests.faults.writer import Job
from tests.servers import Server
from tests.servers.launch import KINDS

Surfacing = Literal["nothing", "conflicts", "anything"]

SQLITE = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode = WAL",
}
"""The settings that docs/backends/sqlite.rst recommends."""


class Serving(Protocol):
    """A server, or a cluster of servers."""

    @property
    def url(self) -> str:
        """The URL to create the tables at, and to read them in the end."""

    def start(self) -> object:
        """Start, and wait until it accepts connections."""

    def close(self) -> None:
        """Stop, and remove all files."""


@dataclass
class Tally:
    """The combined rounds of one fault at one site."""

    fault: str
    site: str
    rounds: int = 0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    retries: int = 0
    too_early: int = 0
    """The number of transactions that were acknowledged before they were safe."""
    errors: Counter[str] = field(default_factory=Counter)
    """The errors that surfaced in writers."""
    done: Counter[str] = field(default_factory=Counter)
    """The faults that were injected, such as "writers killed"."""

    def add(self, other: Verdict) -> None:
        """Add the verdict of a round."""
        for name, value in vars(other).items():
            setattr(self.verdict, name, getattr(self.verdict, name) + value)


class Arena:
    """A database and its server; a context manager that starts and removes it.

    By default it has its own server with durable commits. SQLite has a file in ``disk``, by default
    in a temporary folder. ``options`` are Django's OPTIONS for all connections.
    """

    def __init__(
        self,
        name: str,
        server: Serving | None = None,
        disk: Path | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.options = options or {}
        self.serving = server or (KINDS[name](durable=True) if name in KINDS else None)
        self.folder = Path(tempfile.mkdtemp(prefix="sequences-faults-"))
        self.file = (disk or self.folder) / "db.sqlite3"
        self.chance = random.Random(name)
        self.failed = False

    @property
    def server(self) -> Server:
        """The server, if there is exactly one; SQLite has none."""
        assert isinstance(self.serving, Server)
        return self.serving

    @property
    def url(self) -> str:
        """The URL of the database."""
        return self.serving.url if self.serving else f"sqlite:///{self.file}"

    @property
    def kind(self) -> str:
        """The kind of its driver: "postgresql", "mysql" or "sqlite3"."""
        return str(self.place().database["ENGINE"].rpartition(".")[2])

    def place(
        self,
        url: str | None = None,
        backend: str = "auto",
        options: dict[str, Any] | None = None,
        *,
        early: bool = False,
    ) -> Place:
        """Return the database as writers see it: with another ``url``, or with more OPTIONS."""
        database: dict[str, Any] = dict(dj_database_url.parse(url or self.url))
        own = self.options if self.serving else SQLITE
        database["OPTIONS"] = {**database.get("OPTIONS", {}), **own, **(options or {})}
        return Place(database, backend, early)

    def round(
        self,
        tally: Tally,
        act: Callable[[Fleet], object],
        *places: Place,
        failover: bool = False,
        size: int = 6,
        surfacing: Surfacing = "anything",
        **job: Any,
    ) -> Verdict:
        """Run writers while ``act`` injects faults; check the outcome, and add it to the tally.

        The writers use ``places`` in turn, by default only the arena's own. With ``failover``, a
        writer switches to the next one after an error. ``surfacing`` says which errors a writer may
        get: none, those after which ``run_atomic`` retries, or any.
        """
        begun = time.monotonic()
        places = places or (self.place(),)
        call(tables.empty, self.place())
        seed = self.chance.randrange(10**6) * 1000

        def jobs(number: int) -> Job:
            path = self.folder / f"{seed + number}.history"
            start = number % len(places)
            turn = (*places[start:], *places[:start])
            turn = turn if failover else turn[:1]
            return Job(turn, path, seed=seed + number, **job)

        with Fleet(jobs, size) as fleet:
            fleet.wait_for_commits(size)
            act(fleet)
        rows, counters = call(tables.read, [*places, self.place()])
        verdict = check(transactions(fleet.histories), rows, counters, jobs(0).series)
        early = list(too_early(fleet.histories, fleet.standstills))
        for problem in (*fleet.failures, *early):
            verdict.object(problem)
        tally.too_early += len(early)
        for moment, kind, code, retryable, text in surfaced(fleet.histories):
            tally.errors[f"{kind} {code} ({moment})"] += 1
            if surfacing == "nothing" or (surfacing == "conflicts" and not retryable):
                verdict.object(f"{kind} {code} surfaced: {text}")
        tally.retries += sum(map(retries, fleet.histories))
        tally.rounds += 1
        tally.seconds += time.monotonic() - begun
        tally.done += fleet.done
        tally.add(verdict)
        if verdict.exact:
            for path in fleet.histories:
                path.unlink()
        self.failed |= not verdict.exact
        return verdict

    def __enter__(self) -> Self:
        try:
            if self.serving:
                self.serving.start()
            call(tables.make, self.place())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self.serving:
            self.serving.close()
        if not self.failed:  # the histories help to find the reason
            shutil.rmtree(self.folder)


def surfaced(histories: Iterable[Path]) -> Iterator[list[Any]]:
    """Yield each error that surfaced: body or COMMIT, type, code, whether retryable, text."""
    for history in histories:
        for _, _, event, *details in events(history):
            if event == "error":
                yield details


def retries(history: Path) -> int:
    """Return the number of attempts beyond the first one of each transaction."""
    return sum(
        event == "begin" and not transaction.endswith(".0")
        for _, transaction, event, *_ in events(history)
    )
