"""The block's control flow, executed as a procedure by MariaDB in Oracle mode.

MariaDB has PL/SQL's blocks, loops and exception handlers, but no MERGE: an INSERT and an UPDATE
stand in for it. Nor has it PRAGMA EXCEPTION_INIT, and in procedures no NOWAIT: they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from django.db import DatabaseError, connections
from sequences_oracle.blocks import LIMITED, sql, upsert_block

from sequences_core.table import TABLE

INSERT = f"\n    INSERT INTO {TABLE} (name, last) VALUES (%(name)s, 1)"
UPDATE = f"\n    UPDATE {TABLE} SET last = last + 1 WHERE name = %(name)s AND last < 3"


@pytest.mark.django_db(databases=["mariadb"], transaction=True)
class TestBlock:
    using: ClassVar[str] = "mariadb"

    @pytest.fixture
    def run(self) -> Iterator[Callable[[str, str], int | None]]:
        """Execute a block for a name, and return the value of ``last``."""
        with connections[self.using].cursor() as cursor:
            cursor.execute("SET sql_mode = 'ORACLE'")

            def run(block: str, name: str) -> int | None:
                text = re.sub(r"PRAGMA .*", "", sql(block).replace(f'"{TABLE.upper()}"', TABLE))
                text = text % {"name": "bind_name", "last": "bind_last"}
                cursor.execute(
                    "CREATE OR REPLACE PROCEDURE run_block("
                    f"bind_name VARCHAR2(255), bind_last OUT BIGINT) AS BEGIN {text} END;"
                )
                cursor.execute("SET @last = NULL")
                cursor.execute("CALL run_block(%s, @last)", [name])
                cursor.execute("SELECT @last")
                last: int | None = cursor.fetchone()[0]
                return last

            yield run
            cursor.execute("DROP PROCEDURE IF EXISTS run_block")
        connections[self.using].close()

    @pytest.mark.parametrize("limited", [False, True])
    def test_duplicate_is_handled(
        self, limited: bool, run: Callable[[str, str], int | None]
    ) -> None:
        """After a duplicate the second statement runs; ``last`` is set if one found its row."""
        first, second = upsert_block(INSERT).rsplit(INSERT, 1)
        block = first + UPDATE + second
        if limited:
            block = LIMITED.replace("{wait}", "").replace("{block}", block)
        assert [run(block, "s") for _ in range(5)] == [1, 2, 3, None, None]
        assert run(block, "t") == 1

    def test_second_duplicate_is_raised(self, run: Callable[[str, str], int | None]) -> None:
        """A duplicate in the handler raises the block's own exception."""
        block = upsert_block(INSERT)
        assert run(block, "s") == 1
        with pytest.raises(DatabaseError, match="user-defined exception"):
            run(block, "s")
