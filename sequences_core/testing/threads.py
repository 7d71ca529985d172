"""Threads beside a test: they end in time, or the test says where each of them hangs."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .vendors import canceller

Canceller = Callable[[BaseDatabaseWrapper], Callable[[], None]]

PATIENCE = 60
"""Seconds after which something that should have happened never will."""

BLINK = 0.3
"""Seconds in which something that is not blocked has long been done."""

GRACE = 3
"""Seconds in which a thread ends whose statement was cancelled, or whose session was closed."""


class Hang(AssertionError):
    """Threads did not end in time; the message says where each of them was."""


class Elsewhere(threading.Thread):
    """A thread that keeps what its function returned or raised, and closes its connection.

    ``patience`` is for how many seconds :meth:`result` waits. ``canceller`` returns, for the
    thread's connection, what makes a statement fail that never ends.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        using: str,
        *,
        patience: float = PATIENCE,
        canceller: Canceller = canceller,
    ) -> None:
        super().__init__(daemon=True)
        self.value: Any = None
        self.error: BaseException | None = None
        self.hung = False
        self._function = function
        self._using = using
        self._patience = patience
        self._canceller = canceller
        self._ends: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        """For the messages of assertions, say how far it is."""
        if self.ident is None or self.is_alive():
            return f"<{self.name}: running>"
        return (
            f"<{self.name}: {'raised' if self.error else 'returned'} {self.error or self.value!r}>"
        )

    def run(self) -> None:
        try:
            connection = connections[self._using]
            self._ends = [self._canceller(connection), partial(close, connection)]
            self.value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self.error = error
        finally:
            with suppress(Error):  # of a session that was cut off
                connections[self._using].close()

    def is_waiting(self, seconds: float = BLINK) -> bool:
        """Is it still not done after so many seconds? Raise what it raised, if it did."""
        self.join(seconds)
        if self.error is not None:
            raise self.error
        return self.is_alive()

    def result(self) -> Any:
        """Wait for the end; return what the function returned, or raise what it raised."""
        return results([self], self._patience)[0]

    def reach(self, event: threading.Event) -> None:
        """Wait until the thread has set the event; raise what it raised instead."""
        deadline = time.monotonic() + self._patience
        while not event.wait(0.01):
            if not self.is_alive():
                self.result()
                raise AssertionError(f"{self!r}, without having come so far")
            if time.monotonic() > deadline:
                end([self], 0)

    def cut(self) -> None:
        """End what the thread waits for: its statement, and if that doesn't help, its session."""

        def attempt(end: Callable[[], None]) -> None:
            with suppress(Exception):  # of whichever driver this is
                end()

        for end in self._ends:
            # Beside this thread, for a driver may keep it waiting, too.
            threading.Thread(target=attempt, args=[end], daemon=True).start()
            self.join(GRACE)
            if not self.is_alive():
                return


def close(connection: BaseDatabaseWrapper) -> None:
    """Close another thread's session, so that no later test waits for its locks."""
    if connection.connection is not None:
        connection.connection.close()


def where(thread: threading.Thread) -> str:
    """Return the thread's stack, the innermost call last."""
    frame = sys._current_frames().get(thread.ident or 0)
    stack = traceback.extract_stack(frame) if frame else []
    calls = [call for call in stack if call.filename not in (__file__, threading.__file__)]
    return f"{thread.name} is in\n{''.join(traceback.format_list(calls or stack))}"


def end(threads: Sequence[Elsewhere], patience: float = PATIENCE) -> None:
    """Wait until all threads have ended; raise Hang for those that must be cut off.

    ``patience`` is for how many seconds, for all of them together.
    """
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hanging = [thread for thread in threads if thread.is_alive()]
    if not hanging:
        return
    stacks = "\n".join(map(where, hanging))  # of all, before the first of them goes on
    for thread in hanging:
        thread.hung = True
    for thread in hanging:
        thread.cut()
    raise Hang(f"{len(hanging)} of {len(threads)} threads hung for {patience} s:\n\n{stacks}")


def results(threads: Sequence[Elsewhere], patience: float = PATIENCE) -> list[Any]:
    """Wait for all threads, then return what each of them returned, or raise all their errors.

    A single error is raised as it is, several as an exception group.
    """
    errors: list[BaseException] = []
    try:
        end(threads, patience)
    except Hang as hang:
        errors.append(hang)
    # What cutting off a thread made it raise is no news.
    errors += [thread.error for thread in threads if thread.error and not thread.hung]
    # Nor is a barrier, which the first of them broke for the others.
    errors = [
        error for error in errors if not isinstance(error, threading.BrokenBarrierError)
    ] or errors
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(threads)} threads failed", errors)
    return [thread.value for thread in threads]


def together(
    functions: Sequence[Callable[[], Any]],
    using: str,
    *,
    patience: float = PATIENCE,
    canceller: Canceller = canceller,
) -> list[Any]:
    """Start all functions at one moment, each in a thread; return their results in order."""
    barrier = threading.Barrier(len(functions))

    def start_together(function: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            barrier.wait(patience)
            return function()

        return run

    others = [
        Elsewhere(start_together(function), using, patience=patience, canceller=canceller)
        for function in functions
    ]
    for other in others:
        other.start()
    return results(others, patience)


@contextmanager
def watched(
    connection: BaseDatabaseWrapper,
    limit: float,
    canceller: Canceller = canceller,
) -> Iterator[None]:
    """Cancel the statement in which this thread is after ``limit`` seconds, and raise Hang."""
    done, cancel = threading.Event(), canceller(connection)
    stacks: list[str] = []
    watched = threading.current_thread()

    def watch() -> None:
        if not done.wait(limit):
            stacks.append(where(watched))
            with suppress(Exception):  # of whichever driver this is
                cancel()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if stacks:
            raise Hang(f"the test was cut off after {limit} s:\n\n{stacks[0]}")
