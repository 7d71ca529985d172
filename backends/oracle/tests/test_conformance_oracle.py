"""The kit on a real Oracle server, if ORACLE_URL names one."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from django.db import DatabaseError, connections

from sequences_core import get_allocator
from sequences_core.testing import AllocatorContract


class TestOracle(AllocatorContract):
    using = "oracle"
    backend = "oracle"
    refusal = DatabaseError  # the driver has no narrower class for ORA-20000 to 20999

    def error_of(self, code: str | int) -> DatabaseError:
        """Return an error whose argument is the driver's object, as Django passes it on."""
        return DatabaseError(SimpleNamespace(code=code))

    def evaluate(self, sql: str, params: Sequence[Any]) -> int:
        """Evaluate in a block, because a query can't call a function that writes."""
        with self.connection.cursor() as cursor:
            number = cursor.var(int)
            cursor.execute(f"BEGIN %s := {sql}; END;\n", [number, *params])
            value: int = number.getvalue()
        return value


def test_the_kit_makes_errors_as_the_driver_does(recorder: Any) -> None:
    """The allocator finds the code of each error that the kit makes."""
    allocator = get_allocator(connections["recorded"])
    for code in allocator.retryable_codes:
        assert allocator.error_code(TestOracle().error_of(code)) == code
