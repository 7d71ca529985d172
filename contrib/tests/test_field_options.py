"""The field's options, the migrations they make, and what the system checks say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import checks
from django.db import connection, connections, models
from django.db.migrations.writer import MigrationWriter
from django.db.models import F, Q, Value
from django.test.utils import isolate_apps
from django.utils import timezone
from sequences_contrib.fields import SequenceField
from sequences_contrib.formats import NumberFormat
from sequences_contrib.periods import Year
from sequences_contrib.texts import FormattedNumberField

from tests.numbered.blocks import model_with
from tests.numbered.models import (
    Document,
    Invoice,
    Project,
    Receipt,
    Seat,
    Ticket,
    after_hundred,
    by_kind,
)
from tests.properties.columns import binary

ISOLATED = "tests.numbered"


def ours(model: Any, **kwargs: Any) -> list[Any]:
    """What the checks of the field say; isolated, other models can't be related to."""
    found = model.check(**kwargs)
    return [message for message in found if message.id.startswith("sequences_contrib")]


def ids(model: Any, **kwargs: Any) -> list[str]:
    return [message.id for message in ours(model, **kwargs)]


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"sequence_name": ""}, ValueError),
        ({"sequence_name": " x"}, ValueError),
        ({"sequence_name": 7}, TypeError),
        ({"sequence_name": "x" * 256}, ValueError),
        ({"scope": "a", "unique_with": "b"}, ValueError),
        ({"scope": ""}, TypeError),
        ({"scope": ["a", {"b": 1}]}, TypeError),
        ({"scope": F("n") + 1}, TypeError),
        ({"scope": ["a", ["b"]]}, TypeError),
        ({"unique_with": ["a", ""]}, TypeError),
        ({"reuse": "all"}, ValueError),
        ({"reuse": "gaps", "reset_value": 5}, ValueError),
        ({"reuse": "gaps", "initial_value": lambda row: 1}, ValueError),
        ({"reuse": "last", "scope": by_kind}, ValueError),
        ({"nowait": True, "timeout": 1}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"initial_value": -1}, ValueError),
        ({"initial_value": "1"}, TypeError),
        ({"initial_value": 5, "reset_value": 5}, ValueError),
        ({"initial_value": lambda row: 1, "reset_value": 5}, TypeError),
        ({"separator": ""}, ValueError),
        ({"separator": " "}, ValueError),
        ({"separator": "%"}, ValueError),
    ],
)
def test_bad_options(kwargs: dict[str, Any], error: type[Exception]) -> None:
    """Options that make no sense are refused where the field is declared."""
    with pytest.raises(error):
        SequenceField(**kwargs)


FIELDS: list[Callable[[], Any]] = [
    SequenceField,
    lambda: SequenceField("invoices", unique=True),
    lambda: SequenceField(scope="project", null=True, separator="/"),
    lambda: SequenceField(scope=["project", F("project__company"), Value("x"), 3, by_kind]),
    lambda: SequenceField(unique_with="project"),
    lambda: SequenceField(unique_with=["project", "kind"], reuse="gaps", initial_value=0),
    lambda: SequenceField(initial_value=after_hundred, timeout=1.5),
    lambda: SequenceField(reset_value=5, nowait=True),
    lambda: SequenceField(editable=True, blank=False, db_column="no", db_index=True),
]


@pytest.mark.parametrize("make", FIELDS)
def test_deconstruction(make: Callable[[], Any]) -> None:
    """What a field deconstructs to makes the same field again, and can be written down."""
    field = make()
    _, path, args, kwargs = field.deconstruct()
    assert path == "sequences_contrib.fields.SequenceField"
    again = SequenceField(*args, **kwargs)
    assert again.deconstruct()[1:] == (path, args, kwargs)
    assert field.clone().deconstruct()[1:] == (path, args, kwargs)
    MigrationWriter.serialize(field)


def test_only_what_was_said_is_written_down() -> None:
    """A migration holds no option that has its default."""
    assert SequenceField().deconstruct()[2:] == ([], {})
    assert SequenceField("s", unique_with="a").deconstruct()[3] == {
        "sequence_name": "s",
        "unique_with": ("a",),
    }


