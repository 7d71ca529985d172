from sequences_core.testing import AllocatorContract


class TestPostgreSQL(AllocatorContract):
    using = "postgresql"
    backend = "postgresql"
