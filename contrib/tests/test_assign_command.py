"""``manage.py sequences assign``, and the task that does the same."""

from __future__ import annotations

import json
import time
from io import StringIO
from typing import Any

import django
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.numbered.models import Delivery

APPS = ["tests.numbered"]

LABEL = "numbered.Delivery"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def assign(*args: str, using: str, out: StringIO | None = None) -> str:
    out = out or StringIO()
    call_command("sequences", "assign", *args, f"--database={using}", stdout=out, no_color=True)
    return out.getvalue()


def drafts(using: str, count: int) -> Any:
    rows = Delivery.objects.using(using)
    rows.bulk_create([Delivery(kind=str(i)) for i in range(count)])
    rows.filter(number=None).update(posted=True)
    return rows


@pytest.mark.parametrize("label", [LABEL, f"{LABEL}.number"])
def test_command(label: str, using: str) -> None:
    """The command numbers posted rows in the given order, and prints how many."""
    rows = drafts(using, 3)
    said = assign(label, "--order-by=-kind,pk", "--batch-size=2", "--wait", using=using)
    assert said == "3 rows of 1 counter numbered.\n"
    assert list(rows.order_by("pk").values_list("number", flat=True)) == [3, 2, 1]
    assert assign(label, using=using) == "0 rows of 0 counters numbered.\n"


def test_progress(using: str) -> None:
    """On a terminal, one line shows the progress."""
    drafts(using, 3)
    said = assign(LABEL, "--batch-size=2", using=using, out=Terminal())
    assert said == "\r2 of 3 rows\r3 of 3 rows\n3 rows of 1 counter numbered.\n"


def test_watch(using: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command repeats after each pause until Ctrl-C, and prints only if rows were numbered."""
    rows, pauses = drafts(using, 1), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            drafts(using, 2)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    said = assign(LABEL, "--watch=0.5", using=using)
    assert said == "1 row of 1 counter numbered.\n2 rows of 1 counter numbered.\n"
    assert pauses == [0.5] * 3
    assert rows.filter(number=None).count() == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["numbered"], "Name a model"),
        (["numbered.Nothing"], "no model"),
        (["numbered.Company"], "no SequenceField"),
        (["numbered.Invoice"], "name a field with when=….* has none"),
        (["numbered.Invoice.number"], "already have numbers"),
        ([LABEL + ".kind"], "not a SequenceField"),
        ([LABEL, "--order-by=kind"], "rows with equal values"),
        ([LABEL, "--order-by="], "itself"),
        ([LABEL, "--batch-size=0"], "at least 1"),
        ([LABEL, "--watch=-1"], "seconds"),
        ([LABEL, "--watch=nan"], "seconds"),
        ([LABEL, "--watch=inf"], "seconds"),
    ],
    ids=str,
)
def test_bad_arguments(args: list[str], text: str, using: str) -> None:
    """Each invalid argument is reported in one line."""
    with pytest.raises(CommandError, match=text):
        assign(*args, using=using)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has no tasks before 6.0")
def test_task(using: str) -> None:
    """A task worker can do it, by names that go through any queue."""
    from sequences_contrib.posting.tasks import assign as task

    rows = drafts(using, 3)
    backend = "django.tasks.backends.immediate.ImmediateBackend"
    with override_settings(TASKS={"default": {"BACKEND": backend}}):
        result = task.enqueue(LABEL, order_by=["-kind", "pk"], using=using)
    assert json.loads(json.dumps(result.return_value)) == {"rows": 3, "counters": 1, "skipped": 0}
    assert list(rows.order_by("pk").values_list("number", flat=True)) == [3, 2, 1]
