"""What the system checks say of texts and periods, and the migrations that they make."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.db import connections, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import Q, UniqueConstraint
from django.test.utils import isolate_apps
from django.utils import timezone
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Day, FiscalYear, IsoWeek, Month, Quarter, Year
from sequences_contrib.texts import FormattedNumberField

from tests.numbered.blocks import model_with
from tests.numbered.models import Bill, Dispatch, Project
from tests.properties.columns import binary


def years(day: date) -> str:
    return f"Y{day.year}"


def kind_of(row: Any) -> str:
    return "a"


IRREGULAR = FiscalYear("day", by=years)
APRIL = FiscalYear("day", (4, 1))


def found(
    written: str | NumberFormat,
    scope: Any = None,
    text: dict[str, Any] | None = None,
    number: dict[str, Any] | None = None,
    **fields: Any,
) -> list[str]:
    """The ids of what the checks find in a model with such a text, sorted."""
    if isinstance(written, str):
        written = NumberFormat(written)
    options: dict[str, Any] = {"max_length": 300, **(text or {})}
    with isolate_apps("tests.numbered"):
        model = model_with(
            project=models.ForeignKey(Project, models.CASCADE, related_name="+"),
            day=models.DateField(),
            at=models.DateTimeField(),
            branch=models.PositiveIntegerField(),
            code=models.CharField(max_length=10),
            number=SequenceField("s", **{"scope": scope, **(number or {})}),
            text=FormattedNumberField(written, **options),
            **fields,
        )
        messages = model.check()
    ours = [message for message in messages if message.id.startswith("sequences_contrib")]
    assert all(message.hint for message in ours)
    return sorted(message.id.removeprefix("sequences_contrib.") for message in ours)


@pytest.mark.parametrize(
    ("written", "options", "expected"),
    [
        ("{number}", {}, []),
        ("{number}", {"text": {"number": "no"}}, ["E020"]),
        ("{number}", {"text": {"number": "branch"}}, ["E020"]),
        ("{nothing}-{number}", {}, ["E021"]),
        ("{project.nothing}-{number}", {}, ["E021"]),
        ("{code.x}-{number}", {}, ["E021"]),
        ("{nothing:%Y}-{number}", {}, ["E021"]),
        ("{code:%Y}-{number}", {}, ["E021"]),
        ("{code:03d}-{number}", {}, ["E021"]),
        ("{day}-{number}", {}, ["E021"]),
        ("{x}-{number}", {"x": models.UUIDField()}, ["E021"]),
        ("{x}-{number}", {"x": models.DecimalField(max_digits=5, decimal_places=2)}, ["E021"]),
        ("{x}-{number}", {"x": models.BooleanField()}, ["E021"]),
        ("I-{number:05d}", {"text": {"max_length": 21}}, []),
        ("I-{number:05d}", {"text": {"max_length": 20}}, ["E022"]),
        ("I-{number:05d}", {"text": {"max_length": 8}, "number": {"maximum": 999_999}}, []),
        ("I-{number:05d}", {"text": {"max_length": 7}, "number": {"maximum": 999_999}}, ["E022"]),
        (
            "I-{number:05d}",
            {"text": {"max_length": 8}, "number": {"maximum": lambda row: 9}},
            ["E022"],
        ),
        ("{number:030d}", {"text": {"max_length": 29}}, ["E022"]),
        ("{code}-{number}", {"text": {"max_length": 29}}, ["E022"]),
        ("{code}-{number}", {"text": {"max_length": 30}}, []),
        ("{x}-{number}", {"x": models.TextField()}, ["E022"]),
        ("{x}-{number}", {"x": models.SmallIntegerField(), "text": {"max_length": 26}}, []),
        ("{x}-{number}", {"x": models.SmallIntegerField(), "text": {"max_length": 25}}, ["E022"]),
        ("{day:%Y%m}{number}", {"text": {"max_length": 25}}, []),
        ("{code}{number}", {}, "ValueError"),
        ("{code}-{project.code}-{number}", {}, ["E023"]),
        ("{code}-{branch}-{number}", {}, []),
        ("{branch}-{code}-{number}", {}, []),
        ("{code}-{x}-{number}", {"x": models.IntegerField()}, ["E023"]),
        ("{code}-{x:02d}-{number}", {"x": models.IntegerField()}, []),
        ("{number}-{code}", {}, []),
        ("{number}{code}", {}, "ValueError"),
        ("{at:%Y}-{number}", {}, ["E025"]),
        (NumberFormat("{at:%Y}-{number}", tz="UTC"), {}, []),
        (NumberFormat("{y}-{number}", y=Year("at")), {}, ["E025"]),
        (NumberFormat("{y}-{number}", y=Year("day", tz="UTC")), {}, ["E025"]),
        (NumberFormat("{y}-{number}", y=Year("code")), {}, ["E021"]),
        ("{number}", {"number": {"null": True}}, ["E026"]),
        ("{number}", {"number": {"null": True}, "text": {"null": True}}, []),
        ("{x:%Y}-{number}", {"x": models.DateField(auto_now_add=True)}, ["E027"]),
        ("{x:%Y}-{number}", {"x": models.DateField(default=timezone.now)}, []),
        ("{id}-{number}", {}, ["E027"]),
        ("{x}-{number}", {"x": SequenceField("t")}, ["E027"]),
        ("{x:%Y}-{number}", {"x": models.DateField(null=True)}, ["W022"]),
        ("{project.company.name}-{number}", {}, ["W022"]),
    ],
)
def test_fields(written: Any, options: dict[str, Any], expected: Any) -> None:
    """Each problem has an id and a hint."""
    if expected == "ValueError":
        with pytest.raises(ValueError, match="in two ways"):
            found(written, **options)
    else:
        assert found(written, **options) == expected


@pytest.mark.parametrize(
    ("written", "scope", "expected"),
    [
        ("{number}", "project", ["E024"]),
        ("{project}-{number}", "project", []),
        ("{project}-{number}", "project_id", []),
        ("{project_id}-{number}", "project", []),
        ("{project.pk}-{number}", "project", []),
        ("{project.id}-{number}", "project__company", ["W001"]),
        ("{project.code}-{number}", "project", ["E024"]),
        ("{project.company}-{number}", "project", ["E024", "W022"]),
        ("{x.key}-{number}", "x", []),
        ("{x.key}-{number}", "x__name", []),
        ("{x.name}-{number}", "x", ["E024"]),
        ("{code}-{number}", ["code", 7], []),
        ("{code}-{number}", ["code", "branch"], ["E024"]),
        ("{code}-{branch:02d}-{number}", ["code", "branch"], []),
        ("{number}", kind_of, ["W021"]),
        ("{number}", Year("day"), ["E024"]),
        ("{day:%Y}-{number}", Year("day"), []),
        ("{day:%y}-{number}", Year("day"), ["W020"]),
        ("{day:%m}-{number}", Year("day"), ["E024"]),
        ("{day:%G-%V}-{number}", Year("day"), ["E024"]),
        ("{day:%Y}-{number}", Month("day"), ["E024"]),
        ("{day:%Y}-{day:%m}-{number}", Month("day"), []),
        ("{day:%Y-%m}-{number}", Quarter("day"), []),
        ("{day:%Y%q}-{number}", Quarter("day"), []),
        ("{day:%Y-%m}-{number}", IsoWeek("day"), ["E024"]),
        ("{day:%G%V}-{number}", IsoWeek("day"), []),
        ("{day:%y%m%d}-{number}", IsoWeek("day"), ["W020"]),
        ("{day:%Y%m%d}-{number}", Day("day"), []),
        ("{day:%Y%m%d}-{number}", "day", []),
        ("{day:%Y%m}-{number}", "day", ["E024"]),
        ("{day:%Y}-{number}", APRIL, ["E024"]),
        ("{day:%Y%m}-{number}", APRIL, []),
        ("{day:%Y%m}-{number}", FiscalYear("day", (4, 6)), ["E024"]),
        ("{day:%Y%m%d}-{number}", FiscalYear("day", by=years), []),
        (NumberFormat("{y}-{number}", y=APRIL), APRIL, []),
        (NumberFormat("{y}-{number}", y=APRIL), FiscalYear("day", (4, 1), named="end"), ["E024"]),
        (NumberFormat("{y}-{number}", y=IRREGULAR), IRREGULAR, []),
        (NumberFormat("{m}-{number}", m=Month("day")), Year("day"), []),
        (NumberFormat("{at:%Y}-{number}", tz="UTC"), Year("at", tz="UTC"), []),
        (NumberFormat("{at:%Y}-{number}", tz="UTC"), Year("at", tz="Asia/Tokyo"), ["E024"]),
        (NumberFormat("{day:%Y}-{number}", tz="UTC"), Year("day"), []),
        (NumberFormat("{at:%Y%m%d}-{number}", tz="UTC"), "at", ["E024"]),
        ("{day:%Y}-{number}", Year("nothing"), ["E001", "E024"]),
        ("{code}-{number}", Year("code"), ["E025"]),
    ],
)  # fmt: skip
def test_scopes(written: Any, scope: Any, expected: list[str]) -> None:
    """A text must contain the parts of the scope, or two scopes could have the same text."""
    fields: dict[str, Any] = {}
    if "{x." in getattr(written, "template", written):
        fields["x"] = models.ForeignKey(Coded, models.CASCADE, related_name="+")
    assert found(written, scope, **fields) == expected
    if "E024" in expected:
        assert "E024" not in found(written, scope, {"unique": False}, **fields)


with isolate_apps("tests.numbered"):

    class Coded(models.Model):
        key = models.SlugField(unique=True)
        name = models.CharField(max_length=5)

        class Meta:
            app_label = "numbered"

        def __str__(self) -> str:
            return self.key


@pytest.mark.parametrize("declared", ["constraint", "condition", "unique_together"])
@pytest.mark.parametrize(
    ("written", "scope", "told"),
    [
        ("{term.project.pk}/{term.name}-{number}", "term", True),
        ("{term.project}/{term.name}-{number}", ["project", "term"], False),
        ("{term.project}/{term.name}-{number}", "term__project", True),
        ("{project}/{term.name}-{number}", "term", False),
        ("{term.name}-{number}", "term", False),
    ],
)
def test_fields_that_are_unique_together(
    declared: str, written: str, scope: Any, told: bool
) -> None:
    """A text tells a row by fields that no two rows have both alike, whatever else they hold."""
    options: dict[str, Any] = {"app_label": "numbered"}
    if declared == "unique_together":
        options["unique_together"] = [("project", "name")]
    else:
        condition = Q(name="x") if declared == "condition" else None
        options["constraints"] = [
            UniqueConstraint(fields=["project", "name"], name="u", condition=condition)
        ]
    with isolate_apps("tests.numbered"):
        fields: dict[str, Any] = {
            "__module__": __name__,
            "Meta": type("Meta", (), options),
            "project": models.ForeignKey(Project, models.CASCADE, related_name="+"),
            "name": models.SlugField(max_length=9),
        }
        term = type("Term", (models.Model,), fields)
    ids = found(written, scope, term=models.ForeignKey(term, models.CASCADE, related_name="+"))
    assert ("E024" not in ids) == (told and (declared != "condition" or scope == "term__project"))


def test_looping() -> None:
    """A number of a sequence that loops can't have a unique text."""
    assert found("{number}", number={"reset_value": 5}) == ["E024"]


