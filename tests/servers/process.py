"""A server's processes: started by mirakuru, paused and killed as one family."""

from __future__ import annotations

import contextlib
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import psutil
from mirakuru import Executor, SimpleExecutor

from tests.servers.reaper import runs

PATIENCE = 120.0
"""Seconds that a server may take to start, or to stop in order."""


class Process(Executor):
    """A server's main process and its children; it counts as started when `answers()` is true."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        answers: Callable[[], bool],
        log: IO[bytes],
        stop_signal: int,
        popen: dict[str, Any],
        environment: dict[str, str],
    ) -> None:
        super().__init__(
            [str(part) for part in command],
            cwd="/",
            timeout=PATIENCE,
            sleep=0.05,
            stdin=subprocess.DEVNULL,
            # mirakuru's default is a pipe that nobody reads: a server would hang when it is full.
            stdout=log,
            stderr=subprocess.STDOUT,
            stop_signal=stop_signal,
            expected_returncode=0,
            popen_kwargs=popen,
            envvars=environment,
        )
        self._answers = answers
        self._paused = False

    def launch(self) -> int:
        """Start the process, without waiting for the server, and return its id."""
        with warnings.catch_warnings():
            # mirakuru forks with a preexec_fn, which Python 3.12 dislikes beside threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            SimpleExecutor.start(self)
        return self.pid

    def wait_until_ready(self) -> None:
        """Wait until the server answers; raises mirakuru's ExecutorError."""
        self.wait_for(self.check_subprocess)

    def pre_start_check(self) -> bool:
        """The port was chosen because it is free."""
        return False

    def after_start_check(self) -> bool:
        """Whether the server answers."""
        return self._answers()

    @property
    def pid(self) -> int:
        """The id of the main process."""
        assert self.process
        return int(self.process.pid)

    def family(self) -> list[psutil.Process]:
        """The main process and its children, which for PostgreSQL are in sessions of their own."""
        try:
            main = psutil.Process(self.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def pause(self) -> None:
        """Freeze the family."""
        for process in self.family():
            _send(process, "suspend")
        self._paused = True

    def resume(self) -> None:
        """Undo pause()."""
        if self._paused:
            for process in reversed(self.family()):
                _send(process, "resume")
        self._paused = False

    def crash(self) -> None:
        """End the family by SIGKILL, and return when nothing of it runs."""
        # Frozen first, so that none of them sees another one die.
        self.pause()
        family = self.family()
        for process in family:
            _send(process, "kill")
        self.kill()
        while any(runs(process) for process in family):
            time.sleep(0.01)

    def disown(self) -> None:
        """Let go in a forked child: when the child ends, the server must not."""
        if self.process:
            self.process.returncode = 0
            self.process = None


def _send(process: psutil.Process, action: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        getattr(process, action)()
