"""PostgreSQL with a standby that replaces a lost primary."""

from __future__ import annotations

from typing import Self

from tests.servers.errors import ServerError, wait_until
from tests.servers.ports import HOST
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import Proxy


class Standby(PostgreSQL):
    """A standby that replicates a primary, through `port`, until it is promoted.

    Servers of one release start from copies of one data directory, and so have the same system id.
    """

    title = "PostgreSQL, standby"

    def __init__(self, upstream: int) -> None:
        link = f"host={HOST} port={upstream} user=postgres"
        super().__init__(durable=True, settings={"primary_conninfo": link})

    def prepare(self) -> None:
        """Prepare the server, and make a new one a standby."""
        new = not self.data.exists()
        super().prepare()
        if new:
            (self.data / "standby.signal").touch()

    def promote(self) -> None:
        """Promote it to primary, and wait until it is one."""
        if self.query("SELECT pg_promote()") != [(True,)]:
            raise ServerError("The standby was not promoted.")


class Pair:
    """A primary and its standby, with a proxy between them."""

    def __init__(self, *, synchronous: bool) -> None:
        self.synchronous = synchronous
        names = {"synchronous_standby_names": "*"} if synchronous else {}
        self.leader = self.primary = PostgreSQL(durable=True, settings=names)
        self.link = Proxy(self.primary.port)
        self.standby = Standby(self.link.port)

    @property
    def url(self) -> str:
        """The URL of the server that accepts writes."""
        return self.leader.url

    def start(self) -> Self:
        """Start both, and wait until the standby is connected."""
        self.primary.start()
        self.standby.start()
        wait_until(self.follows, "The standby did not connect")
        return self

    def follows(self) -> bool:
        """Return whether the standby receives what the primary writes."""
        sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        return self.primary.query(sql) != [(0,)]

    def fail_over(self) -> None:
        """Kill the primary with SIGKILL, and promote the standby."""
        self.primary.kill()
        self.standby.promote()
        self.leader = self.standby

    def close(self) -> None:
        """Close and remove both."""
        self.standby.close()
        self.link.close()
        self.primary.close()
