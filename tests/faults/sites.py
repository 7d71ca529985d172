"""The sites of the faults: single servers, clusters and a pool, with the faults of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.faults import clusters, early, faults, storage
from tests.faults.arena import Arena
from tests.faults.faults import Fault
from tests.faults.isolation import LEVELS, at
from tests.servers.launch import DEFAULT

SERVERS = ("postgresql", "mariadb", "mysql")

FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "writers killed": (faults.writers_killed, DEFAULT),
    "first use": (faults.first_use, DEFAULT),
    "one call": (faults.one_call, DEFAULT),
    "any order": (faults.any_order, SERVERS),
    "made read-only": (storage.made_read_only, DEFAULT),
    "disk full": (storage.disk_full, ("sqlite",)),
    "server killed": (faults.server_killed, SERVERS),
    "connections cut": (faults.connections_cut, SERVERS),
    "server frozen": (faults.server_frozen, SERVERS),
    "writer frozen": (faults.writer_frozen, SERVERS),
    **{level: (at(level), SERVERS) for level in LEVELS},
    **{
        f"{level}, snapshot isolation": (at(level, snapshot=True), ("mariadb",)) for level in LEVELS
    },
    "pool killed": (clusters.pool_killed, ("postgresql",)),
}
"""The faults of single servers, and the databases of each."""

SAFE = "PostgreSQL, synchronous standby"
LOSSY = "PostgreSQL, asynchronous standby"
"""The only site that loses commits, which shows what a synchronous standby is for."""


@dataclass(frozen=True)
class Site:
    """A site with its faults; ``enter`` returns the arena, which starts what they need."""

    name: str
    database: str
    """The database that DB must include."""
    enter: Callable[[], AbstractContextManager[Arena]]
    faults: dict[str, Fault]
    lasting: bool = True
    """Is the site usable again after a round?"""


SITES = (
    *(
        Site(
            name,
            name,
            partial(Arena, name),
            {fault: function for fault, (function, names) in FAULTS.items() if name in names},
        )
        for name in DEFAULT
    ),
    *(
        Site(
            name,
            "postgresql",
            partial(clusters.pair, synchronous=name == SAFE),
            {
                "primary killed": clusters.standby_promoted,
                **({"primary killed, early release": early.primary_killed} if name == SAFE else {}),
            },
            lasting=False,
        )
        for name in (SAFE, LOSSY)
    ),
    Site(
        "PostgreSQL, early release",
        "postgresql",
        early.slow_disk,
        {
            **{f"server killed, {way}": early.server_killed(way) for way in early.JOBS},
            "connections cut, then server killed": early.connections_cut,
            "pool killed, then server killed": early.pool_killed,
            **{f"not waited for, {way}": early.not_waited_for(way) for way in early.JOBS},
        },
    ),
    Site(
        "Galera",
        "mariadb",
        clusters.galera,
        {
            "writers on all nodes": clusters.writers_everywhere,
            "writers on one node": clusters.writers_on_one,
            "node killed": clusters.node_killed,
        },
    ),
    Site(
        "Group Replication, one primary",
        "mysql",
        partial(clusters.group, multi=False),
        {"primary killed": clusters.primary_killed},
    ),
    Site(
        "Group Replication, all primaries",
        "mysql",
        partial(clusters.group, multi=True),
        {
            "writers on all members": clusters.writers_everywhere,
            "writers on one member": clusters.writers_on_one,
        },
    ),
)
