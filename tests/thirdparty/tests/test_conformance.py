from sequences_core.testing import AllocatorContract


class TestAcme(AllocatorContract):
    backend = "acme"
