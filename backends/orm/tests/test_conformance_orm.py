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
