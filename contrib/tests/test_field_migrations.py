"""Migrations of models with a SequenceField: made once, applied everywhere, undone."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connections, migrations, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from sequences_contrib.fields import SequenceField
from sequences_contrib.models import Void
from sequences_contrib.periods import Day, Year
from sequences_contrib.voids import record_void

from sequences_core import NextValue, get_last_value, get_next_values
from tests.numbered.blocks import Steps
from tests.numbered.blocks import steps as steps
from tests.numbered.models import Document, Invoice, Receipt, Seat, Ticket

LABEL = "letters"
APPS = ["sequences_contrib"]


def state_of(*models_: ModelState) -> ProjectState:
    state = ProjectState()
    for model in models_:
        state.add_model(model)
    return state


def letter(number: models.Field[Any, Any]) -> ModelState:
    return ModelState(
        LABEL, "Letter", [("id", models.BigAutoField(primary_key=True)), ("n", number)]
    )


def changes(old: ProjectState, new: ProjectState) -> list[Any]:
    questioner = MigrationQuestioner(defaults={"ask_initial": True})
    detected = MigrationAutodetector(old, new, questioner).changes(graph=MigrationGraph())
    return [
        operation
        for migrations_ in detected.values()
        for migration in migrations_
        for operation in migration.operations
    ]


@pytest.mark.parametrize("model", [Invoice, Ticket, Receipt, Document, Seat])
def test_no_second_migration(model: type[models.Model]) -> None:
    """Makemigrations finds nothing to do for a model that its migration describes."""
    live = ModelState.from_model(model, exclude_rels=True)
    again = live.clone()
    again.fields = {name: field.clone() for name, field in live.fields.items()}
    assert changes(state_of(live), state_of(again)) == []


def create(*fields: tuple[str, Any]) -> Any:
    common: list[tuple[str, Any]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("kind", models.CharField(max_length=9, default="k")),
    ]
    return migrations.CreateModel("Letter", [*common, *fields])


def add_constraint() -> Any:
    return migrations.AddConstraint(
        "letter", models.UniqueConstraint(fields=["kind", "number"], name="kind_number_uniq")
    )


def number_rows(apps: Any, schema_editor: Any) -> None:
    """Number the rows that are there in the order of their ids, as docs/existing-rows.rst shows."""
    using = schema_editor.connection.alias
    letters = apps.get_model(LABEL, "Letter").objects.using(using)
    rows = list(letters.filter(number=None).order_by("pk"))
    for row, number in zip(rows, get_next_values(len(rows), "letters", using=using), strict=True):
        row.number = number
    letters.bulk_update(rows, ["number"], batch_size=1000)


def test_adding_the_field_to_a_table_with_rows(using: str, steps: Steps) -> None:
    """Added as null, filled by a data migration, made not null: the rows are 1..n in order."""
    letters = steps.apply(create()).objects.using(using)
    for _ in range(5):
        letters.create()
    letters.order_by("id")[1:2].get().delete()
    steps.apply(
        migrations.AddField("letter", "number", SequenceField("letters", null=True)),
        migrations.RunPython(number_rows, migrations.RunPython.noop),
    )
    model = steps.apply(
        migrations.AlterField("letter", "number", SequenceField("letters", unique=True))
    )
    numbers = model.objects.using(using).order_by("id").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4]
    # The migration's own model numbers new rows too.
    assert model.objects.using(using).create().number == 5
    assert get_last_value("letters", using=using) == 5


def test_unique_with_added_and_removed(using: str, steps: Steps) -> None:
    """The constraint of unique_with comes and goes with its own operations, in any order."""
    steps.apply(create())
    with_number = migrations.AddField(
        "letter", "number", SequenceField(unique_with="kind", null=True)
    )
    letters = steps.apply(with_number).objects.using(using)
    letters.create(number=1)
    letters.create(number=1).delete()  # no constraint yet
    letters = steps.apply(add_constraint()).objects.using(using)
    with pytest.raises(IntegrityError):
        letters.create(number=1)
    letters = steps.apply(migrations.RemoveConstraint("letter", "kind_number_uniq")).objects.using(
        using
    )
    letters.create(number=1)
    model = steps.apply(migrations.RemoveField("letter", "number"))
    assert [field.name for field in model._meta.fields] == ["id", "kind"]
    assert model.objects.using(using).count() == 2


def test_renaming_and_altering(using: str, steps: Steps) -> None:
    """A renamed field keeps the numbers; with a sequence_name it keeps the counter too."""
    model = steps.apply(create(("number", SequenceField("letters"))))
    model.objects.using(using).create()
    model = steps.apply(
        migrations.RenameField("letter", "number", "position"),
        migrations.AlterField("letter", "position", SequenceField("letters", initial_value=5)),
    )
    assert model.objects.using(using).create().position == 2
    model = steps.apply(migrations.AlterField("letter", "position", models.BigIntegerField()))
    assert list(model.objects.using(using).values_list("position", flat=True)) == [1, 2]


def rename_model() -> list[Any]:
    return [migrations.RenameModel("Letter", "Brief"), migrations.RenameModel("Brief", "Letter")]


def rename_field() -> list[Any]:
    return [
        migrations.RenameField("letter", "number", "position"),
        migrations.RenameField("letter", "position", "number"),
    ]


def alter_column() -> list[Any]:
    return [
        migrations.AlterField("letter", "number", SequenceField(scope="kind", db_column="no")),
        migrations.AlterField("letter", "number", SequenceField(scope="kind", null=True)),
    ]


def alter_table() -> list[Any]:
    return [
        migrations.AlterModelTable("letter", "letters_post"),
        migrations.SeparateDatabaseAndState(
            [migrations.AlterModelTable("letter", None)],
            [migrations.AlterModelTable("letter", None)],
        ),
    ]


def alter_separator() -> list[Any]:
    return [
        migrations.AlterField("letter", "number", SequenceField(scope="kind", separator="_")),
        migrations.AlterField("letter", "number", SequenceField(scope="kind", separator="2")),
        migrations.AlterField("letter", "number", SequenceField(scope="kind", separator="--")),
    ]


def alter_name() -> list[Any]:
    return [
        migrations.AlterField("letter", "number", SequenceField("post.2030", scope="kind")),
        migrations.AlterField("letter", "number", SequenceField(scope="kind")),
    ]


CHANGES = {
    "RenameModel": rename_model,
    "RenameField": rename_field,
    "db_column": alter_column,
    "AlterModelTable": alter_table,
    "separator": alter_separator,
    "sequence_name": alter_name,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_counter_without_a_name_follows_its_column(change: Any, using: str, steps: Steps) -> None:
    """Renaming the table or the column renames the counters, also in reverse."""
    model = steps.apply(create(("number", SequenceField(scope="kind"))))
    counts: dict[str, int] = {}

    def insert(model: Any) -> None:
        (field,) = (field for field in model._meta.fields if isinstance(field, SequenceField))
        for kind in ("a", "A_", "a%", ".é-"):
            counts[kind] = counts.get(kind, 0) + 1
            row = model.objects.using(using).create(kind=kind)
            assert getattr(row, field.name) == counts[kind]
        model.objects.using(using).filter(kind="a%").delete()  # the counter is all that knows

    insert(model)
    done = len(steps.done)
    for operation in change():
        insert(steps.apply(operation))
    while len(steps.done) > done:
        steps.undo_one()
        insert(steps.model)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_voids_follow_their_counter(change: Any, using: str, steps: Steps) -> None:
    """Voids are renamed with their counter, and deleted with the table."""
    field = SequenceField(scope="kind")
    model = steps.apply(create(("number", field)))
    for kind in ("a.b", "A_"):
        row = model.objects.using(using).create(kind=kind)
        row.delete()
        name = row._meta.get_field("number").counter_of(row, using)
        record_void(name, row.number, reason=kind, using=using)
    for operation in change():
        model = steps.apply(operation)
        (number,) = (field for field in model._meta.fields if isinstance(field, SequenceField))
        for kind in ("a.b", "A_"):
            name = number.counter_of(model(kind=kind), using)
            assert name is not None
            assert get_last_value(name, using=using) == 1
            assert Void.objects.using(using).get(counter=name).reason == kind
    steps.undo()
    assert not Void.objects.using(using).filter(counter__contains="letter").exists()


RETYPED: dict[str, tuple[models.Field[Any, Any], models.Field[Any, Any], Any]] = {
    "text to integer": (models.CharField(max_length=9), models.IntegerField(), "07"),
    "places": (
        models.DecimalField(max_digits=8, decimal_places=2),
        models.DecimalField(max_digits=8, decimal_places=1),
        Decimal("1.25"),
    ),
    "date to datetime": (models.DateField(), models.DateTimeField(), date(2030, 1, 1)),
}


@pytest.mark.filterwarnings("ignore:DateTimeField")  # for a date as the value of a datetime
@pytest.mark.parametrize("kind", RETYPED)
@pytest.mark.parametrize("path", [False, True])
def test_a_scope_whose_column_changes_its_type(
    kind: str, path: bool, using: str, steps: Steps
) -> None:
    """The text of a value can change with its column, but the next number is the same."""
    before, after, value = RETYPED[kind]
    key = ("id", models.BigAutoField(primary_key=True))
    scope = "box__kind" if path else "kind"
    number = ("number", SequenceField("boxes", scope=scope))
    if path:
        box = models.ForeignKey(f"{LABEL}.Box", models.CASCADE)
        steps.apply(migrations.CreateModel("Box", [key, ("kind", before)]))
        steps.apply(migrations.CreateModel("Letter", [key, ("box", box), number]))
    else:
        steps.apply(migrations.CreateModel("Letter", [key, ("kind", before), number]))

    def insert() -> int:
        model = steps.states[-1].apps.get_model(LABEL, "Letter")
        rows = model._default_manager.using(using)
        if (sample := rows.first()) is not None:
            sample.pk, sample._state.adding = None, True
            sample.save(using=using)
            return int(sample.number)
        if not path:
            return int(rows.create(kind=value).number)
        boxes = steps.states[-1].apps.get_model(LABEL, "Box")._default_manager.using(using)
        return int(rows.create(box=boxes.create(kind=value)).number)

    assert [insert(), insert()] == [1, 2]
    steps.apply(migrations.AlterField("Box" if path else "Letter", "kind", after))
    assert [insert(), insert()] == [3, 4]
    steps.undo_one()
    assert insert() == 5


@pytest.mark.parametrize("period", [Day, Year])
def test_a_period_whose_date_becomes_a_datetime(period: Any, using: str, steps: Steps) -> None:
    """The time zone that it needs then can be added by the next operation."""
    key = ("id", models.BigAutoField(primary_key=True))
    number = ("number", SequenceField("boxes", scope=period("kind")))
    steps.apply(migrations.CreateModel("Letter", [key, ("kind", models.DateField()), number]))
    assert rows_of(steps, "Letter").create(kind=date(2030, 1, 2)).number == 1
    with_zone = SequenceField("boxes", scope=period("kind", tz="UTC"))
    steps.apply(
        migrations.AlterField("Letter", "kind", models.DateTimeField()),
        migrations.AlterField("Letter", "number", with_zone),
    )
    assert rows_of(steps, "Letter").create(kind=datetime(2030, 1, 2, 12, tzinfo=UTC)).number == 2
    steps.undo_one()
    steps.undo_one()
    assert rows_of(steps, "Letter").create(kind=date(2030, 1, 2)).number == 3


def rows_of(steps: Steps, name: str) -> Any:
    return steps.states[-1].apps.get_model(LABEL, name)._default_manager.using(steps.using)


def test_two_numbers_whose_scope_changes_its_type(using: str, steps: Steps) -> None:
    """The counters of both fields are copied, also those without rows."""
    numbers = [(name, SequenceField(name, scope="kind")) for name in ("a", "b")]
    key, kind = ("id", models.BigAutoField(primary_key=True)), models.CharField(max_length=9)
    letters = steps.apply(migrations.CreateModel("Letter", [key, ("kind", kind), *numbers]))
    for text in ("07", "08"):
        letters._default_manager.using(using).create(kind=text)
    letters._default_manager.using(using).filter(kind="08").delete()
    letters = steps.apply(migrations.AlterField("Letter", "kind", models.IntegerField()))
    rows = [letters._default_manager.using(using).create(kind=number) for number in (7, 8)]
    assert [(row.a, row.b) for row in rows] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("scope", ["box", "box__shelf"])
@pytest.mark.parametrize("is_key", [True, False])
def test_a_scope_whose_foreign_key_changes_its_type(
    is_key: bool, scope: str, using: str, steps: Steps
) -> None:
    """Django alters a foreign key with the key that it refers to."""
    key = ("id", models.BigAutoField(primary_key=True))
    options: dict[str, Any] = {"primary_key": True} if is_key else {"unique": True}
    target: dict[str, Any] = {} if is_key else {"to_field": "code"}
    code = models.CharField(max_length=9, **options)
    first = "Shelf" if scope == "box__shelf" else "Box"
    steps.apply(migrations.CreateModel(first, [*([] if is_key else [key]), ("code", code)]))
    link = models.ForeignKey(f"{LABEL}.{first}", models.CASCADE, **target)
    if first == "Shelf":
        steps.apply(migrations.CreateModel("Box", [key, ("shelf", link)]))
        link = models.ForeignKey(f"{LABEL}.Box", models.CASCADE)
    number = ("number", SequenceField("boxes", scope=scope))
    steps.apply(migrations.CreateModel("Letter", [key, ("box", link), number]))
    boxes = [rows_of(steps, first).create(code=text) for text in ("07", "08")]
    if first == "Shelf":
        boxes = [rows_of(steps, "Box").create(shelf=shelf) for shelf in boxes]
    letters = [rows_of(steps, "Letter").create(box=box) for box in boxes]
    letters[1].delete()
    steps.apply(migrations.AlterField(first, "code", models.IntegerField(**options)))
    for box in rows_of(steps, "Box").all():
        assert rows_of(steps, "Letter").create(box=box).number == 2
    steps.undo_one()
    box = rows_of(steps, "Box").order_by("pk").first()
    assert rows_of(steps, "Letter").create(box=box).number == 3


@pytest.mark.parametrize("is_link", [True, False])
def test_a_scope_in_a_primary_key_changes_its_type(is_link: bool, using: str, steps: Steps) -> None:
    """The rows are found again, although their keys have changed."""
    code: Any = models.CharField(max_length=9, primary_key=True)
    steps.apply(migrations.CreateModel("Box", [("code", code)]))
    box: Any = models.CharField(max_length=9)
    if is_link:
        box = models.ForeignKey(f"{LABEL}.Box", models.CASCADE)
    number = ("number", SequenceField("boxes", scope="box"))
    key = ("pk", models.CompositePrimaryKey("box", "number"))
    steps.apply(migrations.CreateModel("Letter", [key, ("box", box), number]))
    rows_of(steps, "Box").create(code="07")
    name = "box_id" if is_link else "box"
    assert rows_of(steps, "Letter").create(**{name: "07"}).number == 1
    if is_link:
        code = models.IntegerField(primary_key=True)
        steps.apply(migrations.AlterField("Box", "code", code))
    else:
        steps.apply(migrations.AlterField("Letter", "box", models.IntegerField()))
    assert rows_of(steps, "Letter").create(**{name: 7}).number == 2


def test_migrations_that_change_no_text(using: str, steps: Steps) -> None:
    """No row is read if the type of a scope's column stays, and models may be renamed."""
    key = ("id", models.BigAutoField(primary_key=True))
    box = models.ForeignKey(f"{LABEL}.Box", models.CASCADE)
    number = ("number", SequenceField("boxes", scope=["box__kind", "box__count"]))
    kind, count = models.CharField(max_length=9), models.IntegerField(default=0)
    steps.apply(migrations.CreateModel("Box", [key, ("kind", kind), ("count", count)]))
    steps.apply(migrations.CreateModel("Letter", [key, ("box", box), number]))
    boxes = steps.states[-1].apps.get_model(LABEL, "Box")._default_manager.using(using)
    steps.model._default_manager.using(using).create(box=boxes.create(kind="a"))
    named = models.CharField(max_length=9, verbose_name="sort", choices=[("a", "A")])
    with CaptureQueriesContext(connections[using]) as queries:
        steps.apply(migrations.AlterField("Box", "kind", named))
        steps.apply(migrations.AlterField("Box", "count", models.BigIntegerField(default=0)))
    assert not [each["sql"] for each in queries if "letters_letter" in each["sql"]]
    steps.apply(migrations.RenameModel("Box", "Crate"))
    rows = steps.states[-1].apps.get_model(LABEL, "Letter")._default_manager.using(using)
    assert rows.create(box_id=rows.get().box_id).number == 2


