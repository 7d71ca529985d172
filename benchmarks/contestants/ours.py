"""The contestants of this project: sequences_core and sequences_contrib."""

from __future__ import annotations

from typing import Any

from django.db import connection

from benchmarks.contestants.base import ONE, Call, Contestant, calls, storing, storing_many
from benchmarks.models import FieldInvoice, Invoice
from sequences_core import (
    NextValue,
    get_allocator,
    get_last_value,
    get_next_value,
    get_next_values,
)
from sequences_core.functions import has_function
from sequences_core.models import Counter

EARLY = ", early release"
"""The suffix of a contestant's name."""


def ours(name: str, create: Call, *, early: bool = False, **values: Any) -> Contestant:
    """Return a contestant with the values that all uses of sequences_core share."""
    values = {"kind": "ours", "models": (Invoice, Counter), **values}
    values["settings"] = {"SEQUENCES_EARLY_RELEASE": early, **values.get("settings", {})}
    last = values.pop("last", get_last_value)
    return Contestant(name + EARLY * early, create=create, last=last, special=early, **values)


def allocate(backend: str = "auto", *, early: bool = False) -> Contestant:
    """Call get_next_value, then insert the row, in a transaction."""
    ways = calls(get_next_value)
    if backend != "auto" or not get_allocator(connection).can_limit_wait:
        del ways["nowait"]
    return ours(
        "get_next_value" if backend == "auto" else f"get_next_value, {backend} backend",
        storing(get_next_value),
        early=early,
        kind="ours" if backend in {"auto", "orm"} else "third party",
        bulk=storing_many(get_next_values),
        calls=ways,
        settings={"SEQUENCES_BACKEND": backend},
    )


def in_statement() -> Contestant:
    """Let the database take the number inside the INSERT, in autocommit."""

    def check() -> str | None:
        known = get_allocator(connection).supports_function and has_function(connection)
        return None if known else "the database has no function for NextValue"

    bulk = storing_many(lambda count, name: [NextValue(name)] * count)
    return ours("NextValue", storing(NextValue), bulk=bulk, check=check, in_transaction=False)


def field(alias: str = "default", differs: str = "", *, early: bool = False) -> Contestant:
    """Call ``create()`` on a model that has a SequenceField."""
    rows = FieldInvoice.objects
    return ours(
        "SequenceField" + differs,
        lambda scope: rows.create(scope=scope),
        early=early,
        bulk=lambda count: rows.bulk_create(FieldInvoice(scope=ONE) for _ in range(count)),
        last=lambda scope: get_last_value(f"benchmarks.{scope}"),
        models=(FieldInvoice, Counter),
        alias=alias,
        in_transaction=False,
    )
