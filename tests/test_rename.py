"""``rename()``: a counter continues under its new name, while others take numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save
from sequences_contrib.models import Void
from sequences_contrib.voids import record_void

from sequences_core import get_last_value, get_next_blocks, get_next_value, rename
from sequences_core.models import Counter
from sequences_core.signals import sequence_renamed
from sequences_core.testing.threads import Elsewhere

APPS = ["sequences_contrib"]


def make(using: str, **counters: int) -> None:
    Counter.objects.using(using).bulk_create(
        [Counter(name=name, last=last) for name, last in counters.items()]
    )


def counters(using: str) -> dict[str, int]:
    return dict(Counter.objects.using(using).values_list("name", "last"))


@pytest.mark.parametrize("new", ["a", "z", "M", "m.1"])
def test_the_new_name_goes_on(using: str, new: str) -> None:
    """This includes names that differ only in case; the old name starts again."""
    make(using, m=41, other=7)
    rename("m", new, using=using)
    assert counters(using) == {new: 41, "other": 7}
    with transaction.atomic(using=using):
        assert get_next_value(new, using=using) == 42
        assert get_next_value("m", using=using) == 1


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("b", "a", "there is a sequence 'a' already"),
        ("a", "b", "there is a sequence 'b' already"),
        ("a", "a", "has that name already"),
        ("c", "d", "there is no sequence 'c'"),
        ("d", "c", "there is no sequence 'd'"),
        ("a", "a ", "white space"),
        ("", "a", "1 to 255"),
        ("a", "x" * 256, "1 to 255"),
    ],
)
def test_what_cannot_be_renamed_stays(using: str, old: str, new: str, problem: str) -> None:
    """The error leaves the caller's transaction usable, and the counters as they were."""
    make(using, a=1, b=2)
    with transaction.atomic(using=using):
        get_next_value("a", using=using)
        with pytest.raises(ValueError, match=problem):
            rename(old, new, using=using)
        assert get_next_value("a", using=using) == 3
    assert counters(using) == {"a": 3, "b": 2}


def test_a_name_is_text() -> None:
    """Something else is a TypeError, before the database is touched."""
    names: dict[str, Any] = {"sequence_name": "a", "new_name": "b"}
    for argument in names:
        with pytest.raises(TypeError, match=f"^{argument} must be a str, not None"):
            rename(**names | {argument: None})


def test_it_belongs_to_the_transaction(using: str) -> None:
    """A rollback undoes it."""
    make(using, a=1)
    with transaction.atomic(using=using):
        rename("a", "b", using=using)
        assert get_last_value("b", using=using) == 1
        transaction.set_rollback(True, using=using)
    assert counters(using) == {"a": 1}


@pytest.mark.parametrize("new", ["a", "z"])
def test_it_waits_for_those_who_have_taken_numbers(using: str, new: str) -> None:
    """It waits for open transactions, and includes their numbers if they commit."""
    make(using, m=1)
    for commit, last in ((True, 2), (False, 2)):
        with transaction.atomic(using=using):
            get_next_value("m", using=using)
            renaming = Elsewhere(lambda: rename("m", new, using=using), using)
            renaming.start()
            assert renaming.is_waiting()
            transaction.set_rollback(not commit, using=using)
        renaming.result()
        assert counters(using) == {new: last}
        rename(new, "m", using=using)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_it_does_not_deadlock_with_takers_of_both(using: str, names: tuple[str, str]) -> None:
    """get_next_blocks() locks by name, and so does it; all numbers are accounted for."""
    old, new = names
    make(using, **{old: 100})
    taken: list[dict[str, range]] = []
    start = threading.Barrier(3)

    def take() -> None:
        start.wait()
        for _ in range(30):
            with transaction.atomic(using=using):
                taken.append(get_next_blocks({"a": 1, "b": 1}, using=using))

    def move() -> str:
        start.wait()
        for _ in range(30):
            try:
                rename(old, new, using=using)
            except ValueError:  # the takers were faster with the new name
                return "refused"
        return "renamed"

    threads = [Elsewhere(take, using), Elsewhere(take, using), Elsewhere(move, using)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.result()
    numbers = {name: sorted(each[name][0] for each in taken) for name in names}
    assert numbers[new][-1] == get_last_value(new, using=using)
    assert len(set(numbers[new])) == 60
    assert numbers[new][0] in {1, 101}


@pytest.fixture
def refusal() -> Iterator[list[dict[str, Any]]]:
    """A receiver that notes what was sent, and refuses names that end with "!"."""
    sent: list[dict[str, Any]] = []

    def note(**kwargs: Any) -> None:
        sent.append({key: kwargs[key] for key in ("old", "new", "using")})
        if kwargs["new"].endswith("!"):
            raise ValueError("not by this name")

    sequence_renamed.connect(note)
    yield sent
    sequence_renamed.disconnect(note)


def test_others_are_told_in_the_transaction(using: str, refusal: list[dict[str, Any]]) -> None:
    """The signal has both names, and an error of a receiver undoes everything."""
    make(using, a=1)
    rename("a", "b", using=using)
    assert refusal == [{"old": "a", "new": "b", "using": using}]
    with pytest.raises(ValueError, match="not by this name"):
        rename("b", "b!", using=using)
    assert counters(using) == {"b": 1}


def test_voids_follow(using: str) -> None:
    """The register of voids knows the counter by its new name."""
    make(using, old=5, other=5)
    for counter in ("old", "other"):
        record_void(counter, 4, reason="spoilt", using=using)
    rename("old", "new", using=using)
    voids = Void.objects.using(using).values_list("counter", "number", "reason")
    assert sorted(voids) == [("new", 4, "spoilt"), ("other", 4, "spoilt")]


def test_an_error_of_a_receiver_is_its_own(using: str) -> None:
    """It doesn't mean that the new name exists."""

    def refuse(**kwargs: Any) -> None:
        raise IntegrityError("refused by a receiver")

    make(using, a=1, b=2)
    post_save.connect(refuse, Counter)
    try:
        for old, new in (("a", "z"), ("b", "0")):
            with pytest.raises(IntegrityError, match="refused by a receiver"):
                rename(old, new, using=using)
    finally:
        post_save.disconnect(refuse, Counter)
    assert counters(using) == {"a": 1, "b": 2}
