"""Forms whose date is earlier than that of the previous number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import modelform_factory
from django.test.utils import isolate_apps
from django.utils import translation
from sequences_contrib.fields import SequenceField

from tests.numbered.blocks import model_with, statements, tables
from tests.numbered.models import Company
from tests.numbered.pages import to_using as to_using


@pytest.fixture
def bills(using: str) -> Iterator[Any]:
    """Bills of companies, which are numbered in the order of their dates when they are posted."""
    with isolate_apps("tests.numbered"):
        model = model_with(
            company=models.IntegerField(null=True, blank=True),
            day=models.DateField(),
            note=models.CharField(max_length=9, blank=True),
            posted=models.BooleanField(default=False),
            number=SequenceField("bills", unique_with="company", ascending="day", when="posted"),
        )
    with tables(using, model):
        model.objects.create(company=1, day=date(2026, 3, 4), posted=True)
        model.objects.create(company=1, day=date(2026, 3, 5), posted=True)
        yield model


def errors(model: Any, instance: Any = None, **data: Any) -> Any:
    form = modelform_factory(model, fields=list(data))(data, instance=instance)
    return form.errors.get_json_data()


def test_a_date_that_is_too_early(bills: Any) -> None:
    """The form reports it at the date, in the user's language."""
    with translation.override("de"):
        found = errors(bills, company=1, day="2026-03-04", posted="on")
    assert list(found) == ["day"]
    assert found["day"][0]["code"] == "min_value"
    assert "5. März 2026" in found["day"][0]["message"]


@pytest.mark.parametrize(
    "data",
    [
        {"company": 1, "day": "2026-03-05", "posted": "on"},
        {"company": 2, "day": "2026-03-04", "posted": "on"},
        {"company": "", "day": "2026-03-04", "posted": "on"},
        {"company": 1, "day": "2026-03-04", "posted": ""},
    ],
    ids=["equal", "other counter", "no counter", "draft"],
)
def test_dates_that_are_right(data: dict[str, Any], bills: Any) -> None:
    """A form with such a date is valid, and can be saved."""
    form = modelform_factory(bills, fields=list(data))(data)
    assert form.is_valid(), form.errors
    form.save()


def test_a_draft_that_is_posted(bills: Any) -> None:
    """A form that posts a draft compares the date, and so does one of a copy."""
    draft = bills.objects.create(company=1, day=date(2026, 3, 1))
    assert list(errors(bills, draft, day="2026-03-02", posted="on")) == ["day"]
    assert errors(bills, bills.objects.get(pk=draft.pk), day="2026-03-05", posted="on") == {}
    numbered = bills.objects.get(number=1)
    assert errors(bills, numbered, day="2026-03-04", posted="on") == {}
    numbered.pk, numbered._state.adding = None, True
    assert list(errors(bills, numbered, day="2026-03-04", posted="on")) == ["day"]


def test_other_errors(bills: Any, using: str) -> None:
    """Errors are reported together; a date that is invalid or not shown isn't compared."""
    found = errors(bills, company=1, day="2026-03-04", posted="on", note="much too long")
    assert list(found) == ["note", "day"]
    assert list(errors(bills, company=1, day="yesterday", posted="on")) == ["day"]
    row = bills(company=1, day=date(2026, 3, 4), posted=True)
    with pytest.raises(ValidationError):
        row.validate_constraints()
    with statements(using, {"": 0}):
        row.validate_constraints(exclude=["company", "day"])


def refuse(self: Any, exclude: Any = None) -> None:
    raise ValidationError("never")


def test_errors_of_the_model(using: str) -> None:
    """Its own validation may raise one text, and a foreign key may refer to no row."""
    with isolate_apps("tests.numbered"):
        number = SequenceField("n", scope="company__name", ascending="day", null=True)
        company = models.ForeignKey(Company, models.CASCADE)
        model = model_with(company=company, day=models.DateField(), number=number)
        validate: Any = refuse
        stubborn = model_with("Stubborn", number=SequenceField(), validate_unique=validate)
    with pytest.raises(ValidationError, match="never"):
        stubborn().full_clean()
    with tables(using, model), pytest.raises(ValidationError) as caught:
        model(company_id=10**9, day=date(2026, 3, 4)).full_clean()
    assert list(caught.value.error_dict) == ["company"]


def test_moments(using: str) -> None:
    """Datetimes are compared as moments."""
    with isolate_apps("tests.numbered"):
        number = SequenceField("moments", unique=True, ascending="at")
        model = model_with(at=models.DateTimeField(), number=number)
    with tables(using, model):
        model.objects.create(at=datetime(2026, 3, 5, 12, tzinfo=UTC))
        assert list(errors(model, at="2026-03-05T12:30+01:00")) == ["at"]
        assert errors(model, at="2026-03-05T11:30-01:00") == {}
