"""Names of sequences over a connection whose character set doesn't have all characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import Error as AnyDatabaseError
from django.db import connections, models
from django.db.models import F, Value
from django.db.models.functions import Concat
from sequences_contrib.fields import SequenceField

from sequences_core import (
    NextValue,
    get_last_value,
    get_next_value,
    rename,
    set_last_value,
)
from sequences_core.models import Counter
from tests.numbered.blocks import letters

APPS = ["tests.numbered"]

EMOJI = ("s\N{GRINNING FACE}", "s\N{GRINNING FACE WITH SMILING EYES}")


def taken(name: str, rows: Any) -> int:
    return get_next_value(name, using=rows.db)


def created(name: str, rows: Any) -> int:
    row = rows.create(other=NextValue(name))
    return rows.get(pk=row.pk).other  # type: ignore[no-any-return]


def concatenated(name: str, rows: Any) -> int:
    row = rows.create()
    rows.filter(pk=row.pk).update(other=NextValue(Concat(F("empty"), Value(name))))
    return rows.get(pk=row.pk).other  # type: ignore[no-any-return]


def saved(name: str, rows: Any) -> int:
    return rows.create(kind=name.removeprefix("s")).number  # type: ignore[no-any-return]


def stored(name: str, rows: Any) -> int:
    set_last_value(0, name, using=rows.db)
    return get_last_value(name, using=rows.db) + 1  # type: ignore[operator]


def renamed(name: str, rows: Any) -> int:
    get_next_value(f"old {EMOJI.index(name)}", using=rows.db)
    rename(f"old {EMOJI.index(name)}", name, using=rows.db)
    return get_last_value(name, using=rows.db) or 0


@pytest.fixture
def rows(using: str) -> Iterator[Any]:
    """A table; on MySQL and MariaDB, without strict mode and four-byte characters."""
    connection: Any = connections[using]
    with letters(
        using,
        kind=models.CharField(max_length=9, default="a"),
        empty=models.CharField(max_length=9, default=""),
        other=models.BigIntegerField(null=True),
        number=SequenceField("s", scope="kind", separator="-"),
    ) as found:
        options = connection.settings_dict["OPTIONS"]
        if connection.vendor == "mysql":
            connection.close()
            mode = "SET SESSION sql_mode = ''"
            changed = {"charset": "utf8mb3", "init_command": mode}
            connection.settings_dict["OPTIONS"] = options | changed
        yield found
        connection.close()
        connection.settings_dict["OPTIONS"] = options


@pytest.mark.filterwarnings("ignore::sequences_core.GapWarning")
@pytest.mark.parametrize("take", [taken, created, concatenated, saved, stored, renamed])
def test_two_names_are_never_one(take: Callable[[str, Any], int], rows: Any, using: str) -> None:
    """Each name has a counter of its own, or there is an error and no counter."""
    numbers = []
    for name in EMOJI:
        try:
            numbers.append(take(name, rows))
        except (ValueError, AnyDatabaseError):
            numbers.append(0)
    is_refused = connections[using].vendor == "mysql"
    assert numbers == ([0, 0] if is_refused else [1, 1])
    names = set(Counter.objects.using(using).values_list("name", flat=True))
    assert not any("?" in name for name in names)
    assert get_next_value("s\N{LATIN SMALL LETTER E WITH ACUTE}", using=using) == 1
