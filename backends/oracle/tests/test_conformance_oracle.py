"""A real Oracle server passes the kit, where ORACLE_URL names one."""

from sequences_core.testing import AllocatorContract


class TestOracle(AllocatorContract):
    using = "oracle"
    backend = "oracle"
