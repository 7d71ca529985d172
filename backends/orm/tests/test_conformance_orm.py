"""The ORM backend takes numbers from any database."""

from __future__ import annotations

import pytest

from sequences_core.testing import AllocatorContract

DEFECTS = {
    "test_a_lost_connection_loses_the_number": "its commit() passes over a connection that is gone",
    "test_missing_table_names_the_command": "it can't rename a table that has a constraint",
}
"""What django-firebird 5.0.4 itself does wrong, by the tests that see it."""


class TestORMOnSQLite(AllocatorContract):
    using = "sqlite"
    backend = "orm"
    locks_database = True  # SQLite does, whoever asks


class TestORMOnPostgreSQL(AllocatorContract):
    using = "postgresql"
    backend = "orm"


class TestORMOnMariaDB(AllocatorContract):
    using = "mariadb"
    backend = "orm"


class TestORMOnMySQL(AllocatorContract):
    using = "mysql"
    backend = "orm"


# The driver warns of cursors that are open when an exception ends a call, as in an interruption.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestORMOnFirebird(AllocatorContract):
    """A vendor that no backend is made for, with connections as ``tests.app.apps`` sets them."""

    using = "firebird"
    backend = "orm"
    isolation_levels = ("READ COMMITTED", "SNAPSHOT")

    @pytest.fixture(autouse=True)
    def _defects(self, request: pytest.FixtureRequest) -> None:
        if reason := DEFECTS.get(request.node.name):
            request.applymarker(pytest.mark.xfail(reason=f"django-firebird: {reason}"))

    def set_isolation_level(self, level: str) -> None:
        from firebird.driver import Isolation, tpb

        self.connection.ensure_connection()
        transactions = self.connection.connection.main_transaction
        transactions.default_tpb = tpb(Isolation[level.replace(" ", "_")])
