"""A Galera cluster of MariaDB on loopback: all nodes accept writes, and certify them at COMMIT."""

from __future__ import annotations

from typing import Self

from tests.servers.errors import ServerError
from tests.servers.install import install
from tests.servers.mysqld import MariaDB
from tests.servers.ports import HOST, free_port


class GaleraNode(MariaDB):
    """One node; it founds the cluster if `bootstrap` is true, otherwise it joins it."""

    title = "MariaDB with Galera"

    def __init__(self) -> None:
        super().__init__(durable=True)
        self.group_port = free_port()
        self.transfer_port = free_port()
        self.members: list[GaleraNode] = [self]
        self.bootstrap = False
        self.position = ""

    def install(self) -> None:
        """Install the programs, and the replication library."""
        if self.release:
            # Debian's server package has the scripts with which a node joins, its core package not.
            raise ServerError("A Galera cluster needs the machine's own release of MariaDB.")
        super().install()
        install("galera")

    def options(self) -> dict[str, str | int]:
        """Return the settings, with a port for each of Galera's services: the defaults collide."""
        group = ",".join(f"{HOST}:{member.group_port}" for member in self.members)
        provider = {
            "base_host": HOST,
            "base_port": self.group_port,
            "gmcast.listen_addr": f"tcp://{HOST}:{self.group_port}",
            "ist.recv_addr": f"{HOST}:{free_port()}",
            # A node that doesn't respond is expelled sooner than after the default of 5 s.
            "evs.keepalive_period": "PT0.5S",
            "evs.suspect_timeout": "PT2S",
            "evs.inactive_timeout": "PT4S",
        }
        return {
            **super().options(),
            # Without a binary log, 10.11 replicates changes that ROLLBACK TO SAVEPOINT undid if the
            # transaction began with a SELECT and did nothing else: the nodes become different.
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
        """Start; after kill(), from the last transaction on disk instead of a full copy."""
        if self.data.exists():
            self.position = self.recovered()
        return super().start()

    def recovered(self) -> str:
        """Return the cluster-wide number of the last transaction on this node's disk."""
        found = self.run([*self.command(), "--wsrep-recover"])
        for line in found.splitlines():
            if "Recovered position:" in line:
                return line.split()[-1]
        raise ServerError(f"The server printed no recovered position:\n{found[-2000:]}")

    def answers(self) -> bool:
        """Return whether it executes statements, which a joining or disconnected node refuses."""
        return super().answers() and self.query("SHOW STATUS LIKE 'wsrep_ready'")[0][1] == "ON"


class Galera:
    """A cluster of three nodes, which start one after another."""

    def __init__(self) -> None:
        self.nodes = [GaleraNode() for _ in range(3)]
        for node in self.nodes:
            node.members = self.nodes

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.nodes[0].url

    def start(self) -> Self:
        """Start the first node, which founds the cluster; then start the others."""
        self.nodes[0].bootstrap = True
        for node in self.nodes:
            node.start()
        # After a kill it joins the others.
        self.nodes[0].bootstrap = False
        return self

    def close(self) -> None:
        """Kill and remove all nodes."""
        for node in self.nodes:
            node.close()
