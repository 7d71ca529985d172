"""The documented query for snapshots that prevent the removal of old row versions."""

import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db import connections, transaction

from sequences_core import get_next_value
from sequences_core.testing.base import PATIENCE

PAGE = Path(__file__).parents[3] / "docs" / "backends" / "postgresql.rst"


def query() -> str:
    """Return the SQL block of the page that finds the holders of snapshots."""
    blocks = PAGE.read_text().split(".. code-block:: sql\n")
    (block,) = (block for block in blocks if "AS holders" in block)
    return block.partition(";")[0]


def rows(cursor: Any) -> list[dict[str, Any]]:
    cursor.execute(query())
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.mark.django_db(databases=["postgresql"], transaction=True)
class TestOldVersions:
    using: ClassVar[str] = "postgresql"

    def test_the_query_names_who_holds_old_versions(self) -> None:
        """The query reports the open snapshot, its age, and the old row versions of the table."""
        connection = connections[self.using]
        reader = connection.copy()
        try:
            with connection.cursor() as cursor, reader.cursor() as reading:
                reading.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                reading.execute("SELECT pg_backend_pid(), count(*) FROM sequences_core_counter")
                pid = reading.fetchone()[0]
                for _ in range(30):
                    with transaction.atomic(using=self.using):
                        get_next_value("held", using=self.using)
                # Sessions send their statistics only at intervals, between transactions.
                held: dict[str, Any] = {"old_versions": 0}
                deadline = time.monotonic() + PATIENCE
                while held["old_versions"] < 29 and time.monotonic() < deadline:
                    (held,) = [row for row in rows(cursor) if f" {pid} " in str(row["holder"])]
                    time.sleep(0.1)
                assert held["holder"].startswith("client backend ")
                assert held["holder"].endswith(" idle in transaction")
                assert held["transactions_since"] >= 30
                assert held["open_for"].total_seconds() > 0
                assert held["old_versions"] >= 29
                assert held["table_size"].endswith(("kB", "bytes"))
                reading.execute("ROLLBACK")
                found = rows(cursor)
                assert found, "the table's line is there without a holder, too"
                assert not [row for row in found if f" {pid} " in str(row["holder"])]
        finally:
            reader.close()
