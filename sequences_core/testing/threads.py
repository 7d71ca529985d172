"""Threads of a test. If some don't end in time, the test fails and shows where they hang."""

from __future__ import annotations

import itertools
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
"""The seconds after which an event that hasn't happened is a failure."""

BLINK = 0.3
"""The seconds after which a thread that hasn't ended is considered to be waiting."""

GRACE = 3
"""The seconds to wait for a thread after its statement was cancelled or its session closed."""


class Hang(AssertionError):
    """Threads did not end in time. The message contains their stacks."""


class Elsewhere(threading.Thread):
    """A thread that stores the result or error of its function and closes its connection.

    ``patience`` is the number of seconds that :meth:`result` waits. ``canceller`` takes the
    thread's connection and returns a function that cancels the connection's current statement.
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
        """Show the state, result or error in the messages of assertions."""
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
            with suppress(Error):  # the session may have been closed already
                connections[self._using].close()

    def is_waiting(self, seconds: float = BLINK) -> bool:
        """Return whether the thread still runs after so many seconds; raise its error if any."""
        self.join(seconds)
        if self.error is not None:
            raise self.error
        return self.is_alive()

    def result(self) -> Any:
        """Wait for the thread; return the function's result or raise its error."""
        return results([self], self._patience)[0]

    def reach(self, event: threading.Event) -> None:
        """Wait until the thread has set the event; raise its error if it fails before."""
        deadline = time.monotonic() + self._patience
        while not event.wait(0.01):
            if not self.is_alive():
                self.result()
                raise AssertionError(f"{self!r} ended without setting the event")
            if time.monotonic() > deadline:
                end([self], 0)

    def cut(self) -> None:
        """Cancel the thread's current statement; if it goes on, close its session."""

        def attempt(end: Callable[[], None]) -> None:
            with suppress(Exception):  # each driver has its own errors
                end()

        for end in self._ends:
            # Use another thread, because the driver may block, too.
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
    """Wait until all threads have ended; cancel those that don't, and raise Hang.

    ``patience`` is the number of seconds to wait, for all threads together.
    """
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hanging = [thread for thread in threads if thread.is_alive()]
    if not hanging:
        return
    stacks = "\n".join(map(where, hanging))  # before cancelling one lets the others go on
    for thread in hanging:
        thread.hung = True
    for thread in hanging:
        thread.cut()
    raise Hang(f"{len(hanging)} of {len(threads)} threads hung for {patience} s:\n\n{stacks}")


def results(threads: Sequence[Elsewhere], patience: float = PATIENCE) -> list[Any]:
    """Wait for all threads, then return all results, or raise the errors.

    A single error is raised unchanged, several are raised as an exception group.
    """
    errors: list[BaseException] = []
    try:
        end(threads, patience)
    except Hang as hang:
        errors.append(hang)
    # Leave out errors that result from cancelling a thread.
    errors += [thread.error for thread in threads if thread.error and not thread.hung]
    # Leave out broken barriers, which result from an error in another thread.
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
    """Start all functions at the same time, each in a thread; return their results in order."""
    barrier = threading.Barrier(len(functions))

    def start_together(function: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            barrier.wait(patience)
            return function()

        return run

    def connect(connection: BaseDatabaseWrapper) -> Callable[[], None]:
        try:
            return canceller(connection)
        except BaseException:
            barrier.abort()  # the others would wait for this thread
            raise

    others = [
        Elsewhere(start_together(function), using, patience=patience, canceller=connect)
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
    """If the block takes more than ``limit`` seconds, cancel its statement and raise Hang.

    If it goes on, close its session: it may wait for a thread that waits for its locks.
    """
    done, cancel = threading.Event(), canceller(connection)
    stacks: list[str] = []
    watched = threading.current_thread()

    def watch() -> None:
        if done.wait(limit):
            return
        stacks.append(where(watched))
        # Hypothesis runs a failed test again, so this one may hang more than once.
        ends: list[Callable[[], None]] = [cancel, partial(close, connection)]
        for end in itertools.cycle(ends):
            with suppress(Exception):  # each driver has its own errors
                end()
            if done.wait(GRACE):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if stacks:
            raise Hang(f"the test was cancelled after {limit} s:\n\n{stacks[0]}")
