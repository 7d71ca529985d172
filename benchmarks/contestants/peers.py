"""The packages that people use today, each used as its README describes."""

from __future__ import annotations

from typing import Any

from django_seq.models import get_sequence_model
from sequences import get_last_value, get_next_value, get_next_values
from sequences.models import Sequence

from benchmarks.contestants.base import ONE, Contestant, calls, storing, storing_many
from benchmarks.models import AutoInvoice, Invoice, ScopedAutoInvoice, SeqInvoice


def django_sequences(alias: str = "default", differs: str = "") -> Contestant:
    """Call get_next_value, then insert the row, in a transaction."""
    return Contestant(
        "django-sequences" + differs,
        "peer",
        storing(get_next_value),
        bulk=storing_many(get_next_values),
        calls=calls(get_next_value) if alias == "default" else {},
        last=get_last_value,
        models=(Invoice, Sequence),
        alias=alias,
    )


def django_seq() -> Contestant:
    """Use its field, whose pre_save signal takes the number, in a transaction."""
    counters, rows = get_sequence_model(), SeqInvoice.objects
    take: Any = counters.get_next_value
    return Contestant(
        "django-seq",
        "peer",
        lambda scope: rows.create(scope=scope),
        bulk=lambda count: rows.bulk_create(SeqInvoice(scope=ONE) for _ in range(count)),
        calls={"plain": take, "nowait": lambda name: take(name, nowait=True)},
        last=lambda scope: int(counters.get_current_value(f"benchmarks.{scope}")),
        models=(SeqInvoice, counters),
        app="django_seq",
    )


def auto_sequence() -> Contestant:
    """Use its field, which adds one to the highest number in the table."""
    rows = AutoInvoice.objects
    return Contestant(
        "django-autosequence",
        "peer",
        store_auto,
        bulk=lambda count: rows.bulk_create(AutoInvoice(scope=ONE) for _ in range(count)),
        models=(AutoInvoice, ScopedAutoInvoice),
        in_transaction=False,
    )


def store_auto(scope: str) -> None:
    (AutoInvoice if scope == ONE else ScopedAutoInvoice)._default_manager.create(scope=scope)


def auto_increment() -> Contestant:
    """Use Django's primary key, which has gaps: it shows the price of gapless numbers."""
    many = storing_many(lambda count, name: [0] * count)
    options: Any = {"bulk": many, "in_transaction": False, "gapless": False}
    return Contestant("auto-increment", "price", storing(lambda scope: 0), **options)
