"""sequences_core, through each backend that is installed, and what builds on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.test import override_settings

from benchmarks.contestants.base import Call, Contestant, named
from benchmarks.models import FieldInvoice, Invoice
from sequences_core import NextValue, get_allocator, get_next_value, get_next_values
from sequences_core.early_release import durability
from sequences_core.functions import has_function
from sequences_core.models import Counter

OURS = ("postgresql", "mysql", "oracle", "sqlite", "orm")
"""The backends of this repository; what else is registered is a third party's."""

VENDORS = ("postgresql", "mysql", "oracle", "sqlite")
"""The vendors of Django's own database backends."""

EARLY = ", early release"
"""What the name of a contestant ends in that does that."""


class Ours(Contestant):
    """What any use of sequences_core has in common."""

    def __init__(self, backend: str = "auto", *, early: bool = False) -> None:
        self.backend = backend
        self.early = early
        self.special = self.special or early

    def active(self) -> AbstractContextManager[Any]:
        return override_settings(SEQUENCES_BACKEND=self.backend, SEQUENCES_EARLY_RELEASE=self.early)

    def unfit(self) -> str | None:
        with self.active():
            connection = self.connection
            asked = self.early and get_allocator(connection).check_early_release(connection)
            if asked or (self.early and durability(connection) is None):
                return "it can't release a counter early, or its commits wait for nothing"
        return super().unfit()

    def last(self, scope: str) -> int | None:
        counter = Counter.objects.using(self.alias).filter(pk=scope).first()
        return counter.last if counter else None

    def forget(self) -> None:
        Counter.objects.using(self.alias).all().delete()


class Allocate(Ours):
    """get_next_value, then INSERT, in a transaction."""

    def __init__(self, backend: str = "auto", *, early: bool = False) -> None:
        super().__init__(backend, early=early)
        self.kind = "ours" if backend in (*OURS, "auto") else "third party"
        self.name = "get_next_value" if backend == "auto" else f"get_next_value, {backend} backend"
        self.name += EARLY * early

    def unfit(self) -> str | None:
        try:
            with self.active():
                get_allocator(self.connection)
        except ImproperlyConfigured as error:
            return str(error)
        return super().unfit()

    def calls(self) -> Mapping[str, Call]:
        calls: dict[str, Call] = {
            "plain": get_next_value,
            "batch": lambda name: self.block(name, 100),
            "looping": lambda name: get_next_value(name, reset_value=1000),
        }
        with self.active():
            if get_allocator(self.connection).can_limit_wait:
                calls["nowait"] = lambda name: get_next_value(name, nowait=True)
        return calls

    def block(self, name: str, count: int) -> Any:
        return get_next_values(count, name)

    def create(self, scope: str) -> None:
        number = get_next_value(scope, using=self.alias)
        Invoice.objects.using(self.alias).create(scope=scope, number=number)

    def bulk(self, count: int) -> None:
        numbers = self.block("bulk", count)
        Invoice.objects.bulk_create(Invoice(scope="bulk", number=number) for number in numbers)


class InStatement(Ours):
    """The number taken by the database inside the INSERT, in autocommit."""

    name = "NextValue"
    kind = "ours"
    in_transaction = False

    def unfit(self) -> str | None:
        allocator = get_allocator(self.connection)
        if not allocator.supports_function:
            return f"{type(allocator).__name__} has no function for NextValue"
        if not has_function(self.connection):
            return "the function of NextValue is not installed"
        return super().unfit()

    def create(self, scope: str) -> None:
        Invoice.objects.using(self.alias).create(scope=scope, number=NextValue(scope))

    def bulk(self, count: int) -> None:
        number = NextValue("bulk")
        Invoice.objects.bulk_create(Invoice(scope="bulk", number=number) for _ in range(count))


class Field(Ours):
    """SequenceField: ``create()`` and no more."""

    kind = "ours"
    in_transaction = False
    prefix = "benchmarks"

    def __init__(self, alias: str = "default", *, early: bool = False) -> None:
        super().__init__(early=early)
        self.alias = alias
        self.name = named("SequenceField", alias) + EARLY * early

    def models(self) -> Iterable[type[Model]]:
        return [FieldInvoice]

    def create(self, scope: str) -> None:
        FieldInvoice.objects.using(self.alias).create(scope=scope)

    def last(self, scope: str) -> int | None:
        return super().last(f"{self.prefix}.{scope}")

    def bulk(self, count: int) -> None:
        rows = FieldInvoice.objects.using(self.alias)
        rows.bulk_create(FieldInvoice(scope="bulk") for _ in range(count))