def test_models_of_these_tests() -> None:
    """The models that the other tests use are declared well."""
    for model in (Bill, Dispatch):
        assert [message for message in model.check() if message.id != "models.W042"] == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((), TypeError),
        (("{number}",), TypeError),
        ((NumberFormat("{number}"), 1), TypeError),
        ((NumberFormat("{number}"), ""), TypeError),
    ],
)
def test_bad_options(args: Any, error: type[Exception]) -> None:
    """A field without a format is none."""
    with pytest.raises(error):
        FormattedNumberField(*args, max_length=5)


@pytest.mark.parametrize("model", [Bill, Dispatch])
def test_migrations(model: type[models.Model]) -> None:
    """A migration writes formats and periods down, and the next one finds nothing to do."""
    live = ModelState.from_model(model, exclude_rels=True)
    again = live.clone()
    namespace: dict[str, Any] = {}
    for name, field in live.fields.items():
        code, imports = MigrationWriter.serialize(field)
        exec("\n".join(imports) + f"\nfield = {code}", namespace)
        again.fields[name] = namespace["field"]
    states = ProjectState(), ProjectState()
    for state, each in zip(states, (live, again), strict=True):
        state.add_model(each)
    assert MigrationAutodetector(*states).changes(graph=MigrationGraph()) == {}
    name = "text" if model is Bill else "ref"
    declared: Any = model._meta.get_field(name)
    text: Any = again.fields[name]
    assert text.format == declared.format
    assert (text.unique, text.editable, text.blank) == (True, False, True)


