"""Gapless numbers for Django: no number is lost, and none is given twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .allocator import Allocation, Allocator
from .exceptions import (
    AutocommitRefused,
    BackendConflict,
    BackendError,
    BackendImportFailed,
    BackendInvalid,
    BackendNotFound,
    DurabilityUnknown,
    FunctionMissing,
    GapWarning,
    SequenceExhausted,
    SequenceLocked,
    SequencesError,
    TableMissing,
)

if TYPE_CHECKING:
    from .api import (
        Sequence,
        delete,
        get_last_value,
        get_next_blocks,
        get_next_value,
        get_next_values,
        rename,
        set_last_value,
    )
    from .expressions import NextValue
    from .registry import get_allocator
    from .transactions import retry_atomic, run_atomic

__all__ = [
    "Allocation",
    "Allocator",
    "AutocommitRefused",
    "BackendConflict",
    "BackendError",
    "BackendImportFailed",
    "BackendInvalid",
    "BackendNotFound",
    "DurabilityUnknown",
    "FunctionMissing",
    "GapWarning",
    "NextValue",
    "Sequence",
    "SequenceExhausted",
    "SequenceLocked",
    "SequencesError",
    "TableMissing",
    "delete",
    "get_allocator",
    "get_last_value",
    "get_next_blocks",
    "get_next_value",
    "get_next_values",
    "rename",
    "retry_atomic",
    "run_atomic",
    "set_last_value",
]

# These names need the model. Django imports this package before it can load models.
_LATER = {
    "NextValue": "expressions",
    "Sequence": "api",
    "delete": "api",
    "get_allocator": "registry",
    "get_last_value": "api",
    "get_next_blocks": "api",
    "get_next_value": "api",
    "get_next_values": "api",
    "rename": "api",
    "retry_atomic": "transactions",
    "run_atomic": "transactions",
    "set_last_value": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return value
