"""What a database can tell of the counters now: the second part of a backend's contract.

None of it takes numbers, so each method has a default, and a backend may leave them all out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.checks import CheckMessage, Error

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Diagnosable", "Holder", "read_only", "server"]


@dataclass(frozen=True)
class Holder:
    """An open transaction that holds the lock of a counter."""

    counter: str | None
    """The sequence's name. None if the database doesn't tell, as of a counter that is created."""

    session: int
    """The session's number on the server, such as PostgreSQL's pid; on SQLite the process's."""

    waiting: tuple[int, ...] = ()
    """The sessions that wait for this counter, sorted."""

    seconds: float | None = None
    """For how long the transaction has been open, or at least idle; None if nobody tells."""

    activity: str = ""
    """What else the database tells of the holder, for people to read."""

    remedy: str = ""
    """What to type to end the holder's session."""


class Diagnosable:
    """The methods of an allocator that look at a database, and change nothing."""

    def check(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        """What ``manage.py check`` should say of this connection's settings."""
        return ()

    def check_early_release(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        """What ``manage.py check --database`` should say if early release is asked for."""
        return ()

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        """Return which other sessions' transactions hold counters now, in the order of the names.

        ``name`` asks for one counter, and those that the database can't name. What a database
        never tells is left out. Raises NotSupportedError, with the remedy, where it would tell
        another user or if it were configured otherwise; and the database's own errors.
        """
        return ()

    def describe(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return what ``sequences doctor`` shows of a database, sound or not: labels and values."""
        return {"server": server(connection)}

    def diagnose(self, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
        """Yield what is wrong with the table of counters and its database, as it is now.

        Called only if the table is there. Nothing of what ``manage.py check`` says, and nothing
        at all on a sound database. The hint of each message says what to type.
        """
        return ()

    def without_waiting(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Let statements in the block fail rather than wait for a lock, or write.

        As far as the database can; what it changes in the session is undone afterwards.
        """
        return nullcontext()


def server(connection: BaseDatabaseWrapper) -> str:
    """Return the name and the version of the database, such as "PostgreSQL 15.14"."""
    try:
        version = ".".join(map(str, connection.get_database_version()))
    except NotImplementedError:  # of an engine outside Django
        version = "of an unknown version"
    return f"{connection.display_name} {version}"


def read_only(connection: BaseDatabaseWrapper, reason: str) -> CheckMessage:
    """Return the message that a database refuses to write, such as a standby, and why."""
    alias = connection.alias
    return Error(
        f"Database {alias!r} is read-only: numbers can't be taken ({reason}).",
        hint=f"Let DATABASES[{alias!r}] name a server, and OPTIONS, that writes are allowed with; "
        f"or, if this is a replica, let the router's allow_migrate({alias!r}, …) be false.",
    )
