from sequences_core.testing import AllocatorContract


class TestSQLite(AllocatorContract):
    using = "sqlite"
    backend = "sqlite"
