"""The public API: what is exported, which database it uses, and what importing it does."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models, transaction
from django.utils.connection import ConnectionDoesNotExist

import sequences_core
from sequences_core import (
    GapWarning,
    Sequence,
    SequenceLocked,
    delete,
    get_last_value,
    get_next_blocks,
    get_next_value,
    get_next_values,
    rename,
    retry_atomic,
    run_atomic,
    set_last_value,
)
from sequences_core.models import Counter
from sequences_core.testing.base import Elsewhere


def test_exported_names_are_sorted_and_there() -> None:
    """``__all__`` is sorted, and each name leads somewhere."""
    names = sequences_core.__all__
    assert names == sorted(names)
    assert all(getattr(sequences_core, name) for name in names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt import fails as it does in any module."""
    with pytest.raises(AttributeError, match="no attribute 'get_next_valu'"):
        sequences_core.get_next_valu  # noqa: B018


IMPORTS = """
import importlib, pkgutil, sys
import sequences_core
assert "sequences_core.models" not in sys.modules  # else no app could import it
import django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "messages"]
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "sequences_core"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/no/such/folder/db"}},
    USE_TZ=True,
)
django.setup()
for module in pkgutil.walk_packages(sequences_core.__path__, "sequences_core."):
    importlib.import_module(module.name)
from sequences_core import *
Sequence("invoices")
retry_atomic()(print)
"""


def test_importing_asks_no_database() -> None:
    """Every module imports, and a Sequence is made, where there is no database to connect to."""
    program = [sys.executable, "-W", "error", "-c", IMPORTS]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Router:
    """Reads here, writes there; neither exists, so that the error tells which was asked for."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return "reads" if model is Counter else None

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        return "writes" if model is Counter else None


CALLS: dict[str, Callable[..., object]] = {
    "get_next_value": get_next_value,
    "get_next_values": lambda **kwargs: get_next_values(2, **kwargs),
    "get_next_blocks": lambda **kwargs: get_next_blocks({"s": 2}, **kwargs),
    "set_last_value": lambda **kwargs: set_last_value(2, **kwargs),
    "rename": lambda **kwargs: rename("a", "b", **kwargs),
    "delete": delete,
    "run_atomic": lambda **kwargs: run_atomic(get_next_value, **kwargs),
    "retry_atomic": lambda **kwargs: retry_atomic(**kwargs)(get_next_value)(),
    "Sequence.get_next_value": lambda **kwargs: Sequence(**kwargs).get_next_value(),
    "Sequence.get_next_values": lambda **kwargs: Sequence(**kwargs).get_next_values(2),
    "Sequence.set_last_value": lambda **kwargs: Sequence(**kwargs).set_last_value(2),
    "Sequence.delete": lambda **kwargs: Sequence(**kwargs).delete(),
    "next(Sequence)": lambda **kwargs: next(Sequence(**kwargs)),
    "get_last_value": get_last_value,
    "Sequence.get_last_value": lambda **kwargs: Sequence(**kwargs).get_last_value(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_router_chooses_the_database(settings: Any, name: str) -> None:
    """Without ``using`` reads go to db_for_read, and all that changes a counter to db_for_write."""
    settings.DATABASE_ROUTERS = [Router()]
    expected = "reads" if "get_last_value" in name else "writes"
    with pytest.raises(ConnectionDoesNotExist, match=f"'{expected}'"):
        CALLS[name]()


@pytest.mark.parametrize("name", CALLS)
def test_using_comes_before_the_router(settings: Any, name: str) -> None:
    """With ``using`` the router isn't asked."""
    settings.DATABASE_ROUTERS = [Router()]
    with pytest.raises(ConnectionDoesNotExist, match="'mine'"):
        CALLS[name](using="mine")


def test_a_routed_sequence_works(settings: Any, using: str) -> None:
    """What a router names is where the counter lives."""

    class ToUsing:
        def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
            return using

        db_for_read = db_for_write

    settings.DATABASE_ROUTERS = [ToUsing()]
    with transaction.atomic(using=using):
        assert [get_next_value("s"), get_next_value("s", using=using)] == [1, 2]
        assert get_last_value("s") == 2
    assert Counter.objects.using(using).get().last == 2


def test_a_sequence_passes_its_arguments_on(settings: Any, using: str) -> None:
    """Each method of Sequence does what the function of that name does."""
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    sequence = Sequence("s", 5, 8, using=using)
    assert iter(sequence) is sequence
    assert list(itertools.islice(sequence, 4)) == [5, 6, 7, 5]
    with pytest.raises(ValueError, match="force"):
        sequence.set_last_value(2)
    sequence.set_last_value(2, force=True)
    assert sequence.get_last_value() == get_last_value("s", using=using) == 2
    assert sequence.delete()
    assert not sequence.delete()
    computed = Sequence("s", lambda: 40, using=using)
    assert computed.get_next_values(3) == range(40, 43)

    def wait_no_longer() -> None:
        with pytest.raises(SequenceLocked, match="0 s"):
            computed.get_next_value(nowait=True)
        with pytest.raises(SequenceLocked, match=r"0\.1 s"):
            computed.get_next_values(2, timeout=0.1)

    with transaction.atomic(using=using):
        computed.get_next_value()
        other = Elsewhere(wait_no_longer, using)
        other.start()
        other.result()
    assert get_last_value("s", using=using) == 43


@pytest.mark.parametrize("arguments", [("",), ("s", -1), ("s", 1, 1), ("s", True)])
def test_a_sequence_refuses_bad_arguments_at_once(arguments: tuple[Any, ...]) -> None:
    """They are not kept for the first number."""
    with pytest.raises((TypeError, ValueError)):
        Sequence(*arguments)


def test_the_warning_names_the_line_that_took_the_number(using: str) -> None:
    """However deep inside this package the number is taken, by a loop or by a method."""
    sequence = Sequence("s", using=using)
    takes: list[Callable[[], object]] = [
        lambda: next(sequence),
        lambda: [number for number, _ in zip(sequence, range(1), strict=False)],
        sequence.get_next_value,
        lambda: sequence.get_next_values(2),
    ]
    for take in takes:
        with pytest.warns(GapWarning) as caught:
            take()
        assert caught[0].filename == __file__
