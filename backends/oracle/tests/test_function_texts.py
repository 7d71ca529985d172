"""The statements that install the database function, and an INSERT that calls it."""

from __future__ import annotations

import re
from typing import Any

import oracledb
import pytest
from django.db import ProgrammingError, connections
from oracledb.errors import _Error
from sequences_oracle.function import DROP, ERRORS, create, is_installed

from sequences_core import NextValue, SequenceExhausted, get_allocator
from sequences_core.allocator import EXHAUSTED
from sequences_core.operations import install
from tests.app.models import Invoice
from tests.numbered.models import Invoice as NumberedInvoice

ALIAS = "recorded"

CREATE, IS_INSTALLED = create(), is_installed()


def refuse(code: int, message: str) -> oracledb.Error:
    """Return the driver's exception for an error of the server."""
    return oracledb.DatabaseError(_Error(message, code=code))


def texts(recorder: Any) -> list[str]:
    return [execution.text for execution in recorder.executions]


def test_create_is_one_whole_unit(recorder: Any) -> None:
    """The function's text reaches the driver with its final semicolon and without binds."""
    install(connections[ALIAS])
    assert texts(recorder) == [IS_INSTALLED, CREATE, ERRORS]
    assert CREATE.startswith("CREATE OR REPLACE FUNCTION sequences_next_value(")
    assert CREATE.endswith("END;\n")
    assert len(re.findall(r"\bBEGIN\b", CREATE)) == len(re.findall(r"\bEND;", CREATE))
    assert not re.search(r":\w|%[^r]", re.sub(r"'.*?'", "", CREATE))
    assert [execution.binds for execution in recorder.executions] == [[], [], []]


def test_installing_again_makes_nothing(recorder: Any) -> None:
    """A current function isn't created again, because DDL would commit."""
    recorder.rows[IS_INSTALLED] = (1,)
    install(connections[ALIAS])
    assert texts(recorder) == [IS_INSTALLED]


def test_mark_is_looked_for(recorder: Any) -> None:
    """The query searches for this version's mark, which is in the source once."""
    (mark,) = re.findall(r"LIKE '%(.*?)%'", IS_INSTALLED)
    assert CREATE.count(f"/* {mark} */") == 1
    allocator = get_allocator(connections[ALIAS])
    assert not allocator.is_installed(connections[ALIAS])
    recorder.rows[IS_INSTALLED] = (1,)
    assert allocator.is_installed(connections[ALIAS])


def test_installing_without_the_privilege(recorder: Any) -> None:
    """ORA-01031 becomes a warning that names the privilege, and migrate goes on."""
    recorder.errors[CREATE] = refuse(1031, "ORA-01031: insufficient privileges")
    with pytest.warns(UserWarning, match="GRANT CREATE PROCEDURE"):
        install(connections[ALIAS])


def test_installing_what_does_not_compile(recorder: Any) -> None:
    """A function that doesn't compile raises an error with the reason."""
    recorder.rows[ERRORS] = ("PL/SQL: ORA-00942: table or view does not exist",)
    with pytest.raises(ProgrammingError, match="ORA-00942"):
        install(connections[ALIAS])


def test_uninstalling(recorder: Any) -> None:
    """Dropping the function is one block, which checks whether the function exists."""
    get_allocator(connections[ALIAS]).uninstall(connections[ALIAS])
    assert texts(recorder) == [DROP]
    assert DROP.endswith("END;\n")


def test_insert(recorder: Any) -> None:
    """An INSERT uses VALUES, because a function in a query can't write (ORA-14551)."""
    recorder.rows[IS_INSTALLED] = (1,)
    recorder.answers = [[7], [7]]  # newer versions of Django also return the number
    invoice = Invoice(number=NextValue("s"))
    invoice.save(using=ALIAS)
    insert = recorder.executions[-1]
    assert invoice.pk == 7
    assert "VALUES (sequences_next_value(:arg0, 1, NULL)) RETURNING" in insert.text
    assert insert.binds[":arg0"] == "s"


def test_field(recorder: Any) -> None:
    """In autocommit, saving a SequenceField is one statement that returns the number."""
    recorder.rows[IS_INSTALLED] = (1,)
    recorder.answers = [[3], [9]]
    invoice = NumberedInvoice(note="x")
    invoice.save(using=ALIAS)
    look, insert = recorder.executions
    assert look.text == IS_INSTALLED
    assert "VALUES (sequences_next_value(" in insert.text
    assert {invoice.pk, invoice.number} == {3, 9}
    assert recorder.ends == []


def test_bulk_of_one(recorder: Any) -> None:
    """After a bulk INSERT, which returns nothing on Oracle, instances have their numbers."""
    recorder.rows[IS_INSTALLED] = (1,)
    recorder.answers = [5]
    (invoice,) = NumberedInvoice.objects.using(ALIAS).bulk_create([NumberedInvoice(note="x")])
    assert invoice.number == 5


def test_exhausted(recorder: Any) -> None:
    """The function's own error becomes SequenceExhausted."""
    recorder.rows[IS_INSTALLED] = (1,)
    recorder.answers = [refuse(20003, f"ORA-20003: {EXHAUSTED}: invoices")]
    with pytest.raises(SequenceExhausted):
        NumberedInvoice(note="x").save(using=ALIAS)
