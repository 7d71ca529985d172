"""The next number is what it would be without migrations: 1 to n, whatever is renamed or moved.

A project changes its models at random. What ``makemigrations`` would write for that is applied,
or taken back, and rows are inserted between, by the models and by those of the migrations' state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.management.commands import makemigrations
from django.db import connections, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField

from sequences_core.models import Counter
from tests.properties.columns import binary

APPS: list[str] = []

examples = settings(
    max_examples=8,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Yes(MigrationQuestioner):
    """Answers the questions of makemigrations: yes, it was renamed."""

    def ask_rename(self, *args: Any) -> bool:
        return True

    def ask_rename_model(self, *args: Any) -> bool:
        return True

    def ask_not_null_alteration(self, *args: Any) -> Any:
        return models.NOT_PROVIDED


@dataclass(frozen=True)
class Project:
    """The contents of a project's models.py."""

    scoped: str = ""
    app: str = "properties"
    model: str = "Letter"
    table: str = ""
    number: str = "number"
    column: str = ""
    team: str = "team"
    type: str = "CharField"
    options: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)

    def make(self, using: str) -> Any:
        """Return the model, as a class that nothing else knows."""
        meta: dict[str, Any] = {"app_label": self.app, "apps": Apps(), **self.meta}
        if self.table:
            meta["db_table"] = self.table
        options: dict[str, Any] = dict(self.options)
        if self.column:
            options["db_column"] = self.column
        if self.scoped:
            options[self.scoped] = self.team
        attributes: dict[str, Any] = {
            self.team: TYPES[self.type](using),
            **{
                name: models.CharField(max_length=length, default="")
                for name, length in self.fields.items()
            },
            self.number: SequenceField(**options),
            "__module__": "properties.models",
            "Meta": type("Meta", (), meta),
        }
        return type(self.model, (models.Model,), attributes)


# What the column of the scope can be, in this order, which loses no value.
TYPES: dict[str, Callable[[str], models.Field[Any, Any]]] = {
    "CharField": lambda using: models.CharField(
        max_length=9, default="7", db_collation=binary(using)
    ),
    "IntegerField": lambda using: models.IntegerField(default=7),
    "FloatField": lambda using: models.FloatField(default=7),
    "DecimalField": lambda using: models.DecimalField(
        max_digits=9, decimal_places=2, default=Decimal(7)
    ),
    "BigIntegerField": lambda using: models.BigIntegerField(default=7),
}


def other(value: str, values: tuple[str, ...]) -> str:
    return values[(values.index(value) + 1) % len(values)]