def test_a_model_that_refers_to_itself_is_renamed(using: str, steps: Steps) -> None:
    """The counters stay those of its rows."""
    key = ("id", models.BigAutoField(primary_key=True))
    answers = ("answers", models.ForeignKey(f"{LABEL}.Letter", models.CASCADE, null=True))
    number = ("number", SequenceField("letters", scope="answers", null=True))
    options = {"db_table": "letters_of_old"}
    steps.apply(migrations.CreateModel("Letter", [key, answers, number], options))
    rows = steps.model._default_manager.using(using)
    first = rows.create()
    rows.create(answers=first)
    steps.apply(migrations.RenameModel("Letter", "Message"))
    assert steps.model._default_manager.using(using).create(answers_id=first.pk).number == 2


def name_of(letter: Any) -> str:
    return str(letter.get_kind_display())[:1]


def test_a_scope_with_a_function_is_not_followed(using: str, steps: Steps) -> None:
    """The function may need a method that the models of migrations lack."""
    kind = models.CharField(max_length=9)
    number = ("number", SequenceField("letters", scope=["kind", name_of]))
    key = ("id", models.BigAutoField(primary_key=True))
    steps.apply(migrations.CreateModel("Letter", [key, ("kind", kind), number]))
    with connections[using].cursor() as cursor:
        cursor.execute(f"INSERT INTO {steps.model._meta.db_table} (kind, number) VALUES ('7', 1)")
    steps.apply(migrations.AlterField("Letter", "kind", models.IntegerField()))


