"""PostgreSQL with a standby that takes over when the primary is lost."""

from __future__ import annotations

import time
from typing import Self

from tests.servers.errors import ServerError
from tests.servers.ports import HOST
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import Proxy

PATIENCE = 60.0
"""Seconds for the standby to connect."""


class Standby(PostgreSQL):
    """A copy of a primary that follows it, by way of `port`, until it is promoted.

    Servers of one release begin as copies of one data directory, and are of one cluster by that.
    """

    title = "PostgreSQL, standby"

    def __init__(self, upstream: int, *, durable: bool = False) -> None:
        link = f"host={HOST} port={upstream} user=postgres"
        super().__init__(durable=durable, settings={"primary_conninfo": link})

    def prepare(self) -> None:
        """Make it a standby when it is new."""
        new = not self.data.exists()
        super().prepare()
        if new:
            (self.data / "standby.signal").touch()

    def promote(self) -> None:
        """Become a primary, and wait until it is one."""
        if self.query("SELECT pg_promote()") != [(True,)]:
            raise ServerError("The standby was not promoted.")


class Pair:
    """A primary and its standby, with a network between them."""

    def __init__(self, *, synchronous: bool, durable: bool = False) -> None:
        self.synchronous = synchronous
        names = {"synchronous_standby_names": "*"} if synchronous else {}
        self.leader = self.primary = PostgreSQL(durable=durable, settings=names)
        self.link = Proxy(self.primary.port)
        self.standby = Standby(self.link.port, durable=durable)

    @property
    def url(self) -> str:
        """The one that takes writes."""
        return self.leader.url

    def start(self) -> Self:
        """Start both, and wait until the standby follows."""
        self.primary.start()
        self.standby.start()
        deadline = time.monotonic() + PATIENCE
        while not self.follows():
            if time.monotonic() > deadline:
                raise ServerError("The standby never connected.")
            time.sleep(0.05)
        return self

    def follows(self) -> bool:
        """Whether the standby gets what the primary writes."""
        sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        return self.primary.query(sql) != [(0,)]

    def fail_over(self) -> None:
        """Lose the primary, by SIGKILL, and promote the standby."""
        self.primary.kill()
        self.standby.promote()
        self.leader = self.standby

    def close(self) -> None:
        """End and remove both."""
        self.standby.close()
        self.link.close()
        self.primary.close()