def test_unique_with_is_a_constraint() -> None:
    """unique_with, a name or a tuple, adds a constraint that migrations see, with a short name."""
    for model, fields in ((Ticket, ("project", "number")), (Seat, ("room", "number"))):
        (constraint,) = model._meta.constraints
        assert isinstance(constraint, models.UniqueConstraint)
        assert constraint.fields == fields
        assert len(constraint.name) <= 30
        assert model._meta.original_attrs["constraints"] == [constraint]


@isolate_apps(ISOLATED)
def test_a_models_own_constraints_stay() -> None:
    """unique_with adds to the constraints of the model."""

    class Letter(models.Model):
        year = models.IntegerField()
        number = SequenceField(unique_with="year")

        class Meta:
            app_label = "numbered"
            constraints = [models.CheckConstraint(condition=models.Q(year__gt=0), name="positive")]

        def __str__(self) -> str:
            return f"{self.year}/{self.number}"

    assert len(Letter._meta.constraints) == 2
    assert ids(Letter) == []


def test_the_models_of_the_tests_pass_all_checks() -> None:
    """Every option used as intended gives no message."""
    for model in (Invoice, Ticket, Receipt, Document, Seat):
        assert model.check() == []


@pytest.mark.parametrize(
    "scope", ["nothing", "code__x", F("project__nothing"), ["code", "project__company__x"], "many"]
)
def test_a_scope_that_leads_nowhere(scope: Any) -> None:
    """A scope that can't be resolved is an error that names the field and the path."""
    with isolate_apps(ISOLATED):
        letter = model_with(
            code=models.CharField(max_length=9),
            project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
            many=models.ManyToManyField(Project, related_name="+"),
            number=SequenceField(scope=scope),
        )
        (message,) = ours(letter)
    assert message.id == "sequences_contrib.E001"
    assert message.level == checks.ERROR
    assert str(message.obj) == "numbered.Letter.number"
    assert message.hint


def test_a_scope_through_an_unknown_model_is_djangos_error() -> None:
    """A foreign key to a model that isn't there is reported by Django, once."""
    with isolate_apps(ISOLATED):
        letter = model_with(
            project=models.ForeignKey("lost.Project", on_delete=models.CASCADE, related_name="+"),
            number=SequenceField(scope="project__company"),
        )
        assert ours(letter) == []
        assert [message.id for message in letter.check()] == ["fields.E300"]


@pytest.mark.parametrize("null", [True, False])
def test_a_scope_that_can_be_null(null: bool) -> None:
    """A number that must be, by a scope that need not, is a warning with the remedy."""
    with isolate_apps(ISOLATED):
        letter = model_with(
            project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
            number=SequenceField(scope="project__company", null=null),
        )
        messages = ours(letter)
    assert [message.id for message in messages] == ([] if null else ["sequences_contrib.W001"])
    for message in messages:
        assert message.level == checks.WARNING
        assert message.obj is letter._meta.get_field("number")
        assert "project__company" in message.msg
        assert message.hint == ("Set null=True on the number, or null=False on the scope's fields.")


