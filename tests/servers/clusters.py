"""Clusters on loopback: Galera, MySQL Group Replication, and PostgreSQL with a standby."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Self

from tests.servers.base import TIMEOUT, Server
from tests.servers.errors import ServerError, wait_until
from tests.servers.install import install
from tests.servers.mysqld import NAME, MariaDB, MySQL
from tests.servers.ports import HOST, free_port
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import Proxy


class Cluster:
    """Servers with the same data; the first one founds the cluster, and the others join it."""

    nodes: Sequence[Server]

    @property
    def url(self) -> str:
        """The URL of a server that accepts writes."""
        return self.nodes[0].url

    def start(self) -> Self:
        """Start the servers one after another."""
        for node in self.nodes:
            node.start()
        return self

    def close(self) -> None:
        """Kill and remove the servers."""
        for node in self.nodes:
            node.close()


class GaleraNode(MariaDB):
    """One node. All nodes accept writes, and certify them at COMMIT."""

    title = "MariaDB with Galera"

    def __init__(self, cluster: Galera) -> None:
        super().__init__(durable=True)
        self.cluster = cluster
        self.group_port, self.copy_port, self.transfer_port = (free_port() for _ in range(3))
        self.position = ""

    def options(self) -> dict[str, str | int]:
        """Return the settings, with a port for each of Galera's services: the defaults collide."""
        nodes = self.cluster.nodes
        group = ",".join(f"{HOST}:{node.group_port}" for node in nodes)
        founds = self is nodes[0] and not self.position
        provider = {
            "base_host": HOST,
            "base_port": self.group_port,
            "gmcast.listen_addr": f"tcp://{HOST}:{self.group_port}",
            "ist.recv_addr": f"{HOST}:{self.transfer_port}",
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
            "wsrep_cluster_name": f"sequences-{nodes[0].group_port}",
            "wsrep_cluster_address": "gcomm://" if founds else f"gcomm://{group}",
            "wsrep_node_address": HOST,
            "wsrep_node_name": f"node-{self.group_port}",
            **({"wsrep_start_position": self.position} if self.position else {}),
            "wsrep_sst_method": "rsync",
            "wsrep_sst_receive_address": f"{HOST}:{self.copy_port}",
        }

    def start(self) -> Self:
        """Start; after kill(), from the last transaction on disk instead of a full copy."""
        if self.release:
            # Debian's server package has the scripts with which a node joins, its core package not.
            raise ServerError("A Galera cluster needs the machine's own release of MariaDB.")
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

    def is_ready(self) -> bool:
        """Return whether it executes statements, which a joining or disconnected node refuses."""
        return self.query("SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]


class Galera(Cluster):
    """A Galera cluster of three nodes."""

    nodes: Sequence[GaleraNode]

    def __init__(self) -> None:
        self.nodes = [GaleraNode(self) for _ in range(3)]


class Member(MySQL):
    """One member of a MySQL group."""

    title = "MySQL with Group Replication"

    def __init__(self, group: Group) -> None:
        super().__init__(durable=True)
        self.group = group
        self.group_port = free_port()

    def options(self) -> dict[str, str | int]:
        """Return the settings that Group Replication requires."""
        group = "loose_group_replication_"
        multi, single = ("ON", "OFF") if self.group.multi else ("OFF", "ON")
        return {
            **super().options(),
            "performance_schema": "ON",
            # Group Replication sets auto_increment_offset to the id, and MySQL ignores an offset
            # above auto_increment_increment, 7: primaries would generate equal keys.
            "server_id": self.group.nodes.index(self) + 1,
            "report_host": HOST,
            "gtid_mode": "ON",
            "enforce_gtid_consistency": "ON",
            "plugin_load_add": "group_replication.so",
            f"{group}group_name": self.group.name,
            f"{group}start_on_boot": "OFF",
            f"{group}local_address": f"{HOST}:{self.group_port}",
            f"{group}group_seeds": ",".join(f"{HOST}:{one.group_port}" for one in self.group.nodes),
            f"{group}recovery_get_public_key": "ON",
            f"{group}single_primary_mode": single,
            f"{group}enforce_update_everywhere_checks": multi,
            # A new primary executes statements only after it has applied its predecessor's.
            f"{group}consistency": "BEFORE_ON_PRIMARY_FAILOVER",
            f"{group}member_expel_timeout": 0,
        }

    def start(self) -> Self:
        """Start, join the group or found it, and wait until the member is online."""
        founds = self is self.group.nodes[0] and not self.data.exists()
        super().start()
        source = f"SOURCE_USER = '{NAME}', SOURCE_PASSWORD = '{NAME}'"
        for statement in (
            f"CHANGE REPLICATION SOURCE TO {source} FOR CHANNEL 'group_replication_recovery'",
            f"SET GLOBAL group_replication_bootstrap_group = {founds:d}",
            "START GROUP_REPLICATION",
            "SET GLOBAL group_replication_bootstrap_group = 0",
        ):
            self.query(statement)
        problem = f"The member did not join its group (see {self.log})"
        wait_until(lambda: self.port in self.online(), problem, TIMEOUT)
        return self

    def online(self, role: str = "%") -> set[int]:
        """Return the ports of the members that are online with this role, as this one knows."""
        members = self.query(
            "SELECT member_port FROM performance_schema.replication_group_members"
            f" WHERE member_state = 'ONLINE' AND member_role LIKE '{role}'"
        )
        return {port for (port,) in members}


class Group(Cluster):
    """A group of three members; with `multi`, all of them are primaries."""

    nodes: Sequence[Member]

    def __init__(self, *, multi: bool) -> None:
        self.name = str(uuid.uuid4())
        self.multi = multi
        self.nodes = [Member(self) for _ in range(3)]

    @property
    def url(self) -> str:
        """The URL of a primary."""
        return self.primary().url

    def primary(self) -> Member:
        """Return a primary, once a running member knows one that answers."""

        def elected() -> Member | None:
            running = [member for member in self.nodes if member.answers()]
            ports = {port for member in running for port in member.online("PRIMARY")}
            # The remaining members need some time to expel a killed one.
            return next((member for member in running if member.port in ports), None)

        return wait_until(elected, "The group elected no primary", TIMEOUT)


class Pair(Cluster):
    """A PostgreSQL primary and its standby, with a link between them.

    Servers of one release start from copies of one data directory, and so have the same system id.
    """

    def __init__(self, *, synchronous: bool) -> None:
        self.synchronous = synchronous
        names = {"synchronous_standby_names": "*"} if synchronous else {}
        self.primary = PostgreSQL(durable=True, settings=names)
        self.link = Proxy(self.primary.port)
        upstream = f"host={HOST} port={self.link.port} user=postgres"
        self.standby = PostgreSQL(durable=True, settings={"primary_conninfo": upstream})
        self.nodes: list[Server] = [self.primary, self.standby]

    def start(self) -> Self:
        """Start both, and wait until the standby receives what the primary writes."""
        self.standby.prepare()
        (self.standby.data / "standby.signal").touch()
        super().start()
        sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: self.primary.query(sql) != [(0,)], "The standby did not connect")
        return self

    def fail_over(self) -> None:
        """Kill the primary with SIGKILL, and promote the standby."""
        self.primary.kill()
        if self.standby.query("SELECT pg_promote()") != [(True,)]:
            raise ServerError("The standby was not promoted.")
        self.nodes.reverse()

    def close(self) -> None:
        """Close and remove both."""
        self.link.close()
        super().close()
