"""The core's own subcommands of ``manage.py sequences``."""

from __future__ import annotations

from sequences_core.subcommands import Subcommand

from .copying import CopyFrom
from .counters import Delete, List, Next, Rename, Set
from .databases import Backends, Install
from .doctor import Doctor

SUBCOMMANDS: dict[str, type[Subcommand]] = {
    "list": List,
    "next": Next,
    "set": Set,
    "rename": Rename,
    "delete": Delete,
    "copy-from": CopyFrom,
    "install": Install,
    "backends": Backends,
    "doctor": Doctor,
}
