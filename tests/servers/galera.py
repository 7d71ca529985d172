"""A Galera cluster of MariaDB servers on loopback: each node writes, and certifies at COMMIT."""

from __future__ import annotations

from typing import Self

from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.mysqld import MariaDB
from tests.servers.ports import HOST, free_port


class GaleraNode(MariaDB):
    """One node. It starts the cluster when `bootstrap` is true, else it joins it."""

    title = "MariaDB with Galera"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__(durable=durable)
        self.group_port = free_port()
        self.transfer_port = free_port()
        self.members: list[GaleraNode] = [self]
        self.bootstrap = False
        self.position = ""

    def install(self) -> None:
        """Provide the programs, and the library that makes a cluster of them."""
        if self.release:
            # Debian's package of the server has the scripts that a node joins by, not its core.
            raise ServerError("A Galera cluster is of the machine's own release of MariaDB.")
        super().install()
        install("galera")

    def options(self) -> dict[str, str | int]:
        """A port for each thing that Galera listens for: its defaults are the machine's."""
        group = ",".join(f"{HOST}:{member.group_port}" for member in self.members)
        provider = {
            "base_host": HOST,
            "base_port": self.group_port,
            "gmcast.listen_addr": f"tcp://{HOST}:{self.group_port}",
            "ist.recv_addr": f"{HOST}:{free_port()}",
            # A node that fell silent is given up sooner than after the default of 5 s.
            "evs.keepalive_period": "PT0.5S",
            "evs.suspect_timeout": "PT2S",
            "evs.inactive_timeout": "PT4S",
        }
        return {
            **super().options(),
            # Without a binary log, 10.11 replicates what ROLLBACK TO SAVEPOINT has undone, if the
            # transaction began with a SELECT and did nothing else: the nodes come to differ.
            "log_bin": "binlog",
            "log_slave_updates": "ON",
            "log_bin_trust_function_creators": "ON",
            "binlog_format": "ROW",
            "innodb_autoinc_lock_mode": 2,
            "wsrep_on": "ON",
            "wsrep_provider": str(install("galera")),
            "wsrep_provider_options": ";".join(f"{key}={value}" for key, value in provider.items()),
            "wsrep_cluster_name": f"sequences-{self.members[0].group_port}",
            "wsrep_cluster_address": "gcomm://" if self.bootstrap else f"gcomm://{group}",
            "wsrep_node_address": HOST,
            "wsrep_node_name": f"node-{self.group_port}",
            **({"wsrep_start_position": self.position} if self.position else {}),
            "wsrep_sst_method": "rsync",
            "wsrep_sst_receive_address": f"{HOST}:{self.transfer_port}",
        }

    def start(self) -> Self:
        """Start; after kill() from the last transaction on disk, not from a copy of everything."""
        if self.data.exists():
            self.position = self.recovered()
        return super().start()

    def recovered(self) -> str:
        """The cluster's number of the last transaction that this node has on its disk."""
        found = self.run([*self.command(), "--wsrep-recover"])
        for line in found.splitlines():
            if "Recovered position:" in line:
                return line.split()[-1]
        raise ServerError(f"No position to join from:\n{found[-2000:]}")

    def answers(self) -> bool:
        """Whether it serves: a node that joins, or is cut off, refuses statements."""
        return super().answers() and self.query("SHOW STATUS LIKE 'wsrep_ready'")[0][1] == "ON"


class Galera:
    """A cluster whose nodes start one after another."""

    def __init__(self, size: int = 3, *, durable: bool = False) -> None:
        self.nodes = [GaleraNode(durable=durable) for _ in range(size)]
        for node in self.nodes:
            node.members = self.nodes

    @property
    def url(self) -> str:
        """The first node."""
        return self.nodes[0].url

    def start(self) -> Self:
        """Start the cluster by its first node; the others join it."""
        self.nodes[0].bootstrap = True
        for node in self.nodes:
            node.start()
        # Once it is killed, it joins the others.
        self.nodes[0].bootstrap = False
        return self

    def close(self) -> None:
        """End and remove all nodes."""
        for node in self.nodes:
            node.close()
