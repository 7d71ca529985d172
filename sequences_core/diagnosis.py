"""What a database can tell of the counters now: the second part of a backend's contract.

None of it takes numbers, so each method has a default, and a backend may leave them all out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Diagnosable", "Holder"]


@dataclass(frozen=True)
class Holder:
    """An open transaction that holds the lock of a counter."""

    counter: str | None
    """The sequence's name. None if the database doesn't tell, as of a counter that is created."""

    session: int
    """The session's number on the server, such as PostgreSQL's pid; on SQLite the process's."""

    waiting: tuple[int, ...] = ()
    """The sessions that wait for this counter, sorted."""

    activity: str = ""
    """What else the database tells of the holder, for people to read."""

    remedy: str = ""
    """What to type to end the holder's session."""


class Diagnosable:
    """The methods of an allocator that look at a database, and change nothing."""

    def holders(self, connection: BaseDatabaseWrapper, name: str | None = None) -> Sequence[Holder]:
        """Return which other sessions' transactions hold counters now, in the order of the names.

        ``name`` asks for one counter, and those that the database can't name. What a database
        doesn't tell is left out. Raises the database's error if its user may not look.
        """
        return ()
