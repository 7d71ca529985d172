"""Replacements for an Oracle server: a recording driver, and H2 in Oracle mode."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import oracledb
import pytest
from django.db import connections
from django.db.backends.oracle.base import DatabaseWrapper
from django.db.utils import ConnectionHandler

from sequences_core import Allocation, get_allocator
from tests.servers.install import install

ALIAS = "recorded"


class Variable:
    """A variable of the driver that receives a value of the server."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.value: Any = None

    def getvalue(self) -> Any:
        return self.value


class Execution(NamedTuple):
    """One round trip: the text and the binds that the driver received."""

    text: str
    binds: Any


class Recorder:
    """A replacement for ``oracledb.connect``: connection and cursor in one, for one session.

    A block with an OUT bind returns the next of ``answers``, or raises it if it is an
    error. ``errors`` and ``rows`` contain the texts that fail, and those that return a row.
    """

    version = "19.3.0.0.0"
    statement: str | None = None

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.input_sizes: list[Any] = []
        self.answers: list[Any] = []
        self.errors: dict[str, oracledb.Error] = {}
        self.rows: dict[str | None, tuple[Any, ...]] = {}
        self.autocommit = False
        self.ends: list[str] = []

    @property
    def blocks(self) -> list[Execution]:
        """Return the executions that have an OUT bind."""
        return [execution for execution in self.executions if _out(execution.binds)]

    def cursor(self) -> Recorder:
        return self

    def close(self) -> None:
        """Do nothing, because nothing is open."""

    def var(self, kind: type) -> Variable:
        return Variable(kind)

    def setinputsizes(self, *args: Any, **kwargs: Any) -> None:
        self.input_sizes.append((args, kwargs))

    def execute(self, text: str, binds: Any) -> None:
        self.statement = text
        self.executions.append(Execution(text, binds))
        if text in self.errors:
            raise self.errors[text]
        for variable in _out(binds):
            answer = self.answers.pop(0)
            if isinstance(answer, oracledb.Error):
                raise answer
            variable.value = answer

    def fetchone(self) -> tuple[Any, ...] | None:
        return self.rows.get(self.statement)

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        row = self.rows.pop(self.statement, None)
        return [] if row is None else [row]

    def commit(self) -> None:
        self.ends.append("commit")

    def rollback(self) -> None:
        self.ends.append("rollback")


def _out(binds: Any) -> list[Variable]:
    values = binds.values() if isinstance(binds, dict) else binds
    return [value for value in values if isinstance(value, Variable)]


@pytest.fixture
def recorder(
    monkeypatch: pytest.MonkeyPatch, settings: Any, django_db_blocker: Any
) -> Iterator[Recorder]:
    """The session of ``using=ALIAS``, a connection of Django's Oracle backend."""
    settings.SEQUENCES_BACKEND = "auto"
    settings.SEQUENCES_AUTOCOMMIT = "allow"
    database = {"ENGINE": "django.db.backends.oracle", "NAME": "localhost:1521/FREEPDB1"}
    wrapper = ConnectionHandler({"default": {}, ALIAS: database})[ALIAS]
    assert isinstance(wrapper, DatabaseWrapper)
    session = Recorder()
    monkeypatch.setattr(oracledb, "connect", lambda **kwargs: session)
    connections[ALIAS] = wrapper
    with django_db_blocker.unblock():
        wrapper.ensure_connection()
        session.executions.clear()  # the session's settings
        yield session
    del connections[ALIAS]


@pytest.fixture
def record(recorder: Recorder) -> Callable[[Allocation], Execution]:
    """Return the statement that the allocator executes for an allocation."""

    def record(allocation: Allocation) -> Execution:
        connection = connections[ALIAS]
        recorder.answers = [MAX_ANSWER]
        get_allocator(connection).allocate(connection, allocation)
        return recorder.executions[-1]

    return record


MAX_ANSWER = 2**63 - 1
"""A result after which any block is valid."""


@pytest.fixture(scope="session")
def h2_library() -> Any:
    """The module jaydebeapi, with a Java that has H2."""
    jar = install("h2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an escape sequence in its source
        import jaydebeapi
        import jpype
    if not jpype.isJVMStarted():
        # A small heap, and no signal handlers, because pytest has its own.
        options = ("-Xrs", "-Xmx64m", "-XX:+UseSerialGC")
        jpype.startJVM(*options, classpath=[str(jar)], convertStrings=True)
    return jaydebeapi


@pytest.fixture
def connect(h2_library: Any) -> Iterator[Callable[[], Any]]:
    """Open connections, with autocommit off, to a new H2 database in Oracle mode."""
    opened = []
    url = f"jdbc:h2:mem:{uuid.uuid4().hex};MODE=Oracle;LOCK_TIMEOUT=20000"

    def connect() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jaydebeapi uses an old name of JPype's
            connection = h2_library.connect("org.h2.Driver", url, ["sa", ""])
        connection.jconn.setAutoCommit(False)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()
