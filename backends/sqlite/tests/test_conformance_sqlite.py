from django.db import OperationalError

from sequences_core.testing import AllocatorContract


class TestSQLite(AllocatorContract):
    using = "sqlite"
    backend = "sqlite"
    # sqlite3 gives no other text for an error inside a function.
    refusal = OperationalError
    exhausted = "user-defined function raised exception"
