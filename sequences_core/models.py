"""The table of counters."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from .arguments import MAX_NAME_LENGTH

__all__ = ["Counter", "NameField"]


class NameField(models.CharField):  # type: ignore[type-arg] # not generic at run time
    """Text that compares byte for byte on every database.

    MySQL's and MariaDB's default collations ignore case and accents; utf8mb4_bin still ignores
    trailing spaces (https://dev.mysql.com/doc/refman/8.4/en/charset-binary-collations.html).
    PostgreSQL's "C" is what comparing bytes is, whatever the operating system's locales become.
    Not run, but documented: SQL Server's BIN2 collations compare code points
    (https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support);
    TiDB has utf8mb4_0900_bin from 7.4 only, and no name ends in a space
    (https://docs.pingcap.com/tidb/stable/character-set-and-collation).
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        parameters["collation"] = self._binary_collation(connection)
        if connection.vendor == "oracle":
            # NVARCHAR2 counts UTF-16 code units, of which an emoji has two.
            parameters["type"] = f"NVARCHAR2({2 * MAX_NAME_LENGTH})"
        return parameters

    @staticmethod
    def _binary_collation(connection: Any) -> str | None:
        if connection.vendor == "postgresql":
            return "C"
        if connection.vendor == "microsoft":
            return "Latin1_General_100_BIN2"
        if connection.vendor == "mysql":
            if connection.display_name == "TiDB":
                return "utf8mb4_bin"
            return "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        return None


class Counter(models.Model):
    """A sequence's counter. Numbers are taken by ``get_next_value``, never by this model."""

    name = NameField(max_length=MAX_NAME_LENGTH, primary_key=True)
    last = models.BigIntegerField(help_text="the last number taken")

    class Meta:
        constraints = [
            # -1 is where a counter stands that starts at 0 and was not taken from yet.
            models.CheckConstraint(
                condition=models.Q(last__gte=-1), name="sequences_core_last_from_minus_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.last}"
