"""The second, optional part of a backend's contract: what it reports about a database.

Each method has a default, so that a backend need not implement any.
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
    """An open transaction that has locked a counter."""

    counter: str | None
    """The sequence's name. None if the database can't name it, e.g. of a new counter."""

    session: int
    """The session's id on the server, such as PostgreSQL's pid; on SQLite, the process id."""

    waiting: tuple[int, ...] = ()
    """The ids of the sessions that wait for this counter, sorted."""

    seconds: float | None = None
    """The seconds since the transaction began or became idle; None if unknown."""

    activity: str = ""
    """Other facts about the holder, as text for people."""

    remedy: str = ""
    """The command or statement that ends the holder's session."""


class Diagnosable:
    """The methods of an allocator that examine a database without changing it."""

    def check(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        """Return messages about this connection's settings, for ``manage.py check``."""
        return ()

    def check_early_release(self, connection: BaseDatabaseWrapper) -> Sequence[CheckMessage]:
        """Return messages for ``manage.py check --database`` if early release is asked for."""
        return ()

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        """Return the transactions of other sessions that have locked counters, sorted by name.

        With ``name``, return only the holders of this counter and of counters that the database
        can't name. Leave out what the database never reports.

        :raises NotSupportedError: the database would report them to another user or in another
            configuration. The message has the remedy.
        :raises django.db.Error: a query failed.
        """
        return ()

    def describe(self, connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return facts about the database for ``sequences doctor``: labels and values."""
        return {"server": server(connection)}

    def diagnose(self, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
        """Yield a message for each current problem of the database and the table of counters.

        The core calls this only if the table exists. Don't repeat what ``manage.py check`` reports.
        The hint of each message names the command or statement that solves the problem.
        """
        return ()

    def without_waiting(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Let statements in the block fail instead of waiting for a lock or writing.

        Do this as far as the database can. Restore the session's settings after the block.
        """
        return nullcontext()


def server(connection: BaseDatabaseWrapper) -> str:
    """Return the name and the version of the database, such as "PostgreSQL 15.14"."""
    try:
        version = ".".join(map(str, connection.get_database_version()))
    except NotImplementedError:  # some engines outside Django don't implement it
        version = "of an unknown version"
    return f"{connection.display_name} {version}"


def read_only(connection: BaseDatabaseWrapper, reason: str) -> CheckMessage:
    """Return the message that a database, such as a standby, allows no writes, and why."""
    alias = connection.alias
    return Error(
        f"Database {alias!r} is read-only: numbers can't be taken ({reason}).",
        hint=f"Let DATABASES[{alias!r}] name a server and OPTIONS that allow writes. If this is a "
        f"replica, let the router's allow_migrate({alias!r}, …) return False.",
    )