def test_a_changed_format_is_a_migration() -> None:
    """The format is part of the field's state, so that migrations can tell."""
    one = NumberFormat("{number:05d}")
    assert one != NumberFormat("{number:06d}")
    assert one == NumberFormat("{number:05d}")
    assert hash(one) == hash(NumberFormat("{number:05d}"))
    assert repr(one) == "NumberFormat('{number:05d}')"
    assert repr(APRIL).startswith("FiscalYear(field='day', tz=None, start=(4, 1)")


def test_copies_of_the_field() -> None:
    """A copy in a history table is a plain column."""
    field: Any = Bill._meta.get_field("text")
    copied = field.__copy__()
    assert copied.is_copy
    assert not field.is_copy
    plain = copied.clone()
    assert type(plain) is models.CharField
    assert (plain.max_length, plain.null, plain.unique) == (50, True, True)
    assert copied.check() is not None


@pytest.mark.parametrize("loose", [False, True])
def test_the_collation_of_a_text(loose: bool, using: str) -> None:
    """A text must not be equal to another one because its column ignores case."""
    default = {"sqlite": "NOCASE", "mysql": None}.get(connections[using].vendor, binary(using))
    with isolate_apps("tests.numbered"):
        letter = model_with(
            kind=models.CharField(max_length=3, db_collation=binary(using)),
            number=SequenceField("s", scope="kind"),
            text=FormattedNumberField(
                NumberFormat("{kind}-{number}"),
                max_length=30,
                db_collation=default if loose else binary(using),
            ),
        )
        found = [each.id for each in letter.check(databases=[using]) if "contrib" in str(each.id)]
    expected = loose and connections[using].vendor != "postgresql"
    assert found == (["sequences_contrib.E028"] if expected else [])