@pytest.mark.parametrize(
    "options",
    [
        {"scope": "other"},
        {"scope": "other__name"},
        {"unique_with": "other"},
        {"scope": Year("other__day")},
        {"when": "other"},
        {"when": Q(other=1), "unique": True},
        {"text": "{other.name}-{number}"},
        {"text": "{other}-{number}"},
    ],
    ids=str,
)
def test_a_foreign_key_to_an_unknown_model(options: dict[str, Any], using: str) -> None:
    """Django's own check reports it; ours raise no error in place of this."""
    options = {"null": True, **options}
    fields = {}
    if template := options.pop("text", None):
        fields["text"] = FormattedNumberField(NumberFormat(template), max_length=99, null=True)
    with isolate_apps(ISOLATED):
        letter = model_with(
            other=models.ForeignKey("numbered.Nowhere", models.CASCADE, null=True),
            number=SequenceField(**options),
            **fields,
        )
        found = {message.id for message in letter.check(databases=[using])}
    assert found - {"sequences_contrib.E030"} == {"fields.E300"}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (lambda: SequenceField("invoices"), ["sequences_contrib.W002"]),
        (lambda: SequenceField("numbered_plain.number"), ["sequences_contrib.W002"]),
        (lambda: SequenceField("letters"), []),
        (lambda: SequenceField("invoices", scope=[1]), []),
        (SequenceField, []),
    ],
)
def test_two_fields_on_one_counter(field: Callable[[], Any], expected: list[str]) -> None:
    """Two fields that share a counter are a warning that names both."""
    with isolate_apps(ISOLATED):
        letter = model_with(number=field())
        messages = ours(letter)
    assert [message.id for message in messages] == expected
    for message in messages:
        assert "numbered." in message.msg
        assert "sequence_name" in message.hint


@pytest.mark.parametrize("scope", ["project", "project_id", F("project"), [F("project_id")]])
def test_two_fields_on_one_counter_by_scopes_that_look_different(scope: Any) -> None:
    """Different notations of the same scope use the same counter."""
    with isolate_apps(ISOLATED):
        letter = model_with(
            project=models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+"),
            number=SequenceField("shared", scope="project"),
            other=SequenceField("shared", scope=scope),
        )
        messages = ours(letter)
    assert {message.id for message in messages} == {"sequences_contrib.W002"}
    assert "numbered.Letter.other" in messages[0].msg


@pytest.mark.parametrize("options", [{"default": 1}, {"db_default": 1}, {"default": int}], ids=str)
def test_a_default_would_give_every_row_the_same_number(options: dict[str, Any]) -> None:
    """A default is an error, whose hint is the way to a table that has rows."""
    with isolate_apps(ISOLATED):
        (message,) = ours(model_with(number=SequenceField(**options)))
    assert message.id == "sequences_contrib.E007"
    assert "AddSequenceField" in message.hint


@pytest.mark.parametrize("field", [models.FloatField, models.JSONField, models.BinaryField])
def test_a_scope_without_an_identity(field: Any) -> None:
    """A scope whose equal values may look different is an error, also at the end of a path."""
    with isolate_apps(ISOLATED):
        (message,) = ours(model_with(value=field(), number=SequenceField(scope="value")))
    assert message.id == "sequences_contrib.E005"


def test_a_scope_of_a_composite_value() -> None:
    """The same is true of arrays, maps and ranges."""
    postgres = pytest.importorskip("django.contrib.postgres.fields")
    for field in (
        postgres.ArrayField(models.IntegerField()),
        postgres.HStoreField(),
        postgres.DateRangeField(),
    ):
        with isolate_apps(ISOLATED):
            (message,) = ours(model_with(value=field, number=SequenceField(scope="value")))
        assert message.id == "sequences_contrib.E005"


class Percent(models.Field):  # type: ignore[type-arg] # not generic at run time
    """A field that is no subclass of a field of Django's."""

    def get_internal_type(self) -> str:
        return "IntegerField"


class Encrypted(models.TextField):  # type: ignore[type-arg]
    """A field whose column isn't that of the class."""

    def get_internal_type(self) -> str:
        return "BinaryField"


class Day(models.DateTimeField):  # type: ignore[type-arg]
    """A field that stores the date of a moment."""

    def get_internal_type(self) -> str:
        return "DateField"


class Caseless(models.CharField):  # type: ignore[type-arg]
    """Text whose column ignores case."""

    def db_type(self, connection: Any) -> str:
        return "citext"


class Lowered(models.CharField):  # type: ignore[type-arg]
    """Text that the INSERT converts."""

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
        return "LOWER(%s)", [value]


@pytest.mark.parametrize("field", [Percent, Encrypted, Day, Caseless, Lowered])
def test_a_scope_with_a_column_of_its_own(field: Any) -> None:
    """Only the columns of Django's own fields are known to store equal values as equal."""
    options = {"max_length": 9} if issubclass(field, models.CharField) else {}
    with isolate_apps(ISOLATED):
        (message,) = ours(model_with(value=field(**options), number=SequenceField(scope="value")))
    assert message.id == "sequences_contrib.E005"
    assert "type that Django defines" in message.hint