def test_a_counter_without_a_name_ends_with_its_table(using: str, steps: Steps) -> None:
    """A recreated table is numbered from 1; a sequence with a name keeps its counter."""
    fields = [("number", SequenceField(scope="kind")), ("other", SequenceField("letters"))]
    for expected in (1, 2):
        model = steps.apply(create(*fields))
        row = model.objects.using(using).create()
        assert (row.number, row.other) == (1, expected)
        steps.undo_one()
    assert get_last_value("letters_letter.number.k", using=using) is None
    assert get_last_value("letters", using=using) == 2


def test_a_field_that_gets_a_name_keeps_its_numbers(using: str, steps: Steps) -> None:
    """Naming the sequence of a field that had none renames the counter."""
    model = steps.apply(create(("number", SequenceField())))
    model.objects.using(using).create()
    model = steps.apply(migrations.AlterField("letter", "number", SequenceField("letters")))
    assert model.objects.using(using).create().number == 2


def test_sqlmigrate_renames_no_counter(using: str, steps: Steps) -> None:
    """sqlmigrate changes no counters."""
    model = steps.apply(create(("number", SequenceField())))
    model.objects.using(using).create()
    state = steps.states[-1].clone()
    operation = migrations.RenameModel("Letter", "Brief")
    after = state.clone()
    operation.state_forwards(LABEL, after)
    with connections[using].schema_editor(collect_sql=True) as editor:
        operation.database_forwards(LABEL, editor, state, after)
    assert get_last_value("letters_letter.number", using=using) == 1


