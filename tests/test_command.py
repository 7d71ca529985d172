"""``manage.py sequences``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.management import CommandError, call_command
from django.db import connections, models, transaction

from sequences_core import get_allocator, get_next_value
from sequences_core.models import Counter


def run(*args: str, using: str) -> str:
    """Run the command on the database ``using``, and return what it printed."""
    out = StringIO()
    call_command("sequences", *args, "--database", using, stdout=out, no_color=True)
    return out.getvalue()


def make(using: str, **counters: int) -> None:
    Counter.objects.using(using).bulk_create(
        [Counter(name=name, last=last) for name, last in counters.items()]
    )


def counters(using: str) -> dict[str, int]:
    return dict(Counter.objects.using(using).values_list("name", "last"))


class Numbers(models.Model):
    """A home-made table of counters, which refuses nothing."""

    name = models.CharField(max_length=300, primary_key=True)
    last = models.BigIntegerField()

    class Meta:
        apps = Apps()  # known to no migration
        app_label = "tests"

    def __str__(self) -> str:
        return self.name


@contextmanager
def table_of(model: type[models.Model], using: str, **rows: int) -> Iterator[models.QuerySet[Any]]:
    """The model's table, with ``rows`` in it."""
    with connections[using].schema_editor() as editor:
        editor.create_model(model)
    try:
        objects = model._default_manager.using(using)
        for name, last in rows.items():
            objects.create(name=name, last=last)
        yield objects
    finally:
        with connections[using].schema_editor() as editor:
            editor.delete_model(model)


@pytest.fixture
def django_sequences(settings: Any) -> type[models.Model]:
    """The model of the real django-sequences."""
    settings.INSTALLED_APPS = ["sequences_core", "sequences"]
    from sequences.models import Sequence

    model: type[models.Model] = Sequence
    return model


def test_list_shows_names_and_last_numbers(using: str) -> None:
    """A line for each sequence, in the order of the names."""
    assert run("list", using=using) == ""
    make(using, refunds=7, invoices=1234)
    assert run("list", using=using) == "1234  invoices\n   7  refunds\n"


def test_set_raises_and_lowers_by_force_only(using: str) -> None:
    """``set`` is set_last_value, its refusals are CommandErrors that change nothing."""
    assert "'a'" in run("set", "a", "10", using=using)
    with pytest.raises(CommandError, match="force"):
        run("set", "a", "9", using=using)
    assert counters(using) == {"a": 10}
    run("set", "a", "9", "--force", using=using)
    assert counters(using) == {"a": 9}
    with pytest.raises(CommandError, match="between 0 and"):
        run("set", "a", str(2**63), using=using)
    with pytest.raises(CommandError, match="white space"):
        run("set", " a", "1", using=using)
    assert counters(using) == {"a": 9}


def test_delete_wants_a_sequence(using: str) -> None:
    """``delete`` deletes what is there, and what isn't is a CommandError."""
    make(using, a=1, b=2)
    assert "'a'" in run("delete", "a", using=using)
    assert counters(using) == {"b": 2}
    with pytest.raises(CommandError, match="no sequence 'a'"):
        run("delete", "a", using=using)


def test_install_can_be_run_again(using: str) -> None:
    """``install`` prepares the database for its backend, and does no harm the second time."""
    for _ in range(2):
        assert type(get_allocator(connections[using])).__name__ in run("install", using=using)
    with transaction.atomic(using=using):
        assert get_next_value("a", using=using) == 1


def test_copy_from_takes_over_django_sequences(
    using: str, django_sequences: type[models.Model]
) -> None:
    """Its counters become ours, and numbering goes on where it was."""
    with table_of(django_sequences, using, **{"default": 3, "é": 2**40, "100 %s": 5}):
        assert "Copied 3 of 3" in run("copy-from", using=using)
        assert counters(using) == {"default": 3, "é": 2**40, "100 %s": 5}
        with transaction.atomic(using=using):
            assert get_next_value(using=using) == 4


def test_copy_from_never_lowers(using: str, django_sequences: type[models.Model]) -> None:
    """A second run copies what has moved there, and leaves what is further here."""
    with table_of(django_sequences, using, a=10, b=20) as rows:
        make(using, a=11, c=1)
        assert "Copied 1 of 2" in run("copy-from", using=using)
        assert "Copied 0 of 2" in run("copy-from", using=using)
        assert counters(using) == {"a": 11, "b": 20, "c": 1}
        rows.filter(pk="b").update(last=21)
        assert "Copied 1 of 2" in run("copy-from", "sequences_sequence", using=using)
        assert counters(using) == {"a": 11, "b": 21, "c": 1}


@pytest.mark.parametrize(("name", "last"), [("z ", 1), ("z" * 256, 1), ("z", -1)])
def test_copy_from_is_all_or_nothing(using: str, name: str, last: int) -> None:
    """A name or value that is refused here is named, and then nothing is copied."""
    table = Numbers._meta.db_table
    with table_of(Numbers, using, a=1, **{name: last}) as rows:
        with pytest.raises(CommandError, match=f"'{name}'"):
            run("copy-from", table, using=using)
        assert counters(using) == {}
        rows.filter(name=name).delete()
        assert "Copied 1 of 1" in run("copy-from", table, using=using)


def test_copy_from_needs_the_table(using: str) -> None:
    """A table that isn't there, or has other columns, is a CommandError with the reason."""
    with pytest.raises(CommandError, match=r"'no_such'.*no_such"):
        run("copy-from", "no_such", using=using)
    with pytest.raises(CommandError, match="'django_migrations'"):
        run("copy-from", "django_migrations", using=using)


def test_a_missing_table_names_migrate(using: str) -> None:
    """Before ``migrate`` each subcommand says what to run."""
    connection = connections[using]

    def rename(old: str, new: str) -> None:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Counter, old, new)

    rename(Counter._meta.db_table, "sequences_core_hidden")
    try:
        for args in (["list"], ["set", "a", "1"], ["delete", "a"]):
            with pytest.raises(CommandError, match=r"manage\.py migrate sequences_core"):
                run(*args, using=using)
    finally:
        rename("sequences_core_hidden", Counter._meta.db_table)


@pytest.mark.django_db
def test_the_router_chooses_the_database(settings: Any) -> None:
    """Without --database the command works where numbers are taken; a wrong one is refused."""
    out = StringIO()
    settings.DATABASE_ROUTERS = ["tests.test_command.NowhereRouter"]
    with pytest.raises(connections.exception_class, match="nowhere"):
        call_command("sequences", "list", stdout=out)
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("sequences", "list", "--database", "nowhere", stdout=out)


class NowhereRouter:
    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "nowhere"