class Renamed(models.CharField):  # type: ignore[type-arg]
    """A field that only converts values in Python."""

    def get_internal_type(self) -> str:
        return "CharField"

    def get_prep_value(self, value: Any) -> Any:
        return str(value).lower()


@pytest.mark.parametrize(
    "field",
    [
        Renamed(max_length=9),
        models.EmailField(),
        models.SlugField(),
        models.URLField(),
        models.FilePathField(),
        models.PositiveSmallIntegerField(),
        models.SmallIntegerField(),
        models.GenericIPAddressField(),
        models.DurationField(),
        models.UUIDField(),
        models.TimeField(),
    ],
    ids=lambda field: type(field).__name__,
)
def test_a_scope_with_a_column_of_djangos(field: Any) -> None:
    """These columns are known."""
    with isolate_apps(ISOLATED):
        assert ours(model_with(value=field, number=SequenceField(scope="value"))) == []


def test_a_path_to_a_generated_field() -> None:
    """Its column is what its expression returns."""
    outputs = {models.FloatField: ["sequences_contrib.E005"], models.IntegerField: []}
    for output, expected in outputs.items():
        with isolate_apps(ISOLATED):
            generated = models.GeneratedField(
                expression=Value(1), output_field=output(), db_persist=True
            )
            other = model_with("Other", value=generated)
            to_other = models.ForeignKey(other, models.CASCADE)
            letter = model_with(other=to_other, number=SequenceField(scope="other__value"))
            assert ids(letter) == expected


class Stamped(models.CharField):  # type: ignore[type-arg] # not generic at run time
    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return "now"


class Monitored(models.DateTimeField):  # type: ignore[type-arg]
    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return timezone.now()


@pytest.mark.parametrize(
    "field",
    [
        models.DateField(auto_now_add=True),
        models.DateTimeField(auto_now=True),
        models.TimeField(auto_now_add=True),
        Stamped(max_length=9),
        Monitored(),
        models.FileField(),
        SequenceField("another"),
        models.GeneratedField(
            expression=Value(1), output_field=models.IntegerField(), db_persist=True
        ),
    ],
    ids=lambda field: type(field).__name__,
)
def test_a_scope_that_is_set_while_the_row_is_inserted(field: Any) -> None:
    """A scope that Django sets after the number is taken is an error, whatever the order."""
    for first in (True, False):
        fields = {"value": field.clone(), "number": SequenceField(scope="value")}
        with isolate_apps(ISOLATED):
            (message,) = ours(model_with(**dict(sorted(fields.items(), reverse=first))))
        assert message.id == "sequences_contrib.E006"


def test_the_models_own_serial_key_is_no_scope() -> None:
    """The database makes it while the row is inserted; that of a parent's row is known."""
    with isolate_apps(ISOLATED):
        letter = model_with(number=SequenceField(scope="pk"))
        meta = type("Meta", (), {"app_label": "numbered"})
        fields = {"own": SequenceField(scope="number")}
        child = type("Child", (letter,), {"__module__": __name__, "Meta": meta, **fields})
        assert ids(letter) == ["sequences_contrib.E006"]
        assert [message.obj.name for message in ours(child)] == []


