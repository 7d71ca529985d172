"""``assign_numbers()`` as a background task, for Django 6.0 and later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.tasks import task

from .assign import BATCH, assign_numbers
from .command import all_rows, named_field


@task()
def assign(
    model: str,
    order_by: Sequence[str] = ("pk",),
    batch_size: int = BATCH,
    locked: Any = "skip",
    using: str | None = None,
) -> dict[str, int]:
    """Number the rows of a model that are posted and have no number.

    :param model: ``"app.Model"`` or ``"app.Model.field"``. The other arguments are those of
        :func:`sequences_contrib.posting.assign_numbers`.
    :returns: how many ``rows`` of how many ``counters`` were numbered, and how many were
        ``skipped``.
    """
    named, field = named_field(model)
    done = assign_numbers(
        all_rows(named),
        field,
        order_by=order_by,
        batch_size=batch_size,
        locked=locked,
        using=using,
    )
    return {"rows": done.rows, "counters": done.counters, "skipped": done.skipped}
