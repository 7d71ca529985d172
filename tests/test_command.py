"""``manage.py sequences``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.management import CommandError, call_command
from django.db import connections, models, transaction
from django.test.utils import isolate_apps

from sequences_core import get_allocator, get_last_value, get_next_value, set_last_value
from sequences_core.commands import counters as counter_commands
from sequences_core.models import Counter
from sequences_core.testing.threads import Elsewhere
from tests.numbered.models import Plain

APPS = ["tests.numbered"]


def run(*args: str, using: str, **options: Any) -> str:
    """Run the command on the database ``using``, and return what it printed."""
    out = StringIO()
    call_command("sequences", *args, "--database", using, stdout=out, no_color=True, **options)
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


def test_list_shows_names_last_numbers_and_users(using: str) -> None:
    """A line for each sequence, in the order of the names."""
    assert run("list", using=using) == "sequence  last  used by\n"
    make(using, refunds=7, invoices=1234)
    assert run("list", using=using) == (
        "sequence  last  used by\ninvoices  1234  numbered.Invoice.number\nrefunds      7\n"
    )


def test_list_searches_names_and_users(using: str) -> None:
    """The search ignores case on every database."""
    make(using, refunds=7, Été=1, invoices=1234)

    def found(text: str) -> list[str]:
        values = json.loads(run("list", "--search", text, "--format", "json", using=using))
        return [value["name"] for value in values]

    assert found("éTÉ") == ["Été"]
    assert found("FUN") == ["refunds"]
    assert found("Numbered.invoice") == ["invoices"]
    assert found("no such") == []


def test_list_as_json(using: str) -> None:
    """JSON has the numbers and fields unchanged, for other programs."""
    make(using, invoices=2**63 - 1)
    assert json.loads(run("list", "--format=json", using=using)) == [
        {"name": "invoices", "last": 2**63 - 1, "fields": ["numbered.Invoice.number"]}
    ]


def test_a_terminal_obeys_no_name(using: str) -> None:
    """Control characters in names are escaped, so they don't affect the terminal or the table."""
    make(using, **{"a\x1b[2Jb\nc": 1})
    assert "a\\x1b[2Jb\\nc" in run("list", using=using)


def test_next_takes_numbers(using: str) -> None:
    """One, or a block; each on its own line. They are taken when they are printed."""
    make(using, a=41)
    assert run("next", "a", using=using) == "42\n"
    assert run("next", "a", "--count", "3", using=using) == "43\n44\n45\n"
    assert run("next", "a", "--count=0", using=using) == ""
    assert counters(using) == {"a": 45}


def test_next_creates_no_sequence(using: str) -> None:
    """A typing error is no new sequence; a bad count and the end of the numbers change nothing."""
    make(using, a=2**63 - 2)
    with pytest.raises(CommandError, match="has no sequence 'b'"):
        run("next", "b", using=using)
    with pytest.raises(CommandError, match="count must be between 0 and"):
        run("next", "a", "--count", "-1", using=using)
    with pytest.raises(CommandError, match="would pass"):
        run("next", "a", "--count", "2", using=using)
    assert counters(using) == {"a": 2**63 - 2}


def test_set_raises_and_lowers_by_force_only(using: str) -> None:
    """A lowered counter says what it would give again, or will."""
    make(using, a=10)
    run("set", "a", "12", using=using)
    for value, again in (("11", "12"), ("9", "10 to 12")):
        with pytest.raises(CommandError, match=f"is 12: .* give {again} again; --force"):
            run("set", "a", value, using=using)
    assert counters(using) == {"a": 12}
    err = StringIO()
    run("set", "a", "9", "--force", using=using, stderr=err)
    assert err.getvalue() == "It will give 10 to 12 again.\n"
    assert counters(using) == {"a": 9}


