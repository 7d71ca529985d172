"""The kit on a real Oracle server, if ORACLE_URL names one."""

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError

from sequences_core.testing import AllocatorContract


class TestOracle(AllocatorContract):
    using = "oracle"
    backend = "oracle"
    refusal = DatabaseError  # the driver has no narrower class for ORA-20000 to 20999

    def evaluate(self, sql: str, params: Sequence[Any]) -> int:
        """Evaluate in a block, because a query can't call a function that writes."""
        with self.connection.cursor() as cursor:
            number = cursor.var(int)
            cursor.execute(f"BEGIN %s := {sql}; END;\n", [number, *params])
            value: int = number.getvalue()
        return value
