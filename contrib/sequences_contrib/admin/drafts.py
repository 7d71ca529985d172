"""The page of drafts: how many rows are due for a number, and the button that numbers them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.core.paginator import Page, Paginator
from django.db import DatabaseError, models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from sequences_core import SequencesError

from ..periods import Period
from ..posting import Assigned, assign_numbers
from ..posting.command import all_rows
from ..posting.drafts import Drafts, Order
from ..series import database_of, last_values
from .columns import Column, Columns
from .words import span

PER_PAGE = 50
"""Counters on a page."""

NAMED = 5
"""How many counters a message names."""


@dataclass
class Waiting:
    """The rows that are due for a number of one counter."""

    counter: str
    labels: list[str] | None
    rows: int
    last: int | None
    """The last number of the counter, or None if there is no counter yet."""


class DraftsPage:
    """The rows of a field that are due for a number and have none yet."""

    def __init__(self, field: Any) -> None:
        self.field = field
        self.using = database_of(field, None)
        self.by_function: bool = field.is_scoped_by_function
        """Can only ``save()`` number the rows, because the scope is a function?"""

    @cached_property
    def _drafts(self) -> Drafts:
        return Drafts(
            all_rows(self.field.model), self.field, Order(self.field.model, ["pk"]), self.using
        )

    @cached_property
    def _counts(self) -> dict[str, int]:
        if self.by_function:
            return {}
        return {name: count for name, (_sample, count) in self._drafts.counters().items()}

    @cached_property
    def total(self) -> int:
        """How many rows are due, including those whose scope is incomplete."""
        return self._drafts.rows.count()

    @property
    def can_be_numbered(self) -> int:
        """How many of the rows have a complete scope, and so a counter."""
        return sum(self._counts.values())

    @property
    def without_counter(self) -> int:
        """How many of the rows have no counter, because a part of their scope is empty."""
        return 0 if self.by_function else max(0, self.total - self.can_be_numbered)

    @cached_property
    def _all(self) -> Columns:
        return Columns(self.field, self.using, self._counts)

    @property
    def columns(self) -> list[Column]:
        """The parts of the scope."""
        return self._all.columns

    def page(self, number: str | None) -> Page[str]:
        """Return the names of the counters on a page."""
        return Paginator(self._all.chosen({}), PER_PAGE).get_page(number)

    def waiting(self, counters: list[str]) -> list[Waiting]:
        """Return the rows of the table for these counters."""
        labels, last = self._all.labels(counters), last_values(counters, self.using)
        return [
            Waiting(name, labels.get(name), self._counts[name], last.get(name)) for name in counters
        ]

    @property
    def orders(self) -> list[tuple[str, str]]:
        """The orders in which the rows can be numbered. The first is the default."""
        if self.field.ascending is not None:
            ascending = self.field.model._meta.get_field(self.field.ascending)
            return [(ascending.name, str(capfirst(ascending.verbose_name)))]
        own = [
            each
            for each in self.field.model._meta.local_concrete_fields
            if isinstance(each, models.DateField)
        ]
        periods = [part.field for part in self.field.scope_parts if isinstance(part, Period)]
        own.sort(key=lambda each: each.name not in periods)
        dates = [(each.name, str(capfirst(each.verbose_name))) for each in own]
        entry = ("pk", _("The order in which they were entered"))
        return [*dates, entry] if periods and dates else [entry, *dates]

    def assign(self, request: HttpRequest) -> HttpResponse:
        """Number the rows, add messages, and redirect to the page."""
        orders = [name for name, _label in self.orders]
        order = request.POST.get("order", orders[0])
        answer = HttpResponseRedirect(request.path)
        if order not in orders or self.by_function:
            messages.error(request, _("These rows can't be numbered in this order."))
            return answer
        done = 0

        def note(rows: int, total: int) -> None:
            nonlocal done
            done = rows

        try:
            assigned = assign_numbers(
                all_rows(self.field.model),
                self.field.name,
                order_by=["pk"] if order == "pk" else [order, "pk"],
                locked="wait" if self.field.ascending else "skip",
                progress=note,
                using=self.using,
            )
        except (SequencesError, DatabaseError, ValueError, ObjectDoesNotExist) as error:
            text = _("The numbering stopped after %(count)d rows: %(error)s")
            messages.error(request, text % {"count": done, "error": error})
            if done:
                self._log(request, done)
            return answer
        if assigned.rows:
            self._log(request, assigned.rows, assigned)
            messages.success(request, f"{_counted(assigned.rows)} {self._listed(assigned, NAMED)}")
        else:
            messages.info(request, _("No row was numbered."))
        if assigned.skipped:
            text = ngettext(
                "%(count)d row was left out: somebody else is changing it, or it isn't complete.",
                "%(count)d rows were left out: somebody else is changing them, or they aren't "
                "complete.",
                assigned.skipped,
            )
            messages.warning(request, text % {"count": assigned.skipped})
        return answer

    def _listed(self, assigned: Assigned, most: int) -> str:
        """Return the numbers of up to ``most`` counters as text."""
        numbers = dict(list(assigned.numbers.items())[:most])
        labels = Columns(self.field, self.using, numbers).labels(numbers)
        told = [
            f"{' · '.join(labels.get(name) or [name])}: {span(*ends)}"
            for name, ends in numbers.items()
        ]
        return "; ".join(told) + ("; …" if len(assigned.numbers) > most else ".")

    def _log(self, request: Any, rows: int, assigned: Assigned | None = None) -> None:
        """Write into the admin's history what Django translates for whoever reads it."""
        model = self.field.model
        with override(None):  # as Django's construct_change_message() does
            told = _counted(rows)
            if assigned is not None:
                told = f"{told} {self._listed(assigned, len(assigned.numbers))}"
            name, fields = str(model._meta.verbose_name_plural), [str(self.field.verbose_name)]
        LogEntry.objects.create(
            user=request.user,
            content_type=ContentType.objects.get_for_model(model),
            object_repr=str(self.field)[:200],
            action_flag=CHANGE,
            change_message=json.dumps(
                [{"changed": {"name": name, "object": told.removesuffix("."), "fields": fields}}],
                ensure_ascii=False,
            ),
        )


def _counted(rows: int) -> str:
    return ngettext("%(count)d row was numbered.", "%(count)d rows were numbered.", rows) % {
        "count": rows
    }
