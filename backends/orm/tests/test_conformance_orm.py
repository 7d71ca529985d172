"""The ORM backend takes numbers from any database."""

from sequences_core.testing import AllocatorContract


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


class TestORMOnFirebird(AllocatorContract):
    """A vendor that no backend is made for, with connections as ``tests.app.apps`` sets them."""

    using = "firebird"
    backend = "orm"
    isolation_levels = ("READ COMMITTED", "SNAPSHOT")

    def set_isolation_level(self, level: str) -> None:
        from firebird.driver import Isolation, tpb

        self.connection.ensure_connection()
        transactions = self.connection.connection.main_transaction
        transactions.default_tpb = tpb(Isolation[level.replace(" ", "_")])
