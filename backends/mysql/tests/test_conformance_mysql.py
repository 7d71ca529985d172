from sequences_core.testing import AllocatorContract


class TestMySQL(AllocatorContract):
    using = "mysql"
    backend = "mysql"


class TestMariaDB(AllocatorContract):
    using = "mariadb"
    backend = "mysql"
