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
from tests.numbered.blocks import model_with, tables

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
        size, words = (models.IntegerField(default=0) for _ in range(2))
        sheet = model_with("Sheet", sheet=models.AutoField(primary_key=True), size=size)
        text = model_with("Text", text=models.AutoField(primary_key=True), words=words)
        letter: Any = type(
            "Letter",
            (ProtectNumbered, sheet, text),
            {
                "__module__": __name__,
                "Meta": type("Meta", (), {"app_label": "numbered"}),
                "kind": models.CharField(max_length=9, default="x"),
                "posted": models.BooleanField(default=False),
                "number": SequenceField("letters", scope="kind", when="posted", unique=True),
            },
        )

    with tables(using, sheet, text, letter):
        row = letter.objects.using(using).create(posted=action is make_void)
        row.posted = True
        acting = Elsewhere(lambda: action(row, using), using)
        with transaction.atomic(using=using):
            sheet._default_manager.using(using).update(size=1)
            acting.start()
            assert acting.is_waiting(HELD)
            list(text._default_manager.using(using).select_for_update(nowait=True))
        acting.result()