def toggled(options: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name in options:
        return {key: each for key, each in options.items() if key != name}
    return {**options, name: value}


# What can happen to a models.py between two runs of makemigrations.
CHANGES: dict[str, Callable[[Project], Project]] = {
    "RenameField": lambda p: replace(p, number=other(p.number, ("number", "position", "serial"))),
    "RenameField of the scope": lambda p: replace(p, team=other(p.team, ("team", "group"))),
    "AlterField of the scope": lambda p: replace(p, type=other(p.type, (*TYPES,))),
    "RenameModel": lambda p: replace(p, model=other(p.model, ("Letter", "Brief", "Epistle"))),
    "AlterModelTable": lambda p: replace(p, table=other(p.table, ("", "properties_post", "Mail"))),
    "db_column": lambda p: replace(p, column=other(p.column, ("", "no", "number_of_letter"))),
    "verbose_name": lambda p: replace(p, options=toggled(p.options, "verbose_name", "Nr.")),
    "null": lambda p: replace(p, options=toggled(p.options, "null", True)),
    "index": lambda p: replace(p, options=toggled(p.options, "db_index", True)),
    "initial_value": lambda p: replace(p, options=toggled(p.options, "initial_value", 5)),
    "timeout": lambda p: replace(p, options=toggled(p.options, "timeout", 9)),
    "AlterModelOptions": lambda p: replace(p, meta=toggled(p.meta, "verbose_name", "post")),
    "AddField or RemoveField": lambda p: replace(p, fields=toggled(p.fields, "note", 9)),
    "AlterField of another": lambda p: replace(
        p, fields={name: length + 1 for name, length in p.fields.items()}
    ),
}


class History:
    """A database that follows the project, and the numbers that it has given."""

    def __init__(self, using: str, scoped: str) -> None:
        self.using = using
        self.states: list[tuple[migrations.Migration, Project, ProjectState]] = []
        self.project = Project(scoped=scoped)
        self.state = ProjectState()
        self.given: dict[str, int] = {}
        self.apply(self.written_for(self.project))

    def written_for(self, project: Project) -> list[Operation]:
        """Return the operations that ``makemigrations`` would write."""
        wanted = ProjectState()
        wanted.add_model(ModelState.from_model(project.make(self.using)))
        # The command's own, which an app may have made another.
        detector: Any = makemigrations.Command.autodetector(self.state, wanted, Yes())
        found = detector._detect_changes()
        return [each for app in found.values() for step in app for each in step.operations]

    def apply(self, operations: list[Operation]) -> None:
        migration = migrations.Migration(f"{len(self.states):04}", self.project.app)
        migration.operations = operations  # type: ignore[misc] # as its subclasses do
        self.states.append((migration, self.project, self.state))
        with connections[self.using].schema_editor(atomic=migration.atomic) as editor:
            self.state = migration.apply(self.state.clone(), editor)

    def change(self, name: str) -> None:
        project = CHANGES[name](self.project)
        operations = self.written_for(project)
        if operations:
            self.apply(operations)
        self.project = project

    def back(self) -> None:
        """Take the last migration back, and models.py with it; the first one stays."""
        if len(self.states) < 2:
            return
        migration, self.project, state = self.states.pop()
        with connections[self.using].schema_editor(atomic=migration.atomic) as editor:
            migration.unapply(state, editor)
        self.state = state

    def move(self, app: str) -> None:
        """Let another app have the model, as it is done by hand: the table is only renamed."""
        old, new = self.project, replace(self.project, app=app, table="")
        model = new.make(self.using)
        created = ModelState.from_model(model)
        self.apply(
            [
                migrations.SeparateDatabaseAndState(
                    database_operations=[
                        migrations.AlterModelTable(old.model, model._meta.db_table)
                    ],
                )
            ]
        )
        del self.state.models[old.app, old.model.lower()]
        self.state.add_model(created)
        self.state = self.state.clone()
        self.project = new

    def model(self, historical: bool) -> Any:
        if historical:
            return self.state.apps.get_model(self.project.app, self.project.model)
        return self.project.make(self.using)

    def insert(self, team: str, historical: bool, in_bulk: bool) -> None:
        """Insert a row, or two, and see whether they have the numbers that come next."""
        model = self.model(historical)
        rows = model._default_manager.using(self.using)
        made = [model(**{self.project.team: team}) for _ in range(1 + in_bulk)]
        if in_bulk:
            rows.bulk_create(made)
        else:
            made[0].save(using=self.using)
        scope = team if self.project.scoped else ""
        first = self.project.options.get("initial_value", 1)
        number = self.project.number
        newest = rows.order_by("-pk").values_list(number, flat=True)[: len(made)]
        for row, stored in zip(made, reversed(newest), strict=True):
            expected = self.given.get(scope, first - 1) + 1
            assert stored == getattr(row, number) == expected
            self.given[scope] = expected

    def delete_last(self) -> None:
        """A number is used, whether or not its row is still there."""
        last = self.model(False)._default_manager.using(self.using).order_by("pk").last()
        if last is not None:
            last.delete()

    def end(self) -> None:
        table = self.model(False)._meta.db_table
        with connections[self.using].cursor() as cursor:
            cursor.execute(f"DROP TABLE {connections[self.using].ops.quote_name(table)}")
        Counter._default_manager.using(self.using).all().delete()


INSERT = st.tuples(
    st.just("insert"), st.sampled_from("78"), st.booleans(), st.integers(0, 3).map(lambda n: n == 0)
)
CHANGE = st.tuples(st.just("change"), st.sampled_from([*CHANGES]))
BACK = st.just(("back",))
DELETE = st.just(("delete",))
STEPS = st.lists(INSERT | CHANGE | CHANGE | BACK | DELETE, min_size=3, max_size=8)

Steps = list[tuple[Any, ...]]


def follow(history: History, steps: Steps) -> None:
    history.insert("7", False, True)
    for kind, *arguments in steps:
        match kind:
            case "insert":
                history.insert(*arguments)
            case "change":
                history.change(*arguments)
            case "back":
                history.back()
            case "delete":
                history.delete_last()
    history.insert("7", False, False)


@pytest.fixture
def histories(using: str) -> Iterator[Callable[[str], History]]:
    """Databases without tables of the project, which have none afterwards either."""
    made: list[History] = []

    def begin(scoped: str) -> History:
        while made:
            made.pop().end()
        history = History(using, scoped)
        made.append(history)
        return history

    yield begin
    while made:
        made.pop().end()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("scoped", ["", "unique_with"])
def test_each_change(change: str, scoped: str, histories: Any) -> None:
    """One change, forwards and backwards, with rows of both kinds of models before and after."""
    history = histories(scoped)
    for in_bulk in (False, True):
        history.insert("7", False, in_bulk)
        history.change(change)
        history.insert("7", True, in_bulk)
        history.insert("7", False, in_bulk)
        history.delete_last()
        history.back()
        history.insert("7", False, in_bulk)
        history.insert("7", True, in_bulk)
        history.change(change)
        history.insert("7", False, in_bulk)


@pytest.mark.parametrize("scoped", ["", "scope", "unique_with"])
def test_random_changes(scoped: str, histories: Any) -> None:
    """Any changes in any order, some of them taken back."""

    @examples
    @given(STEPS)
    def check(steps: Steps) -> None:
        follow(histories(scoped), steps)

    check()


def test_a_scope_without_rows(histories: Any) -> None:
    """A number is used although its row was deleted before the scope's column got another type."""
    change = ("change", "AlterField of the scope")
    insert = ("insert", "8", False, False)
    follow(histories("scope"), [insert, ("delete",), change, change, change, insert])


@pytest.mark.parametrize("scoped", ["", "unique_with"])
def test_another_app(scoped: str, histories: Any) -> None:
    """The model moves to another app, and back later; the table is renamed with it."""
    history = histories(scoped)
    history.insert("7", False, True)
    for app in ("elsewhere", "properties"):
        history.move(app)
        history.insert("7", False, False)
        history.insert("7", True, True)


def test_a_new_table_of_an_old_name(histories: Any) -> None:
    """Once the table has another name, what gets the old one begins at 1."""
    history = histories("")
    history.insert("7", False, True)
    history.change("RenameModel")
    history.insert("7", False, False)
    fresh = Project(model="Letter")
    model = fresh.make(history.using)
    with connections[history.using].schema_editor() as editor:
        editor.create_model(model)
    try:
        row = model._default_manager.using(history.using).create()
        assert row.number == 1
        history.insert("7", False, False)
    finally:
        with connections[history.using].schema_editor() as editor:
            editor.delete_model(model)
