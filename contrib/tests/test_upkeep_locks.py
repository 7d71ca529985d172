"""``sync()`` and ``prune()`` lock counters in the order of their names, like all other calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models, transaction
from sequences_contrib.fields import SequenceField
from sequences_contrib.upkeep import Change, prune, sync

from sequences_core import get_last_value, get_next_value
from sequences_core.models import Counter
from sequences_core.testing.threads import Elsewhere
from tests.numbered.blocks import letters

APPS = ["sequences_contrib", "tests.numbered"]


@pytest.mark.parametrize("change", [sync, prune])
def test_several_sequences_in_one_transaction(
    change: Callable[..., list[Change]], using: str
) -> None:
    """The fields are declared in another order than that of the names of their counters."""
    with letters(
        using,
        kind=models.CharField(max_length=9),
        second=SequenceField("z", scope="kind"),
        first=SequenceField("a", scope="kind"),
    ) as rows:

        def in_a_transaction() -> list[Change]:
            with transaction.atomic(using=using):
                return change(rows.model, apply=True, using=using)

        rows.create(kind="k")
        if change is sync:
            rows.update(first=9, second=9)
        else:
            rows.all().delete()
        with transaction.atomic(using=using):
            get_next_value("a.k", using=using)
            thread = Elsewhere(in_a_transaction, using)
            thread.start()
            assert thread.is_waiting()
            get_next_value("z.k", using=using)
        counters = [each.counter for each in thread.result()]
        assert counters == ["z.k", "a.k"]


def test_sync_reports_what_it_does(using: str) -> None:
    """Negative numbers are below the first number of each counter, so nothing is increased."""
    number = SequenceField("post", initial_value=one, null=True)
    with letters(using, number=number) as rows:
        rows.bulk_create([rows.model(number=-1)])
        assert sync(rows.model, apply=True, using=using) == []
        assert get_last_value("post", using=using) is None
        rows.update(number=0)
        Counter.objects.using(using).all().delete()
        assert sync(rows.model, apply=True, using=using) == [Change("post", None, 0)]
        assert get_last_value("post", using=using) == 0


def one(instance: Any) -> int:
    return 1