@pytest.mark.parametrize("kind", ["swapped", "of the same table"])
def test_models_whose_rows_are_no_others(kind: str, settings: Any) -> None:
    """A model that was swapped for this one has no rows; one of the same table has the same."""
    settings.NUMBERED_LETTER = "numbered.Letter"
    options = {"swappable": "NUMBERED_LETTER"} if kind == "swapped" else {"managed": False}
    with isolate_apps(ISOLATED):
        letter = model_with(number=SequenceField(reuse="gaps"))
        table = letter._meta.db_table
        meta = type("Meta", (), {"app_label": "numbered", "db_table": table, **options})
        name = None if kind != "swapped" else f"{table}.number"
        fields = {"number": SequenceField(name, reuse="gaps")}
        type("Other", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
        assert ids(letter) == []


@pytest.mark.parametrize("options", [{"reuse": "gaps"}, {"reuse": "last"}, {"skip_used": True}])
def test_reuse_of_a_shared_counter(options: dict[str, Any]) -> None:
    """Numbers of another model's rows would look free, so it is an error on either field."""
    with isolate_apps(ISOLATED):
        letter = model_with(
            number=SequenceField("shared", **options), other=SequenceField("shared")
        )
        found = ids(letter)
    assert "sequences_contrib.E004" in found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"sequence_name": "r", "scope": [1, 2]}, {"sequence_name": "r.1", "scope": [2]}, False),
        ({"sequence_name": "r", "scope": [1]}, {"sequence_name": "r.1"}, True),
        ({"sequence_name": "r", "scope": [1]}, {"sequence_name": "rs"}, False),
        (
            {"sequence_name": "r", "scope": [1], "separator": "-"},
            {"sequence_name": "r-1", "scope": [2]},
            True,
        ),
        ({"sequence_name": "numbered_letter", "scope": [1]}, {}, True),
    ],
)
def test_counters_that_could_meet(
    one: dict[str, Any], other: dict[str, Any], expected: bool
) -> None:
    """Two fields whose counters could get one name by their scopes are an error."""
    with isolate_apps(ISOLATED):
        found = ids(model_with(number=SequenceField(**one), other=SequenceField(**other)))
    assert found == (["sequences_contrib.E003"] * 2 if expected else [])


def test_one_counter_for_a_model_and_its_parent() -> None:
    """Rows of both are inserted by two statements, which would deadlock with others: an error."""
    with isolate_apps(ISOLATED):
        parent = model_with(number=SequenceField("shared", scope=[1]))
        meta = type("Meta", (), {"app_label": "numbered"})
        fields = {"own": SequenceField("shared", scope=[1])}
        child = type("Child", (parent,), {"__module__": __name__, "Meta": meta, **fields})
        found = ids(child)
    assert "sequences_contrib.E008" in found


@pytest.mark.parametrize("opposite", [True, False])
def test_two_numbered_parents_in_opposite_order(opposite: bool) -> None:
    """Django inserts parents in the order of the bases: two orders would deadlock, an error."""
    with isolate_apps(ISOLATED):
        meta = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "numbered"})}

        def model(name: str, *bases: Any, **fields: Any) -> Any:
            return type(name, bases or (models.Model,), {**meta, **fields})

        one = model("One", a=models.AutoField(primary_key=True), n=SequenceField())
        two = model("Two", b=models.AutoField(primary_key=True), m=SequenceField())
        model("Both", one, two)
        model("Other", *((two, one) if opposite else (one, two)))
        found = [ids(one), ids(two)]
    assert found == [["sequences_contrib.E009"] if opposite else []] * 2


@pytest.mark.django_db
@pytest.mark.parametrize("collation", ["nocase", "rtrim", "binary"])
def test_a_collation_that_holds_different_texts_to_be_equal(collation: str) -> None:
    """The database is asked what its collation makes of a scope's texts."""
    if connection.vendor != "sqlite":
        return
    with isolate_apps(ISOLATED):
        kind = models.CharField(max_length=9, db_collation=collation)
        letter = model_with(kind=kind, number=SequenceField(scope="kind"))
        found = ids(letter, databases=["default"])
    assert found == ([] if collation == "binary" else ["sequences_contrib.E005"])


LOOSE = {None, "latin1_swedish_ci", "utf8mb4_bin", "utf8mb3_bin"}
"""They ignore case, or only spaces at the end. Some belong to another character set."""


