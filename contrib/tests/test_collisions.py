"""Forms that move a row to a scope where its number is another row's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import ModelForm, modelform_factory, modelformset_factory
from django.test import Client
from django.test.utils import isolate_apps
from django.urls import path
from sequences_contrib.afterwards import renumber
from sequences_contrib.fields import SequenceField
from sequences_contrib.models import Void

from tests.numbered.blocks import model_with, tables
from tests.numbered.models import Project, Ticket
from tests.numbered.pages import ToUsing

APPS = [
    "tests.numbered",
    "sequences_contrib",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.admin",
    "django.contrib.messages",
]


class MovingForm(ModelForm):  # type: ignore[type-arg] # not generic at run time
    """As docs/order.rst has it."""

    class Meta:
        model = Ticket
        fields = ["project", "title"]

    def clean(self) -> Any:
        self.instance.number = None
        return super().clean()


class MovingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = MovingForm

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        if change:
            renumber(obj, user=request.user)
        else:
            super().save_model(request, obj, form, change)


site = admin.AdminSite(name="admin")
site.register(Ticket)
moving = admin.AdminSite(name="moving")
moving.register(Ticket, MovingAdmin)
site.register(Project)
urlpatterns = [path("admin/", site.urls), path("moving/", moving.urls)]


@pytest.fixture
def routed(using: str, settings: Any) -> None:
    # Django looks for other rows where the router says, not where the instance is from.
    settings.DATABASE_ROUTERS = [ToUsing(using)]


TicketForm = modelform_factory(Ticket, fields=["project", "title"])


@pytest.fixture
def tickets(using: str, routed: None) -> list[Any]:
    """Two tickets that are the first of their projects."""
    projects = [Project.objects.create(code=code) for code in "ab"]
    return [Ticket.objects.create(project=project) for project in projects]


def form(ticket: Any, project: Any, make: Any = TicketForm) -> ModelForm[Any]:
    return make({"project": project.pk, "title": "new"}, instance=ticket)  # type: ignore[no-any-return]


def test_a_form_tells_of_a_collision(tickets: list[Any]) -> None:
    """is_valid() is false, with Django's own message; it isn't save() that fails."""
    one, other = tickets
    moving = form(one, other.project)
    assert not moving.is_valid()
    assert list(moving.errors) == ["__all__"]
    assert "Project and Number already exists" in moving.errors["__all__"][0]


def test_forms_that_collide_with_nothing(tickets: list[Any]) -> None:
    """New rows, rows that keep their scope, and rows whose number is free are valid."""
    one, other = tickets
    Ticket.objects.create(project=other.project)
    Ticket.objects.filter(pk=other.pk).delete()
    for ticket, project in ((one, one.project), (one, other.project), (Ticket(), one.project)):
        valid = form(ticket, project)
        assert valid.is_valid(), valid.errors
        valid.save()
    assert sorted(Ticket.objects.values_list("project__code", "number")) == [
        ("a", 2),
        ("b", 1),
        ("b", 2),
    ]


def test_the_admin_tells_of_a_collision(tickets: list[Any], settings: Any) -> None:
    """The page of the admin comes back with the message."""
    settings.ROOT_URLCONF = __name__
    one, other = tickets
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    url = f"/admin/numbered/ticket/{one.pk}/change/"
    page = client.post(url, {"project": other.project_id, "title": ""})
    assert page.status_code == 200
    assert "Project and Number already exists" in page.content.decode()
    page = client.post(url, {"project": one.project_id, "title": "x"})
    assert page.status_code == 302


def test_the_admin_moves_a_row(tickets: list[Any], settings: Any) -> None:
    """A form that leaves the number open, saved by renumber(), gives the next of the new scope."""
    settings.ROOT_URLCONF = __name__
    one, other = tickets
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    data = {"project": other.project_id, "title": "moved"}
    page = client.post(f"/moving/numbered/ticket/{one.pk}/change/", data)
    assert page.status_code == 302
    page = client.post("/moving/numbered/ticket/add/", data)
    assert page.status_code == 302
    rows = Ticket.objects.order_by("pk").values_list("project__code", "number", "title")
    assert list(rows) == [("b", 2, "moved"), ("b", 1, ""), ("b", 3, "moved")]
    assert list(Void.objects.values_list("number", "who")) == [(1, "root")]


def test_a_formset_tells_of_a_collision(tickets: list[Any]) -> None:
    """Each form of a formset reports a collision."""
    formset = modelformset_factory(Ticket, fields=["project"], extra=0)
    data = {
        "form-TOTAL_FORMS": 2,
        "form-INITIAL_FORMS": 2,
        **{f"form-{i}-id": ticket.pk for i, ticket in enumerate(tickets)},
        **{f"form-{i}-project": tickets[1].project_id for i in range(2)},
    }
    many = formset(data, queryset=Ticket.objects.order_by("pk"))
    assert not many.is_valid()
    assert [list(errors) for errors in many.errors] == [["__all__"], []]


def constrained(kind: str) -> Any:
    """A model whose numbers are unique in a scope of two fields."""
    fields = {
        "company": models.IntegerField(),
        "year": models.IntegerField(),
        "note": models.CharField(max_length=9, blank=True),
        "deleted": models.BooleanField(default=False),
    }
    scope = ["company", "year"]
    names = [*scope, "number"]
    options: dict[str, Any] = {}
    if kind == "unique_together":
        options = {"unique_together": [names]}
    elif kind == "expressions":
        constraint = models.UniqueConstraint("company", models.F("year") + 0, "number", name="l")
        options = {"constraints": [constraint]}
    elif kind != "unique_with":
        conditions = {
            "partial": models.Q(number__isnull=False),
            "soft deletion": ~models.Q(deleted=True) & models.Q(number__gt=models.F("company") - 1),
        }
        condition = conditions.get(kind)
        constraint = models.UniqueConstraint(fields=names, condition=condition, name="letters")
        options = {"constraints": [constraint]}
    how: dict[str, Any] = {"unique_with": scope} if kind == "unique_with" else {"scope": scope}
    number = SequenceField("l", **how)
    meta = type("Meta", (), {"app_label": "numbered", **options})
    bases = {"__module__": __name__, "Meta": meta, **fields, "number": number}
    return type("Letter", (models.Model,), bases)


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize(
    "kind",
    ["unique_with", "unique_together", "constraint", "partial", "soft deletion", "expressions"],
)
def test_each_constraint_and_half_of_a_scope(kind: str, using: str) -> None:
    """Every kind of constraint is validated, even if the form has only a part of the scope."""
    with isolate_apps("tests.numbered"):
        model = constrained(kind)
    with tables(using, model):
        rows = model.objects.using(using)
        one, _ = rows.create(company=1, year=2026), rows.create(company=1, year=2027)
        wrong = modelform_factory(model, fields=["year"])({"year": 2027}, instance=one)
        assert not wrong.is_valid()
        one = rows.get(year=2026)
        for fields, data in ((["year"], {"year": 2028}), (["note"], {"note": "x"})):
            right = modelform_factory(model, fields=fields)(data, instance=one)
            assert right.is_valid(), right.errors
        one.year = 2027
        with pytest.raises(ValidationError):
            one.full_clean(exclude=["number", "note", "deleted"])


@pytest.mark.usefixtures("routed")
def test_a_number_that_save_will_take(using: str) -> None:
    """A constraint of a number isn't validated before save() has taken the number."""
    with isolate_apps("tests.numbered"):
        model = model_with(
            company=models.IntegerField(),
            posted=models.BooleanField(default=False),
            number=SequenceField("l", scope="company", when="posted"),
        )
        posted = models.Q(posted=False) | models.Q(number__isnull=False)
        model._meta.constraints = [
            models.UniqueConstraint(fields=["company", "number"], name="letters"),
            models.CheckConstraint(condition=posted, name="posted"),
        ]
    make = modelform_factory(model, fields=["company", "posted"])
    with tables(using, model):
        draft = model.objects.using(using).create(company=1)
        for instance in (draft, model()):
            form = make({"company": 1, "posted": "on"}, instance=instance)
            assert form.is_valid(), form.errors
            form.save()
        new = model(company=1, posted=True)
        new.full_clean()
        new.save(using=using)
        copied = model.objects.using(using).get(number=1)
        copied.pk, copied._state.adding = None, True
        copied.full_clean()
        copied.save(using=using)
        numbers = model.objects.using(using).order_by("pk").values_list("number", flat=True)
        assert list(numbers) == [1, 2, 3, 4]
        model.objects.using(using).filter(number=4).update(posted=False)
        copied.refresh_from_db()
        copied.number, copied.posted = 1, True
        with pytest.raises(ValidationError):
            copied.full_clean()


@pytest.mark.usefixtures("routed")
def test_a_number_that_somebody_set(using: str) -> None:
    """An error of a field that the form doesn't show becomes one of the whole form."""
    unique = SequenceField("l", unique=True, scope="kind")
    with isolate_apps("tests.numbered"):
        model = model_with(kind=models.IntegerField(), number=unique)
        together = [models.UniqueConstraint(fields=["kind", "number"], name="letters")]
        model._meta.constraints = together
    with tables(using, model):
        rows = model.objects.using(using)
        one, other = rows.create(kind=1), rows.create(kind=2, number=7)
        one.number = 7
        wrong = modelform_factory(model, fields=["kind"])({"kind": 1}, instance=one)
        assert not wrong.is_valid()
        assert list(wrong.errors) == ["__all__"]
        assert other.number == 7