PROJECT = {
    "settings.py": """
SECRET_KEY = "none"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3",
                         "OPTIONS": {"transaction_mode": "IMMEDIATE"}}}
INSTALLED_APPS = ["sequences_core", "letters"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "letters/__init__.py": "",
    "letters/models.py": """
from django.db import models
from django.db.models import F, Value
from sequences_contrib.fields import SequenceField

def kinds(letter): return [letter.kind]
def first(letter): return 10

class Box(models.Model):
    code = models.CharField(max_length=9)

class Letter(models.Model):
    kind = models.CharField(max_length=9)
    box = models.ForeignKey(Box, models.CASCADE)
    a = SequenceField()
    b = SequenceField(unique_with=("kind", "box"))
    c = SequenceField(scope=[F("box__code"), Value("x"), 1, kinds], initial_value=first)
    d = SequenceField(unique_with="kind", reuse="gaps", initial_value=0)
""",
}


MANAGE = """
import importlib
import sys

from django.core.management import execute_from_command_line

for command in sys.argv[1:]:
    execute_from_command_line(["manage.py", *command.split()])
    importlib.invalidate_caches()  # a migration may have been written
"""


def test_makemigrations_is_stable(tmp_path: Path) -> None:
    """Makemigrations writes a migration that runs, finds nothing more, and can be undone."""
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def manage(*commands: str) -> None:
        """Run the commands in one process, because each takes a while to start."""
        done = subprocess.run(
            [sys.executable, "-c", MANAGE, *commands],
            cwd=tmp_path,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "settings"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    stable = "makemigrations --check --dry-run"
    manage("makemigrations letters", stable, "migrate", "check --fail-level=WARNING")
    models_file = tmp_path / "letters" / "models.py"
    source = models_file.read_text()
    models_file.write_text(source.replace("    d = Seq", "    # "))
    manage("makemigrations letters", stable, "migrate", "migrate letters zero")


def test_f_in_a_scope_is_compared_by_value() -> None:
    """Two fields with equal scopes are equal to makemigrations, with others not."""
    states = [
        state_of(letter(SequenceField(scope=scope))) for scope in (F("kind"), F("kind"), "kind")
    ]
    assert changes(states[0], states[1]) == []
    assert len(changes(states[0], states[2])) == 1


def test_next_value_as_a_db_default_is_written_down() -> None:
    """A migration names the expression with its arguments, and is made for other ones only."""
    fields = [models.BigIntegerField(db_default=NextValue("p", initial)) for initial in (5, 5, 6)]
    text, imports = MigrationWriter.serialize(fields[0])
    assert "NextValue('p', 5)" in text
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    again = eval(text, names)
    assert again.db_default == fields[0].db_default != fields[2].db_default
    states = [state_of(letter(field)) for field in (*fields, again)]
    assert changes(states[0], states[0].clone()) == []
    assert changes(states[0], states[1]) == []
    assert changes(states[0], states[3]) == []
    assert len(changes(states[0], states[2])) == 1
