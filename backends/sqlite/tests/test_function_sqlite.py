"""The connection's function: its writes are part of the statement that calls it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from sequences_sqlite import function

from sequences_core import get_allocator, get_last_value, get_next_value, set_last_value
from sequences_core.arguments import MAX_VALUE
from sequences_core.exceptions import SequenceExhausted, TableMissing
from sequences_core.models import Counter
from sequences_core.taking import database_errors

TABLE = """
    CREATE TABLE noted (
        id INTEGER PRIMARY KEY,
        number INT,
        code TEXT NOT NULL UNIQUE CHECK (code > '')
    )
"""
NUMBER = "sequences_next_value('s', 1, NULL)"
INSERT = "INSERT INTO noted (number, code)"

FAILING = [
    f"{INSERT} VALUES ({NUMBER}, 'taken')",
    f"{INSERT} VALUES ({NUMBER}, 'taken') RETURNING number",
    f"{INSERT} VALUES ({NUMBER}, '')",
    f"{INSERT} VALUES ({NUMBER}, NULL)",
    f"{INSERT} VALUES ({NUMBER}, 'a'), ({NUMBER}, 'b'), ({NUMBER}, 'taken')",
    f"{INSERT} SELECT {NUMBER}, code || id FROM noted UNION ALL SELECT {NUMBER}, 'taken'",
    f"UPDATE noted SET number = {NUMBER}, code = 'taken'",
]


@pytest.mark.django_db(transaction=True, databases=["sqlite"], available_apps=["sequences_core"])
class TestFunction:
    using: ClassVar[str] = "sqlite"
    connection: Any

    @pytest.fixture(autouse=True)
    def table(self) -> Any:
        self.connection = connections["sqlite"]
        assert get_allocator(self.connection).is_installed(self.connection)
        self.run(TABLE)
        self.run("INSERT INTO noted (number, code) VALUES (0, 'taken'), (0, 'other')")
        yield
        self.run("DROP TABLE noted")

    def run(self, sql: str) -> Any:
        with self.connection.cursor() as cursor:
            return cursor.execute(sql).fetchall()

    @pytest.mark.parametrize("sql", FAILING)
    def test_a_statement_that_fails_takes_nothing(self, sql: str) -> None:
        """A statement that fails takes nothing, in autocommit and in a savepoint."""
        with pytest.raises(IntegrityError):
            self.run(sql)
        assert get_last_value("s", using="sqlite") is None
        with transaction.atomic(using="sqlite"):
            assert get_next_value("s", using="sqlite") == 1
            with pytest.raises(IntegrityError), transaction.atomic(using="sqlite"):
                self.run(sql)
            assert get_next_value("s", using="sqlite") == 2
        assert get_last_value("s", using="sqlite") == 2
        assert self.run("SELECT COUNT(*), SUM(number) FROM noted") == [(2, 0)]

    def test_each_connection_has_it(self) -> None:
        """Each new connection defines the function, also after a close."""
        assert self.run(f"SELECT {NUMBER}") == [(1,)]
        self.connection.close()
        assert self.run(f"SELECT {NUMBER}") == [(2,)]

    def test_what_it_was_that_went_wrong(self) -> None:
        """Within database_errors(), an error in the function is raised as the original one."""
        set_last_value(MAX_VALUE, "s", using="sqlite")
        with (
            pytest.raises(SequenceExhausted, match="exhausted: s"),
            database_errors(self.connection),
        ):
            self.run(f"SELECT {NUMBER}")
        self.run(f"ALTER TABLE {Counter._meta.db_table} RENAME TO elsewhere")
        try:
            with pytest.raises(TableMissing), database_errors(self.connection):
                self.run(f"SELECT {NUMBER}")
        finally:
            self.run(f"ALTER TABLE elsewhere RENAME TO {Counter._meta.db_table}")

    def test_another_function_that_fails_is_not_ours(self) -> None:
        """An earlier error of our function isn't reported for another function's error."""
        set_last_value(MAX_VALUE, "s", using="sqlite")
        with pytest.raises(SequenceExhausted), database_errors(self.connection):
            self.run(f"SELECT {NUMBER}")
        self.connection.connection.create_function("broken", 0, lambda: 1 // 0)
        with pytest.raises(OperationalError) as caught, database_errors(self.connection):
            self.run("SELECT broken()")
        assert type(caught.value) is OperationalError

    def test_an_interruption_inside_it_is_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Within database_errors(), KeyboardInterrupt and SystemExit end the thread nonetheless."""
        for error in (KeyboardInterrupt, SystemExit):

            def interrupt(*args: Any, error: type[BaseException] = error) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(function, "checked", interrupt)
                with pytest.raises(error), database_errors(self.connection):
                    self.run(f"SELECT {NUMBER}")

    def test_a_conflict_inside_it_is_retryable(self) -> None:
        """If a SELECT calls the function with an outdated snapshot, the error is retryable."""
        connection = self.connection
        other = connection.copy(alias="sqlite")
        mode, connection.transaction_mode = connection.transaction_mode, "DEFERRED"

        def read_then_take() -> None:
            with transaction.atomic(using="sqlite"):
                self.run("SELECT * FROM noted")
                with other.cursor() as cursor:
                    cursor.execute("UPDATE noted SET number = 1")
                self.run(f"SELECT {NUMBER}")

        try:
            with pytest.raises(OperationalError) as caught:
                read_then_take()
        finally:
            connection.transaction_mode = mode
            other.close()
        assert get_allocator(connection).is_retryable(caught.value)
