"""The order in which the rows of several parent models are locked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, models, transaction
from django.test.utils import isolate_apps
from sequences_contrib.afterwards import void
from sequences_contrib.fields import SequenceField
from sequences_contrib.protection import ProtectNumbered

from sequences_core.testing.threads import Elsewhere
from tests.blocked import HELD
from tests.numbered.blocks import tables

APPS = ["tests.numbered", "sequences_contrib"]


def save(row: Any, using: str) -> None:
    row.save(using=using)


def update(row: Any, using: str) -> None:
    type(row).objects.using(using).filter(pk=row.pk).update(kind="y")


def make_void(row: Any, using: str) -> None:
    void(row, reason="mistake", using=using)


@pytest.mark.parametrize("action", [save, update, make_void])
def test_the_order_is_that_of_save(action: Any, using: str) -> None:
    """Django's save() updates the first parent's row first, so it must not wait for the second."""
    if not connections[using].features.has_select_for_update:
        pytest.skip("nobody else can write during a transaction that locks")
    with isolate_apps("tests.numbered"):

        class Sheet(models.Model):
            sheet = models.AutoField(primary_key=True)
            size = models.IntegerField(default=0)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.sheet)

        class Text(models.Model):
            text = models.AutoField(primary_key=True)
            words = models.IntegerField(default=0)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return str(self.text)

        class Letter(ProtectNumbered, Sheet, Text):
            kind = models.CharField(max_length=9, default="x")
            posted = models.BooleanField(default=False)
            number = SequenceField("letters", scope="kind", when="posted", unique=True)

            class Meta:
                app_label = "numbered"

    with tables(using, Sheet, Text, Letter):
        row = Letter.objects.using(using).create(posted=action is make_void)
        row.posted = True
        acting = Elsewhere(lambda: action(row, using), using)
        with transaction.atomic(using=using):
            Sheet._default_manager.using(using).update(size=1)
            acting.start()
            assert acting.is_waiting(HELD)
            list(Text._default_manager.using(using).select_for_update(nowait=True))
        acting.result()
