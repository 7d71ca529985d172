from sequences_core.testing import AllocatorContract


class TestGlobex(AllocatorContract):
    backend = "globex"
