"""The packages that people use today, each as its README says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.test import override_settings
from django_seq.models import get_sequence_model
from sequences import get_last_value, get_next_value, get_next_values
from sequences.models import Sequence

from benchmarks.contestants.base import ONE, Call, Contestant, named
from benchmarks.models import AutoInvoice, Invoice, ScopedAutoInvoice, SeqInvoice


class DjangoSequences(Contestant):
    """get_next_value, then INSERT, in a transaction."""

    kind = "peer"
    app = "sequences"

    def __init__(self, alias: str = "default") -> None:
        self.alias = alias
        self.name = named("django-sequences", alias)

    def active(self) -> AbstractContextManager[Any]:
        if self.alias == "default":
            return super().active()
        # Not by using=: on SQLite django-sequences 3.1 counts in the default all the same.
        return override_settings(DATABASE_ROUTERS=[To(self.alias)])

    def calls(self) -> Mapping[str, Call]:
        if self.alias != "default":
            return {}
        return {
            "plain": get_next_value,
            "batch": lambda name: self.block(name, 100),
            "looping": lambda name: get_next_value(name, reset_value=1000),
            "nowait": lambda name: get_next_value(name, nowait=True),
        }

    def block(self, name: str, count: int) -> Any:
        return get_next_values(count, name)

    def create(self, scope: str) -> None:
        number = get_next_value(scope)
        Invoice.objects.using(self.alias).create(scope=scope, number=number)

    def last(self, scope: str) -> int | None:
        last: int | None = get_last_value(scope, using=self.alias)
        return last

    def forget(self) -> None:
        Sequence.objects.using(self.alias).all().delete()

    def bulk(self, count: int) -> None:
        numbers = self.block("bulk", count)
        Invoice.objects.bulk_create(Invoice(scope="bulk", number=number) for number in numbers)


@dataclass(frozen=True)
class To:
    """A database router: all to that alias."""

    alias: str

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read


class DjangoSeq(Contestant):
    """Its field, whose numbers are taken by a pre_save signal, in a transaction."""

    name = "django-seq"
    kind = "peer"
    app = "django_seq"
    needs_transaction = True
    key = "benchmarks"

    def models(self) -> Iterable[type[Model]]:
        return [SeqInvoice]

    @property
    def sequence(self) -> Any:
        return get_sequence_model()

    def calls(self) -> Mapping[str, Call]:
        return {
            "plain": self.sequence.get_next_value,
            "nowait": lambda name: self.sequence.get_next_value(name, nowait=True),
        }

    def create(self, scope: str) -> None:
        SeqInvoice.objects.create(scope=scope)

    def last(self, scope: str) -> int | None:
        return int(self.sequence.get_current_value(f"{self.key}.{scope}"))

    def forget(self) -> None:
        self.sequence.objects.all().delete()

    def bulk(self, count: int) -> None:
        SeqInvoice.objects.bulk_create(SeqInvoice(scope="bulk") for _ in range(count))


class AutoSequence(Contestant):
    """Its field: the highest number there is, plus one."""

    name = "django-autosequence"
    kind = "peer"
    in_transaction = False

    def models(self) -> Iterable[type[Model]]:
        return [AutoInvoice, ScopedAutoInvoice]

    def model(self, scope: str) -> type[Model]:
        one, scoped = self.models()
        return one if scope == ONE else scoped

    def create(self, scope: str) -> None:
        self.model(scope)._default_manager.create(scope=scope)

    def bulk(self, count: int) -> None:
        model = self.model(ONE)
        model._default_manager.bulk_create(model(scope=ONE) for _ in range(count))


class LockedAutoSequence(AutoSequence):
    """Its README's advice for concurrent writers on PostgreSQL.

    Its ``lock_table`` needs psycopg2; with psycopg 3 the same statement is run here.
    """

    name = "django-autosequence, lock_table"
    in_transaction = True

    def create(self, scope: str) -> None:
        model = self.model(scope)
        with transaction.atomic():
            with self.connection.cursor() as cursor:
                table = self.connection.ops.quote_name(model._meta.db_table)
                cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            model._default_manager.create(scope=scope)


class AutoIncrement(Contestant):
    """Django's own primary key as the number: holes after rollbacks, the price of gapless."""

    name = "auto-increment"
    kind = "price"
    in_transaction = False
    gapless = False

    def numbers(self) -> Iterable[tuple[str, int]]:
        return Invoice.objects.values_list("scope", "id")

    def create(self, scope: str) -> None:
        Invoice.objects.create(scope=scope, number=0)

    def bulk(self, count: int) -> None:
        Invoice.objects.bulk_create(Invoice(scope="bulk", number=0) for _ in range(count))
