"""A database under test: its server, its tables, and rounds of writers who fill them."""

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
"""What docs/backends/sqlite.rst recommends."""


class Serving(Protocol):
    """A server, or a cluster of them."""

    @property
    def url(self) -> str:
        """Where to make the tables, and to read them in the end."""

    def start(self) -> object:
        """Start, and wait until it answers."""

    def close(self) -> None:
        """End, and leave nothing."""


@dataclass
class Tally:
    """All rounds of one fault at one site."""

    fault: str
    site: str
    rounds: int = 0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    retries: int = 0
    too_early: int = 0
    """Transactions that were acknowledged before they were safe."""
    errors: Counter[str] = field(default_factory=Counter)
    """Those that surfaced in a writer."""
    done: Counter[str] = field(default_factory=Counter)
    """What was done to them, such as "writers killed"."""

    def add(self, other: Verdict) -> None:
        """Add a round's verdict."""
        for name, value in vars(other).items():
            setattr(self.verdict, name, getattr(self.verdict, name) + value)


class Arena:
    """A database and its server; a context manager that starts and removes it.

    By default a server of its own that keeps what it has committed; for SQLite a file in
    ``disk``, by default in a temporary folder. ``options`` are for Django, on all ways there.
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
        """The server, where it is a single one; SQLite has none."""
        assert isinstance(self.serving, Server)
        return self.serving

    @property
    def url(self) -> str:
        """Where the database is."""
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
        """The database as writers see it: by another ``url``, with more of Django's OPTIONS."""
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
        """Let writers write while ``act`` does its worst, then check; all of it added up.

        The writers go to ``places`` in turn, by default to the arena's own; with ``failover``
        each goes on to the next one when it has an error there.
        ``surfacing`` says which errors may surface in a writer: none, those that
        ``run_atomic`` runs a block again after, or any.
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
        if not self.failed:  # else the histories are worth reading
            shutil.rmtree(self.folder)


def surfaced(histories: Iterable[Path]) -> Iterator[list[Any]]:
    """Each error that surfaced: in the body or at COMMIT, type, code, whether retryable, text."""
    for history in histories:
        for _, _, event, *details in events(history):
            if event == "error":
                yield details


def retries(history: Path) -> int:
    """How many attempts at a transaction came after its first one."""
    return sum(
        event == "begin" and not transaction.endswith(".0")
        for _, transaction, event, *_ in events(history)
    )
