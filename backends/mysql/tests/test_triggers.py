"""Triggers on the table of counters, in any sql_mode and with any client flags.

Any trigger zeroes the insert id that MySQL and MariaDB send back. A number is right, or there is an
error, and then nothing was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import pytest
from django.db import DatabaseError, OperationalError, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sequences_core import (
    FunctionMissing,
    NextValue,
    SequenceExhausted,
    get_allocator,
    get_last_value,
    get_next_value,
    get_next_values,
)
from sequences_core.arguments import MAX_VALUE
from sequences_core.functions import forget_functions
from sequences_core.models import Counter
from sequences_core.table import TABLE

TABLES = [
    "audit (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)",
    "shadow (name VARCHAR(255) PRIMARY KEY, n BIGINT)",
    "numbered (id BIGINT AUTO_INCREMENT PRIMARY KEY, n BIGINT)",
]
FUNCTIONS = {
    "audited": "MODIFIES SQL DATA BEGIN INSERT INTO audit (n) VALUES (n); "
    "RETURN LAST_INSERT_ID(); END",
    "remembered": "NO SQL RETURN LAST_INSERT_ID(n + 77)",
}
BODIES = [
    "BEGIN END",
    "SET @x = NEW.last",
    "SET @x = LAST_INSERT_ID(7)",
    "SET @x = LAST_INSERT_ID(0)",
    "IF LAST_INSERT_ID(9) THEN SET @x = 1; END IF",
    "SET @x = audited(3)",
    "SET @x = remembered(3)",
    "INSERT INTO audit (n) VALUES (NEW.last)",
    "INSERT INTO audit (n) VALUES (NEW.last), (NEW.last)",
    "INSERT INTO audit SELECT 40 + COUNT(*), NEW.last FROM audit",
    "REPLACE INTO shadow VALUES (NEW.name, NEW.last)",
    "INSERT IGNORE INTO shadow VALUES (NEW.name, NEW.last)",
    "INSERT INTO shadow VALUES (NEW.name, LAST_INSERT_ID(5)) "
    "ON DUPLICATE KEY UPDATE n = LAST_INSERT_ID(n + 1)",
    "UPDATE shadow SET n = LAST_INSERT_ID(n + 1)",
    "DELETE FROM shadow",
]
# Different spellings of triggers that change the stored value.
CHANGES = [
    "SET NEW.last = OLD.last",
    "SET NEW.last = 5",
    "SET NEW.last = NEW.last + 10",
    "set @x = (SELECT 1), new . `last` := 7",
    "SET /* NEW.last, */ @x = CONCAT('a\\'b', ', \"'), NEW.last = NEW.last + 10",
    "BEGIN IF NEW.last = 0 THEN SET @x = 1; ELSE SET\n\tNew.LAST=NEW.last+10; END IF; END",
    "CALL add_ten(NEW.last)",
    "SET NEW.name = CONCAT(NEW.name, '!')",
]
# Triggers that look similar but change nothing.
READS = [
    "SET @x = NEW.last = 5",
    "SET @x = 'SET NEW.last = 5', @y = \"a, NEW.last = 5\"",
    "BEGIN -- SET NEW.last = 5\n SET @x = 1 /* , NEW.last = 5 */; END",
    "SET @x = IF(1, NEW.last = 5, NEW.last = 6), @y = (SELECT NEW.last = 7)",
    "CALL look(NEW.last)",
    "BEGIN SET @x = 1; IF NEW.last = 5 THEN SET @y = 1; END IF; END",
]
PROCEDURES = {"add_ten": "INOUT n BIGINT) SET n = n + 10", "look": "n BIGINT) SET @x = n"}
MODES = [
    "STRICT_TRANS_TABLES",
    "NO_UNSIGNED_SUBTRACTION",
    "ANSI_QUOTES",
    "PAD_CHAR_TO_FULL_LENGTH",
    "NO_BACKSLASH_ESCAPES",
    "NO_AUTO_VALUE_ON_ZERO",
    "PIPES_AS_CONCAT",
    "IGNORE_SPACE",
    "HIGH_NOT_PRECEDENCE",
    "REAL_AS_FLOAT",
    "TRADITIONAL",
    "ANSI",
]
MARIADB_MODES = [
    "MAXDB",
    "ORACLE",
    "MSSQL",
    "DB2",
    "EMPTY_STRING_IS_NULL",
    "SIMULTANEOUS_ASSIGNMENT",
]
# MySQLdb.constants.CLIENT defines them, but isn't installed when other databases are tested.
FOUND_ROWS, IGNORE_SPACE, INTERACTIVE = 2, 256, 1024
FLAGS = [FOUND_ROWS, 0, IGNORE_SPACE, FOUND_ROWS | INTERACTIVE]
NAMES = ["s", "back\\slash 'quoted' \"twice\" `é`", "100 %s"]

triggers = st.dictionaries(
    st.tuples(st.sampled_from(["BEFORE", "AFTER"]), st.sampled_from(["INSERT", "UPDATE"])),
    st.sampled_from(BODIES),
)


def by_function(name: str, *, using: str, **kwargs: Any) -> int:
    with connections[using].cursor() as cursor:
        cursor.execute(
            "INSERT INTO numbered (n) VALUES (sequences_next_value(%s, 1, NULL))", [name]
        )
        cursor.execute("SELECT n FROM numbered ORDER BY id DESC LIMIT 1")
        number: int = cursor.fetchone()[0]
        return number


TAKES: dict[str, Callable[[str, str, dict[str, Any]], int]] = {
    "one": lambda name, using, kwargs: get_next_value(name, using=using, **kwargs),
    "batch": lambda name, using, kwargs: get_next_values(3, name, using=using, **kwargs)[0],
    "callable": lambda name, using, kwargs: get_next_value(name, lambda: 1, using=using, **kwargs),
    "function": lambda name, using, kwargs: by_function(name, using=using, **kwargs),
}


class Triggers:
    using: ClassVar[str]
    modes: ClassVar[list[str]] = MODES

    @pytest.fixture(autouse=True)
    def _tables(self, settings: Any) -> Iterator[None]:
        settings.SEQUENCES_AUTOCOMMIT = "allow"
        with connections[self.using].cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"CREATE TABLE {table}")
            for name, body in FUNCTIONS.items():
                cursor.execute(
                    f"CREATE FUNCTION {name}(n BIGINT) RETURNS BIGINT NOT DETERMINISTIC {body}"
                )
            for name, rest in PROCEDURES.items():
                cursor.execute(f"CREATE PROCEDURE {name}({rest}")
        yield
        with connections[self.using].cursor() as cursor:
            for name in PROCEDURES:
                cursor.execute(f"DROP PROCEDURE {name}")
            for table in TABLES:
                cursor.execute(f"DROP TABLE {table.split()[0]}")
            for name in FUNCTIONS:
                cursor.execute(f"DROP FUNCTION {name}")

    @contextmanager
    def having(self, triggers: dict[tuple[str, str], str]) -> Iterator[None]:
        """Create triggers on the table of counters for the block."""
        connection = connections[self.using]
        with ExitStack() as stack, connection.cursor() as cursor:
            for (time, event), body in triggers.items():
                name = f"{time}_{event}"
                cursor.execute(
                    f"CREATE TRIGGER {name} {time} {event} ON {TABLE} FOR EACH ROW {body}"
                )
                stack.callback(self.run, f"DROP TRIGGER {name}")
            yield

    def run(self, statement: str) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def connected(self, **options: Any) -> Iterator[None]:
        """Connect with additional OPTIONS for the block."""
        connection = connections[self.using]
        before = connection.settings_dict["OPTIONS"]
        connection.close()
        connection.settings_dict["OPTIONS"] = before | options
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["OPTIONS"] = before

    @settings(
        max_examples=50,
        deadline=None,
        # The test is run for each server, by a class of its own.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(data=st.data(), triggers=triggers, flags=st.sampled_from(FLAGS), atomic=st.booleans())
    def test_numbers_are_right(
        self, data: Any, triggers: dict[tuple[str, str], str], flags: int, atomic: bool
    ) -> None:
        """With triggers that have other effects, numbers are consecutive and the counter right."""
        self.run(f"DELETE FROM {TABLE}")
        modes = ",".join(data.draw(st.lists(st.sampled_from(self.modes), unique=True)))
        takes = data.draw(
            st.lists(
                st.tuples(
                    st.sampled_from(list(TAKES)),
                    st.sampled_from(NAMES),
                    st.sampled_from([{}, {}, {"timeout": 2}, {"nowait": True}]),
                ),
                min_size=1,
                max_size=8,
            )
        )
        last = dict.fromkeys(NAMES, 0)
        options = {"init_command": f"SET SESSION sql_mode = '{modes}'", "client_flag": flags}
        with self.having(triggers), self.connected(**options), ExitStack() as stack:
            if atomic:
                stack.enter_context(transaction.atomic(using=self.using))
            for kind, name, kwargs in takes:
                assert TAKES[kind](name, self.using, kwargs) == last[name] + 1
                last[name] += 3 if kind == "batch" else 1
            loop = [get_next_value("loop", 0, 3, using=self.using) for _ in range(5)]
            assert loop == [0, 1, 2, 0, 1]
            for name in NAMES:
                assert (get_last_value(name, using=self.using) or 0) == last[name]

    @pytest.mark.parametrize("time", ["BEFORE", "AFTER"])
    def test_the_highest_numbers(self, time: str) -> None:
        """With a trigger, MAX_VALUE, 0 and an exhausted sequence are recognized as without."""
        with self.having({(time, "UPDATE"): "SET @x = LAST_INSERT_ID(7)"}):
            take = get_next_value
            assert take("top", MAX_VALUE - 1, using=self.using) == MAX_VALUE - 1
            assert take("top", using=self.using) == MAX_VALUE
            with pytest.raises(SequenceExhausted):
                take("top", using=self.using)
            assert [take("zero", 0, 2, using=self.using) for _ in range(5)] == [0, 1, 0, 1, 0]
            self.run(f"UPDATE {TABLE} SET last = -1 WHERE name = 'zero'")
            assert take("zero", 0, using=self.using) == 0

    @pytest.mark.parametrize("mode", ["", "ANSI_QUOTES"])
    @pytest.mark.parametrize("time", ["BEFORE", "AFTER"])
    def test_a_trigger_whose_own_sum_is_out_of_range(self, time: str, mode: str) -> None:
        """The trigger's error isn't a SequenceExhausted; that of the counter's own sum is."""
        options = {"init_command": f"SET SESSION sql_mode = '{mode}'"}
        take = get_next_value
        with self.connected(**options):
            take("s", 5, using=self.using)
            with self.having({(time, "UPDATE"): f"SET @x = {MAX_VALUE} + NEW.last"}):
                for first in (1, lambda: 1):
                    with pytest.raises(DatabaseError, match="out of range") as caught:
                        take("s", first, using=self.using)
                    assert not isinstance(caught.value, SequenceExhausted)
            take("top", MAX_VALUE, using=self.using)
            with pytest.raises(SequenceExhausted):
                take("top", using=self.using)

    @pytest.mark.parametrize("flags", [0, FOUND_ROWS])
    def test_a_loop_of_one_number(self, flags: int) -> None:
        """An UPDATE that changes nothing finds its row; with a trigger it may raise an error."""
        for trigger in ({}, {("BEFORE", "UPDATE"): "SET @x = 1"}):
            with self.having(trigger), self.connected(client_flag=flags):
                try:
                    for _ in range(3):
                        assert get_next_value("one", 5, 6, using=self.using) == 5
                except OperationalError:
                    assert trigger
                    assert not flags

    @pytest.mark.parametrize("body", ["NEW.last + 10", "NEW.last - 1", "0"])
    @pytest.mark.parametrize("event", ["INSERT", "UPDATE"])
    def test_a_trigger_that_changes_the_number(self, event: str, body: str) -> None:
        """A changed number is an error, and the transaction is rolled back."""
        with transaction.atomic(using=self.using):
            get_next_value("old", 100, using=self.using)
        with self.having({("BEFORE", event): f"SET NEW.last = {body}"}):
            for name in ("old", "new"):
                if (name == "old") is (event == "UPDATE"):
                    with (
                        pytest.raises(DatabaseError, match=r"trigger|(?i:out of range)"),
                        transaction.atomic(using=self.using),
                    ):
                        get_next_value(name, 100, using=self.using)
                assert get_last_value("old", using=self.using) == 100
        assert get_last_value("new", using=self.using) in {None}

    @pytest.mark.parametrize("body", CHANGES)
    @pytest.mark.parametrize("event", ["INSERT", "UPDATE"])
    def test_a_change_in_autocommit(self, event: str, body: str) -> None:
        """In autocommit it is an error, too, for any stored number."""
        if event == "INSERT" and "OLD" in body:
            return
        takes: dict[str, Callable[[], Any]] = {
            "one": lambda: get_next_value("one", using=self.using),
            "loop": lambda: get_next_value("loop", 0, 3, using=self.using),
            "batch": lambda: get_next_values(3, "batch", using=self.using),
            "timeout": lambda: get_next_value("timeout", timeout=2, using=self.using),
            "nowait": lambda: get_next_value("nowait", nowait=True, using=self.using),
        }
        if event == "UPDATE":
            for name in takes:
                self.run(f"INSERT INTO {TABLE} VALUES ('{name}', 1)")
        with self.having({("BEFORE", event): body}):
            for take in takes.values():
                with pytest.raises(DatabaseError, match=r"trigger|(?i:out of range)"):
                    take()

    @pytest.mark.parametrize("body", CHANGES)
    def test_the_function_is_not_used(self, body: str) -> None:
        """The function isn't used with such a trigger, and installing warns of it."""
        connection = connections[self.using]
        allocator = get_allocator(connection)
        expression = NextValue("s")
        with self.having({("BEFORE", "UPDATE"): body}):
            forget_functions()
            assert not allocator.is_installed(connection)
            with pytest.raises(FunctionMissing, match="sequences install"):
                Counter.objects.using(self.using).update(last=expression)
            with pytest.warns(UserWarning, match="trigger BEFORE_UPDATE changes"):
                allocator.install(connection)
        forget_functions()
        assert allocator.is_installed(connection)

    @pytest.mark.parametrize("body", [*BODIES, *READS])
    def test_the_function_is_used(self, body: str) -> None:
        """The function is used if the trigger only reads the number."""
        connection = connections[self.using]
        with self.having({("BEFORE", "UPDATE"): body}):
            assert get_allocator(connection).is_installed(connection)
            assert [get_next_value("s", using=self.using) for _ in range(3)] == [1, 2, 3]

    def test_a_loop_that_others_move(self) -> None:
        """If a loop has restarted meanwhile, a trigger that only reads causes no error."""
        connection = connections[self.using]
        self.run(f"INSERT INTO {TABLE} VALUES ('s', 1)")

        def begin_anew(execute: Any, sql: str, *args: Any) -> Any:
            result = execute(sql, *args)
            if "SET last = LAST_INSERT_ID(CAST" in sql:
                other = connection.copy()
                with other.cursor() as cursor:
                    cursor.execute(f"UPDATE {TABLE} SET last = 0")
                other.close()
            return result

        with (
            self.having({("AFTER", "UPDATE"): "SET @x = NEW.last"}),
            connection.execute_wrapper(begin_anew),
        ):
            assert get_next_value("s", 0, 3, using=self.using) == 2


class TestMySQL(Triggers):
    using = "mysql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )


class TestMariaDB(Triggers):
    using = "mariadb"
    modes = MODES + MARIADB_MODES
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mariadb"], available_apps=["sequences_core"]
    )
