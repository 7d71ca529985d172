"""MySQL Group Replication on loopback, in single-primary or multi-primary mode."""

from __future__ import annotations

import uuid
from typing import Self

from tests.servers.errors import wait_until
from tests.servers.mysqld import NAME, MySQL
from tests.servers.ports import HOST, free_port

TIMEOUT = 90.0
"""Seconds for a member to join, or for the group to elect a primary."""

STATES = """
    SELECT member_port, member_state, member_role
      FROM performance_schema.replication_group_members
"""


class Member(MySQL):
    """One member of a group."""

    title = "MySQL with Group Replication"

    def __init__(self, group: Group) -> None:
        super().__init__(durable=True)
        self.group = group
        self.group_port = free_port()

    def options(self) -> dict[str, str | int]:
        """Return the settings that Group Replication requires."""
        seeds = ",".join(f"{HOST}:{member.group_port}" for member in self.group.nodes)
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
            "loose_group_replication_group_name": self.group.name,
            "loose_group_replication_start_on_boot": "OFF",
            "loose_group_replication_local_address": f"{HOST}:{self.group_port}",
            "loose_group_replication_group_seeds": seeds,
            "loose_group_replication_recovery_get_public_key": "ON",
            "loose_group_replication_single_primary_mode": "OFF" if self.group.multi else "ON",
            "loose_group_replication_enforce_update_everywhere_checks": (
                "ON" if self.group.multi else "OFF"
            ),
            # A new primary executes statements only after it has applied its predecessor's.
            "loose_group_replication_consistency": "BEFORE_ON_PRIMARY_FAILOVER",
            "loose_group_replication_member_expel_timeout": 0,
        }

    def join(self, *, bootstrap: bool = False) -> None:
        """Join the group, or found it, and wait until the member is online."""
        source = f"SOURCE_USER = '{NAME}', SOURCE_PASSWORD = '{NAME}'"
        statements = [
            f"CHANGE REPLICATION SOURCE TO {source} FOR CHANNEL 'group_replication_recovery'",
            f"SET GLOBAL group_replication_bootstrap_group = {bootstrap:d}",
            "START GROUP_REPLICATION",
            "SET GLOBAL group_replication_bootstrap_group = 0",
        ]
        for statement in statements:
            self.query(statement)

        def is_online() -> bool:
            return (self.port, "ONLINE") in {row[:2] for row in self.query(STATES)}

        wait_until(is_online, f"The member did not join its group (see {self.log})", TIMEOUT)


class Group:
    """A group of three members; with `multi`, all of them are primaries."""

    def __init__(self, *, multi: bool) -> None:
        self.name = str(uuid.uuid4())
        self.multi = multi
        self.nodes = [Member(self) for _ in range(3)]

    @property
    def url(self) -> str:
        """The URL of a primary."""
        return self.primary().url

    def start(self) -> Self:
        """Start all members; the first one founds the group."""
        for member in self.nodes:
            member.start()
            member.join(bootstrap=member is self.nodes[0])
        return self

    def primary(self) -> Member:
        """Return a primary, once a running member knows one that answers."""

        def elected() -> Member | None:
            running = [member for member in self.nodes if member.answers()]
            states = [row for member in running for row in member.query(STATES)]
            ports = {port for port, *state in states if state == ["ONLINE", "PRIMARY"]}
            # The remaining members need some time to expel a killed one.
            return next((member for member in running if member.port in ports), None)

        primary = wait_until(elected, "The group elected no primary", TIMEOUT)
        assert primary
        return primary

    def close(self) -> None:
        """Kill and remove all members."""
        for member in self.nodes:
            member.close()
