"""Blocks that the tests of the field run statements in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from django.db import connections, migrations, models, transaction
from django.db.migrations.state import ProjectState
from django.test.utils import isolate_apps
from pytest_django.asserts import assertNumQueries

from sequences_core.testing import threads

MODES = {"autocommit": False, "atomic": True}

PATIENCE = 120
"""Seconds after which something that should have happened never will."""


def together(functions: list[Callable[[], Any]], using: str) -> None:
    """Run the functions at once, each in a thread with a connection of its own."""
    threads.together(functions, using, patience=PATIENCE)


def statements(using: str, expected: Mapping[str, int]) -> AbstractContextManager[Any]:
    """Assert how many statements the block sends, by the alias or, for all others, ""."""
    return assertNumQueries(expected[using if using in expected else ""], using=using)


def model_with(name: str = "Letter", /, **fields: models.Field[Any, Any]) -> Any:
    """A model that is for one test; to be made in isolate_apps()."""
    meta = type("Meta", (), {"app_label": "numbered"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


@contextmanager
def tables(using: str, *models_: type[models.Model]) -> Iterator[None]:
    """Create the tables of models without migrations during the block."""
    with connections[using].schema_editor() as editor:
        for model in models_:
            editor.create_model(model)
    try:
        yield
    finally:
        with connections[using].schema_editor() as editor:
            for model in reversed(models_):
                editor.delete_model(model)


@contextmanager
def letters(using: str, **fields: models.Field[Any, Any]) -> Iterator[Any]:
    """The rows of a model with these fields, and with a table."""
    with isolate_apps("tests.numbered"):
        model = model_with(**fields)
    with tables(using, model):
        yield model.objects.using(using)


@contextmanager
def rolled_back(using: str) -> Iterator[None]:
    """A transaction or savepoint that is rolled back at its end."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def atomic_if(condition: bool, using: str) -> Any:
    """A transaction or savepoint, or nothing at all."""
    return transaction.atomic(using=using) if condition else nullcontext()


class Steps:
    """Applies operations to one database, and undoes them."""

    label = "letters"
    """The label of an application that is no other's."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.states = [ProjectState()]
        self.done: list[migrations.Migration] = []

    def apply(self, *operations: Any) -> Any:
        """Apply them, each as a migration of its own; return the model."""
        for operation in operations:
            migration = migrations.Migration(f"{len(self.done):04}", self.label)
            migration.operations = [operation]  # type: ignore[misc] # as makemigrations does
            with connections[self.using].schema_editor(atomic=True) as editor:
                self.states.append(migration.apply(self.states[-1].clone(), editor))
            self.done.append(migration)
        return self.model

    @property
    def model(self) -> Any:
        """The model that was created last."""
        *_, (_, name) = self.states[-1].models
        return self.states[-1].apps.get_model(self.label, name)

    def undo_one(self) -> None:
        self.states.pop()
        with connections[self.using].schema_editor(atomic=True) as editor:
            self.done.pop().unapply(self.states[-1].clone(), editor)

    def undo(self) -> None:
        while self.done:
            self.undo_one()


@pytest.fixture
def steps(using: str) -> Iterator[Steps]:
    """Give a module that imports this an application without models; its steps are undone."""
    steps = Steps(using)
    try:
        yield steps
        steps.undo()
        assert "letters_letter" not in connections[using].introspection.table_names()
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS letters_letter")
