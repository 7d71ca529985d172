"""A group of writer processes, and a function that calls another one in a process of its own."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from tests.faults.acknowledged import Standstill
from tests.faults.writer import Job, write
from tests.servers.errors import wait_until

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 60
"""Seconds for a writer to end its transaction."""

OPEN = frozenset({"begin", "taken", "undone", "committing"})
"""The last events of a history while a transaction is open."""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.preload"])


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``function`` in a new process, which has its own settings of Django's databases."""
    with ProcessPoolExecutor(max_workers=1, mp_context=CONTEXT) as pool:
        return pool.submit(function, *args, **kwargs).result()


class Fleet:
    """``size`` writers, which run ``job`` with different seeds and histories.

    The context manager starts them; at its end they finish their transactions.
    """

    def __init__(self, jobs: Callable[[int], Job], size: int = 6) -> None:
        self._jobs = jobs
        self._numbers = itertools.count(1)
        self._size = size
        self.chance = random.Random(size)
        self.writers: dict[ForkServerProcess, Path] = {}
        self.histories: list[Path] = []
        self.failures: list[str] = []
        self.done: Counter[str] = Counter()
        self.standstills: list[Standstill] = []
        self._read: Counter[Path] = Counter()

    def launch(self) -> None:
        """Start one more writer."""
        job = self._jobs(next(self._numbers))
        self.histories.append(job.history)
        job.history.touch()
        writer = CONTEXT.Process(target=write, args=(job,), daemon=True)
        writer.start()
        self.writers[writer] = job.history

    def kill(self) -> None:
        """Kill a writer with SIGKILL in mid-transaction, and start another one."""
        writer = self._busy()
        writer.kill()
        history = self._remove(writer, {-signal.SIGKILL})
        self.done["writers killed"] += 1
        self.done["writers killed in mid-transaction"] += last_event(history) in OPEN
        self.launch()

    def freeze(self) -> int:
        """Suspend a writer in mid-transaction (SIGSTOP), and return its process id, for SIGCONT."""
        writer = self._busy()
        assert writer.pid
        os.kill(writer.pid, signal.SIGSTOP)
        return writer.pid

    def stop(self) -> None:
        """Let all writers finish their transactions."""
        for writer in self.writers:
            writer.terminate()
        self.join()

    def join(self) -> None:
        """Wait until all writers have ended."""
        for writer in list(self.writers):
            # A writer that was told to end before it could handle the signal has ended, too.
            self._remove(writer, {0, -signal.SIGTERM})

    def wait_for_commits(self, count: int) -> None:
        """Wait until so many more transactions have committed."""
        self._wait_for(count, b'"committed"]')

    def wait_for_a_retry(self) -> None:
        """Wait until a transaction is retried."""
        self._wait_for(1, b'.1", "begin"')

    def wait_for_errors(self, count: int = 1) -> None:
        """Wait until writers have got so many more errors."""
        self._wait_for(count, b'"error"')

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Record a period in which no commit can become safe."""
        begun = time.monotonic()
        yield
        self.standstills.append(Standstill(begun, time.monotonic()))

    def _wait_for(self, count: int, event: bytes) -> None:
        found = 0

        def enough() -> bool:
            nonlocal found
            for path in self.histories:
                with path.open("rb") as history:
                    history.seek(self._read[path])
                    new = history.read()
                self._read[path] += len(new)
                found += new.count(event)
            return found >= count

        wait_until(enough, "The writers didn't get on", TIMEOUT)

    def _busy(self) -> ForkServerProcess:
        """Return a writer that is inside a transaction, or was a moment ago."""

        def busy() -> list[ForkServerProcess]:
            return [one for one, history in self.writers.items() if last_event(history) in OPEN]

        return self.chance.choice(wait_until(busy, "No writer began a transaction", TIMEOUT))

    def _remove(self, writer: ForkServerProcess, expected: set[int]) -> Path:
        writer.join(TIMEOUT)
        if writer.exitcode not in expected:
            self.failures.append(f"a writer ended with {writer.exitcode}")
            writer.kill()
            writer.join()
        history = self.writers.pop(writer)
        writer.close()
        return history

    def __enter__(self) -> Self:
        for _ in range(self._size):
            self.launch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind:
            for writer in self.writers:
                writer.kill()
            self.writers.clear()
        else:
            self.stop()


def last_event(history: Path) -> str | None:
    """Return the last event of a history."""
    with history.open("rb") as file:
        file.seek(max(0, history.stat().st_size - 1000))
        lines = file.read().split(b"\n")
    # The last line may be incomplete.
    return str(json.loads(lines[-2])[2]) if len(lines) > 1 else None
