"""Two fields meet in one counter if and only if base and values are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import models
from django.test.utils import isolate_apps
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sequences_contrib.fields import SequenceField

from sequences_core.models import Counter
from tests.numbered.blocks import tables
from tests.properties.columns import binary

APPS: list[str] = []

examples = settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

PARTS = 3
"""How many fields a scope has at the most."""

# What could be read in two ways: separators, escapes, what looks like either, and white space.
LETTERS = ["a", "r", "5", ".", "%", "2", "E", "-", "/", " ", "\\", "_", "é", "\u00a0", "😀", "'"]

PIECE = st.text(st.sampled_from(LETTERS), max_size=4) | st.sampled_from(
    ["2024", "2024.5", "2024%2E5", "%", "%%", "%25", "%2E", ".", "..", "r.2024", "é", "e\u0301"]
)
BASES = st.sampled_from(["r", "r.2024", "r.", "r%", "r%2E2024", "R", "ré", "r-5", "2024"]) | (
    PIECE.map(lambda text: f"r{text}").filter(lambda text: text == text.strip())
)
COUNTERS = st.tuples(BASES, st.lists(PIECE, max_size=PARTS).map(tuple))


@contextmanager
def model(using: str) -> Iterator[Any]:
    """A model with text to make scopes of; the field's base and scope are chosen later."""
    with isolate_apps("tests.numbered"):

        class Letter(models.Model):  # noqa: DJ008 - nothing shows it
            a = models.CharField(max_length=20, db_collation=binary(using))
            b = models.CharField(max_length=20, db_collation=binary(using))
            c = models.CharField(max_length=20, db_collation=binary(using))
            number = models.BigIntegerField(null=True)

            class Meta:
                app_label = "properties"
                db_table = "properties_name"

    with tables(using, Letter):
        yield Letter


def field_on(name: str, base: str, parts: int, separator: str) -> Any:
    """Return a model whose number has this base, and so many fields as its scope."""

    class Meta:
        app_label = "properties"
        db_table = "properties_name"
        managed = False

    fields: dict[str, Any] = {name: models.CharField(max_length=20) for name in ("a", "b", "c")}
    number = SequenceField(base, scope=[*"abc"[:parts]], separator=separator, null=True)
    attributes = {"__module__": __name__, "Meta": Meta, **fields, "number": number}
    return type(name, (models.Model,), attributes)


def models_of(*counters: tuple[str, tuple[str, ...], str]) -> list[Any]:
    """Return a model for each base, scope and separator; none if the checks refuse them together.

    A base that isn't part of a longer name is not escaped, so it could be another's name and scope.
    """
    with isolate_apps("tests.numbered"):
        made = [
            field_on(f"Letter{i}", base, len(values), separator)
            for i, (base, values, separator) in enumerate(counters)
        ]
        fields = [model._meta.get_field("number") for model in made]
        refused = {message.id for field in fields for message in field.check()}
    return [] if "sequences_contrib.E003" in refused else made


def test_names(using: str) -> None:
    """Numbers of any two fields, on any values: one sequence for each base with its values."""
    with model(using) as letter:

        @examples
        @example([("r", ("2024", "5")), ("r.2024", ("5",))], ".")
        @example([("r", ("2024.5",)), ("r", ("2024", "5")), ("r", ("2024%2E5",))], ".")
        @example([("r.2024.5", ()), ("r.2024", ("5",)), ("r", ("2024", "5"))], ".")
        @example([("r.2024.5", ()), ("s.2024", ("5",)), ("s", ("2024", "5"))], ".")
        @example([("r", ("a", "b")), ("r--a", ("b",)), ("r", ("a--b",))], "--")
        @example([("r", ("a.",)), ("r", ("a",)), ("r.a", (" ",)), ("r.a", ("",))], ".")
        @given(st.lists(COUNTERS, min_size=2, max_size=5), st.sampled_from([".", "-", "/", "%2E"]))
        def check(counters: Any, separator: str) -> None:
            if "%" in separator:
                separator = "."
            letter._default_manager.using(using).all().delete()
            Counter._default_manager.using(using).all().delete()
            taken: dict[Any, int] = {}
            made = models_of(*((base, values, separator) for base, values in counters))
            for each, (base, values) in zip(made, counters, strict=bool(made)):
                given_ = dict(zip("abc", values, strict=False))
                row = each._default_manager.using(using).create(**given_)
                if "" in values:
                    assert row.number is None
                    continue
                taken[base, values] = taken.get((base, values), 0) + 1
                assert row.number == taken[base, values], (base, values, taken)

        check()


def test_separators_of_two_fields(using: str) -> None:
    """Another separator is another way to write a name, and leads to no other's counter."""
    with model(using) as letter:

        @examples
        @example(("r", ("2024", "5")), ".", ("r.2024", ("5",)), "-")
        @example(("r", ("a-b",)), ".", ("r.a", ("b",)), "-")
        @given(
            COUNTERS, st.sampled_from([".", "-", "/"]), COUNTERS, st.sampled_from([".", "-", "/"])
        )
        def check(first: Any, separator: str, second: Any, other: str) -> None:
            if "" in (*first[1], *second[1]) or first == second or separator == other:
                return
            letter._default_manager.using(using).all().delete()
            Counter._default_manager.using(using).all().delete()
            made = models_of((*first, separator), (*second, other))
            for each, (_, values) in zip(made, (first, second), strict=bool(made)):
                given_ = dict(zip("abc", values, strict=False))
                assert each._default_manager.using(using).create(**given_).number == 1

        check()
