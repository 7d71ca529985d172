"""The database function, executed by MariaDB in Oracle mode.

MariaDB has no MERGE: the INSERT and the UPDATE inside it replace its first
and its second execution. Types and functions that MariaDB lacks are replaced by its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, connections, transaction
from sequences_oracle.function import create

from sequences_core import set_last_value
from sequences_core.allocator import EXHAUSTED, FUNCTION
from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE
from sequences_core.models import Counter
from sequences_core.operations import install
from sequences_core.table import TABLE
from sequences_core.testing.expressions import BAD_NAMES, BAD_VALUES
from sequences_core.testing.values import LOOKALIKES

MERGE = re.compile(
    r"MERGE INTO \S+ counter.*?"
    r"UPDATE SET (?P<set>.*?)\sWHERE (?P<where>.*?)\sWHEN NOT MATCHED THEN(?P<insert>.*?)(?=;)",
    re.DOTALL,
)

# This raises an error like Oracle's procedure of this name, except for the number.
RAISE = """
    CREATE PROCEDURE raise_application_error(code INT, message VARCHAR2(2048)) AS
    BEGIN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = message;
    END;
"""


def for_mariadb(source: str) -> str:
    """Return the function's source without syntax that only Oracle has."""
    source = source.replace(f'"{TABLE.upper()}"', TABLE)
    found = MERGE.search(source)
    assert found
    assert len(MERGE.findall(source)) == 2
    insert = found["insert"].replace("INSERT", f"INSERT INTO {TABLE}")
    update = f"UPDATE {TABLE} counter SET {found['set']} WHERE ({found['where']})"
    source = MERGE.sub(lambda _: insert, source, count=1)
    source = MERGE.sub(lambda _: f"{update} AND counter.name = sequence_name", source)
    # Oracle compares bytes; in MariaDB 11.8's default collation, some letters equal spaces.
    source = source.replace("INSTR(", "INSTR(BINARY ")
    source = re.sub(r"UNISTR\('(.*?)'\)", literal, source)
    # Parameters are IN by default, and MariaDB 10.5 doesn't allow the keyword in a function.
    source = re.sub(r"PRAGMA .*| DEFAULT \w+| IN(?= (?:VARCHAR2|NUMBER))", "", source)
    return source.replace("NVARCHAR2", "VARCHAR2").replace("NUMBER", "DECIMAL(38, 1)")


def literal(escaped: re.Match[str]) -> str:
    """Return the result of a call of UNISTR as a literal."""
    codes = escaped[1].replace("\\", "")
    return f"CONVERT(x'{codes}' USING utf16)"


@pytest.mark.django_db(databases=["mariadb"], transaction=True, available_apps=["sequences_core"])
class TestFunction:
    using: ClassVar[str] = "mariadb"

    @pytest.fixture(autouse=True)
    def _function(self, settings: Any) -> Iterator[None]:
        """Replace MariaDB's function by Oracle's."""
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        connection = connections[self.using]
        with connection.cursor() as cursor:
            cursor.execute("SET sql_mode = 'ORACLE,EMPTY_STRING_IS_NULL,STRICT_ALL_TABLES'")
            try:
                cursor.execute(for_mariadb(create()))
                cursor.execute(RAISE)
                yield
            finally:
                cursor.execute("DROP PROCEDURE IF EXISTS raise_application_error")
                connection.close()  # this also resets the sql_mode
                install(connection)

    @pytest.fixture
    def take(self) -> Callable[..., int]:
        """Call the function."""

        def take(name: Any, initial: Any = 1, reset: Any = None) -> int:
            with connections[self.using].cursor() as cursor:
                cursor.execute(f"SELECT {FUNCTION}(%s, %s, %s)", [name, initial, reset])
                number: int = cursor.fetchone()[0]
                return number

        return take

    def counters(self) -> dict[str, int]:
        return dict(Counter.objects.using(self.using).values_list("name", "last"))

    @pytest.mark.parametrize("initial", [0, 1, 2**53 + 1, MAX_VALUE - 1])
    def test_first_use_and_increment(self, initial: int, take: Callable[..., int]) -> None:
        """A new counter starts at initial_value, which later calls ignore."""
        assert [take("s", initial), take("s", 7)] == [initial, initial + 1]

    def test_loop(self, take: Callable[..., int]) -> None:
        """The sequence restarts instead of reaching reset_value, also at the ends of the range."""
        assert [take("s", 3, 6) for _ in range(7)] == [3, 4, 5, 3, 4, 5, 3]
        assert [take("t", 0, 1) for _ in range(3)] == [0, 0, 0]
        assert [take("u", MAX_VALUE - 1, MAX_VALUE) for _ in range(2)] == [MAX_VALUE - 1] * 2
        set_last_value(MAX_VALUE, "u", using=self.using)
        assert take("u", 5, 9) == 5

    def test_exhaustion(self, take: Callable[..., int]) -> None:
        """After MAX_VALUE the function raises an error, and the counter doesn't change."""
        assert [take("s", MAX_VALUE - 1), take("s")] == [MAX_VALUE - 1, MAX_VALUE]
        with pytest.raises(DatabaseError, match=f"{EXHAUSTED}: s"):
            take("s")
        assert self.counters() == {"s": MAX_VALUE}

    def test_names(self, take: Callable[..., int]) -> None:
        """The function accepts all names that the core accepts, up to the longest."""
        longest = [*LOOKALIKES, "a", "é" * MAX_NAME_LENGTH, "😀" * MAX_NAME_LENGTH]
        for expected in (1, 2):
            for name in dict.fromkeys(longest):
                assert take(name) == expected, name

    @pytest.mark.parametrize("name", [*BAD_NAMES, *("a" + chr(c) for c in (28, 0x85, 0x205F))])
    def test_bad_names(self, name: str | None, take: Callable[..., int]) -> None:
        """An invalid name is refused and creates no counter."""
        with pytest.raises(DatabaseError, match=r"bad sequence name|Data too long"):
            take(name)
        assert self.counters() == {}

    @pytest.mark.parametrize(
        ("initial", "reset"),
        [*BAD_VALUES, (0.5, None), (1, 3.5), (1, MAX_VALUE + 1), (MAX_VALUE, MAX_VALUE)],
    )
    def test_bad_values(self, initial: Any, reset: Any, take: Callable[..., int]) -> None:
        """Values that are NULL, out of range, fractional or contradictory are refused."""
        take("s")
        with pytest.raises(DatabaseError, match="bad initial_value or reset_value"):
            take("s", initial, reset)
        assert self.counters() == {"s": 1}

    def test_inside_insert_and_update(self, take: Callable[..., int]) -> None:
        """Other statements can call the function, and a rollback gives the numbers back."""
        number = f"{FUNCTION}('s', 1, NULL)"
        with connections[self.using].cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE numbered (id INT, taken BIGINT)")
            cursor.execute(f"INSERT INTO numbered VALUES (1, {number})")
            cursor.execute(f"INSERT INTO numbered VALUES (2, {number})")
            with transaction.atomic(using=self.using):
                cursor.execute(f"UPDATE numbered SET taken = {number}")
                transaction.set_rollback(True, using=self.using)
            cursor.execute(f"UPDATE numbered SET taken = {number}")
            cursor.execute("SELECT taken FROM numbered ORDER BY id")
            assert [taken for (taken,) in cursor.fetchall()] == [3, 4]
            cursor.execute("DROP TEMPORARY TABLE numbered")