def test_set_sees_what_is_locked(using: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the locked counter, not a REPEATABLE READ snapshot, so that --force works."""
    make(using, a=10)
    connection = connections[using]
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    overtakes = [True]

    def overtaken(*args: Any, **kwargs: Any) -> int | None:
        last = get_last_value(*args, **kwargs)
        if overtakes and last == 10 and overtakes.pop():
            taker = Elsewhere(lambda: set_last_value(20, "a", using=using), using)
            taker.start()
            taker.result()
        return last

    monkeypatch.setattr(counter_commands, "get_last_value", overtaken)
    with pytest.raises(CommandError, match=r"is 20: .* give 16 to 20 again; --force"):
        run("set", "a", "15", using=using)
    Counter.objects.using(using).update(last=10)
    overtakes.append(True)
    run("set", "a", "15", "--force", using=using)
    connection.close()
    assert counters(using) == {"a": 15}


def test_set_creates_if_told_to(using: str) -> None:
    """A typing error is no new sequence."""
    with pytest.raises(CommandError, match="has no sequence 'a'; --create creates it"):
        run("set", "a", "10", using=using)
    assert "'a'" in run("set", "a", "10", "--create", using=using)
    run("set", "a", "11", "--create", using=using)
    assert counters(using) == {"a": 11}


@pytest.mark.parametrize("create", [[], ["--create"]])
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("a", str(2**63), "between 0 and"),
        ("a", "-5", "between 0 and"),
        (" a", "1", "white space"),
        ("", "1", "1 to 255"),
    ],
)
def test_set_refuses_what_no_sequence_can_be(
    create: list[str], name: str, value: str, problem: str, using: str
) -> None:
    """Invalid values are refused with any options, and nothing changes."""
    make(using, a=9)
    with pytest.raises(CommandError, match=problem):
        run("set", name, value, *create, using=using)
    assert counters(using) == {"a": 9}


def test_rename(using: str) -> None:
    """Nobody is asked if no field uses the old name."""
    make(using, a=1, b=2)
    assert "'c'" in run("rename", "a", "c", using=using)
    with pytest.raises(CommandError, match="there is a sequence 'c' already"):
        run("rename", "b", "c", using=using)
    with pytest.raises(CommandError, match="has no sequence 'a'"):
        run("rename", "a", "d", using=using)
    with pytest.raises(CommandError, match="white space"):
        run("rename", "b", "d ", using=using)
    for new in ("", "d\0", "x" * 256):
        with pytest.raises(CommandError, match="new_name must"):
            run("rename", "b", new, using=using)
    assert counters(using) == {"c": 1, "b": 2}


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    """Type ``text`` as the answer; return the list to which questions are added."""
    asked: list[str] = []

    def type_in(question: str) -> str:
        asked.append(question)
        return text

    monkeypatch.setattr("builtins.input", type_in)
    return asked


CHANGES = {("delete", "invoices"): {}, ("rename", "invoices", "bills"): {"bills": 9}}


@pytest.mark.parametrize("change", CHANGES)
def test_a_used_sequence_is_asked_for(
    change: tuple[str, ...], using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning names the fields; without the answer "yes", nothing changes."""
    make(using, invoices=9)
    err = StringIO()
    for text in ("", "no", "y"):
        asked = answer(monkeypatch, text)
        with pytest.raises(CommandError, match="Nothing was changed"):
            run(*change, using=using, stderr=err)
        assert "invoices" in asked[0] or "bills" in asked[0]
    assert "'invoices' is used by numbered.Invoice.number" in err.getvalue()
    monkeypatch.undo()
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(CommandError, match="Use --noinput"):
        run(*change, using=using, stderr=err)
    assert counters(using) == {"invoices": 9}
    answer(monkeypatch, "yes")
    run(*change, using=using, stderr=err)
    assert counters(using) == CHANGES[change]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("option", ["--noinput", "--no-input"])
def test_noinput_asks_nothing(change: tuple[str, ...], option: str, using: str) -> None:
    """With --noinput, there is no question, but the warning is printed."""
    make(using, invoices=9)
    err = StringIO()
    run(*change, option, using=using, stderr=err)
    assert "numbered.Invoice.number" in err.getvalue()
    assert counters(using) == CHANGES[change]


def test_delete_wants_a_sequence(using: str) -> None:
    """``delete`` deletes what is there, and what isn't is a CommandError, without a question."""
    make(using, a=1, b=2)
    assert "'a'" in run("delete", "a", "--noinput", using=using)
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
    """The counters of django-sequences are copied, and numbering continues after them."""
    with table_of(django_sequences, using, **{"default": 3, "é": 2**40, "100 %s": 5}):
        assert "Copied 3 of 3" in run("copy-from", using=using)
        assert counters(using) == {"default": 3, "é": 2**40, "100 %s": 5}
        with transaction.atomic(using=using):
            assert get_next_value(using=using) == 4


def test_copy_from_never_lowers(using: str, django_sequences: type[models.Model]) -> None:
    """A second run copies counters that have increased there, and never lowers one here."""
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
    """An invalid name or value is an error that names it, and nothing is copied."""
    table = Numbers._meta.db_table
    with table_of(Numbers, using, a=1, **{name: last}) as rows:
        with pytest.raises(CommandError, match=f"'{name}'"):
            run("copy-from", table, using=using)
        assert counters(using) == {}
        rows.filter(name=name).delete()
        assert "Copied 1 of 1" in run("copy-from", table, using=using)


COLLATIONS = {"sqlite": "NOCASE", "postgresql": "und-x-icu", "mysql": "utf8mb4_general_ci"}
"""For each vendor, a collation that orders "a" before "B"; in Python, "B" is before "a"."""


def test_copy_from_cannot_deadlock(using: str) -> None:
    """The counters are locked in Python's order of their names, not in that of the table."""
    connection = connections[using]
    with isolate_apps("tests.app"):
        name = models.CharField(
            max_length=9, primary_key=True, db_collation=COLLATIONS[connection.vendor]
        )
        last = models.BigIntegerField()
        meta = type("Meta", (), {"app_label": "app"})
        attributes = {"__module__": __name__, "Meta": meta, "name": name, "last": last}
        others: Any = type("Others", (models.Model,), attributes)
    make(using, a=1, B=1)
    with table_of(others, using, a=7, B=7):
        with transaction.atomic(using=using):
            get_next_value("B", using=using)
            thread = Elsewhere(lambda: run("copy-from", others._meta.db_table, using=using), using)
            thread.start()
            assert thread.is_waiting()
            get_next_value("a", using=using)
        assert "Copied 2 of 2" in thread.result()
    assert counters(using) == {"a": 7, "B": 7}


def test_copy_from_needs_the_table(using: str) -> None:
    """A table that doesn't exist, or has other columns, is a CommandError with the reason."""
    with pytest.raises(CommandError, match=r"'no_such'.*no_such"):
        run("copy-from", "no_such", using=using)
    for other in ("django_migrations", Plain._meta.db_table):  # the second one has no rows
        with pytest.raises(CommandError, match=f"Can't read name and last .*'{other}'"):
            run("copy-from", other, using=using)


def test_a_missing_table_names_migrate(using: str) -> None:
    """Before ``migrate`` each subcommand says what to run."""
    connection = connections[using]

    def rename(old: str, new: str) -> None:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Counter, old, new)

    rename(Counter._meta.db_table, "sequences_core_hidden")
    try:
        for args in (
            ["list"],
            ["next", "a"],
            ["set", "a", "1"],
            ["set", "a", "1", "--create"],
            ["rename", "a", "b"],
            ["delete", "a"],
        ):
            with pytest.raises(CommandError, match=r"manage\.py migrate sequences_core"):
                run(*args, using=using)
    finally:
        rename("sequences_core_hidden", Counter._meta.db_table)


@pytest.mark.django_db
def test_the_router_chooses_the_database(settings: Any) -> None:
    """Without --database the command works where numbers are taken; a wrong one is refused."""
    out = StringIO()
    settings.DATABASE_ROUTERS = ["tests.test_command.NowhereRouter"]
    with pytest.raises(CommandError, match="nowhere"):
        call_command("sequences", "list", stdout=out)
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("sequences", "list", "--database", "nowhere", stdout=out)


class NowhereRouter:
    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return "nowhere"