def test_text_on_mysql(using: str) -> None:
    """If a text column compares different texts as equal, a scope of text is an error."""
    connection: Any = connections[using]
    if connection.vendor != "mysql":
        pytest.skip("the other databases compare bytes unless another collation is declared")
    loose = LOOSE | ({"uca1400_as_cs"} if connection.mysql_is_mariadb else {"utf8mb4_0900_as_cs"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT COLLATION_NAME FROM information_schema.COLLATIONS")
        known = {name for (name,) in cursor.fetchall()}
    for collation in (loose & (known | {None})) | {binary(using)}:
        with isolate_apps(ISOLATED):
            kind = models.CharField(max_length=9, db_collation=collation)
            letter = model_with(kind=kind, number=SequenceField(scope="kind"))
            expected = ["sequences_contrib.E005"] if collation in loose else []
            assert ids(letter, databases=[using]) == expected, collation


@contextmanager
def connected(using: str, **options: Any) -> Iterator[None]:
    """Connect with additional OPTIONS for the block."""
    connection: Any = connections[using]
    before = connection.settings_dict["OPTIONS"]

    def connect_with(changed: dict[str, Any]) -> None:
        connection.close()
        connection.settings_dict["OPTIONS"] = changed
        for cached in ("mysql_server_data", "sql_mode"):
            vars(connection).pop(cached, None)

    connect_with(before | options)
    try:
        yield
    finally:
        connect_with(before)


@pytest.mark.parametrize("mode", ["NO_ENGINE_SUBSTITUTION", "STRICT_ALL_TABLES"])
def test_a_mode_that_cuts_values(mode: str, using: str) -> None:
    """Without strict mode, MySQL and MariaDB store "abc" for "abcd" if there are three places."""
    if connections[using].vendor != "mysql":
        pytest.skip("the other databases refuse values that don't fit, or store them")
    expected = [] if mode.startswith("STRICT") else ["sequences_contrib.E005"]
    with isolate_apps(ISOLATED):
        kind = models.CharField(max_length=3, db_collation=binary(using))
        letter = model_with(kind=kind, number=SequenceField(scope="kind"))
        other = model_with("Other", number=SequenceField(scope=1))
    assert ids(letter, databases=[using]) == []
    with connected(using, sql_mode=mode):
        assert ids(letter, databases=[using]) == expected
        assert ids(other, databases=[using]) == []


class CountersElsewhere:
    """A router that keeps the counters off a database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return app_label != "sequences_core"


@pytest.mark.django_db
def test_a_model_without_its_counter(settings: Any) -> None:
    """A model on a database that has no table of counters is an error."""
    assert ids(Invoice, databases=["default"]) == []
    settings.DATABASE_ROUTERS = [CountersElsewhere()]
    (message,) = ours(Invoice, databases=["default"])
    assert message.id == "sequences_contrib.E002"
    assert "default" in message.msg
    assert message.hint
    assert ids(Invoice) == []  # a plain "check" asks for no database


@pytest.mark.django_db
@pytest.mark.parametrize(("digits", "expected"), [(15, []), (16, ["sequences_contrib.E005"])])
def test_decimals_on_sqlite(digits: int, expected: list[str]) -> None:
    """SQLite stores decimals of more digits as floats, which may be equal."""
    with isolate_apps(ISOLATED):
        price = models.DecimalField(max_digits=digits, decimal_places=10)
        found = ids(
            model_with(price=price, number=SequenceField(scope="price")), databases=["default"]
        )
    assert found == (expected if connection.vendor == "sqlite" else [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"unique": True}, []),
        ({"unique": True, "scope": "kind"}, ["sequences_contrib.W003"]),
        ({"primary_key": True, "scope": "kind"}, ["sequences_contrib.W003"]),
        ({"unique": True, "scope": lambda row: row.kind}, ["sequences_contrib.W003"]),
        ({"unique": True, "scope": models.Value("a")}, []),
        ({"unique": True, "scope": "kind", "initial_value": lambda row: row.kind * 100}, []),
        ({"unique_with": "kind"}, []),
    ],
)
def test_a_number_that_is_unique_in_all_scopes(options: Any, expected: list[str]) -> None:
    """Each counter starts at the initial value, so a second scope could not store its rows."""
    with isolate_apps(ISOLATED):
        model = model_with(kind=models.IntegerField(), number=SequenceField("s", **options))
        assert ids(model) == expected
