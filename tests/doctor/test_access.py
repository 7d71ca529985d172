"""The doctor's findings for databases that nobody, or only some users, can use."""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import connections

from sequences_core.models import Counter
from tests.servers.ports import free_port

from .conftest import another
from .reading import Finding, examine, execute, one, only

TABLE = Counter._meta.db_table


LOGIN = {
    "postgresql": ("CREATE ROLE clerk LOGIN", "DROP OWNED BY clerk", "DROP ROLE clerk"),
    "mysql": ("CREATE USER clerk IDENTIFIED BY 'secret'", "DROP USER clerk"),
}


@pytest.fixture
def clerk(alias: str) -> Iterator[str]:
    """The alias of the same database for a user with the privilege to connect only."""
    only(alias, "postgresql", "mariadb", "mysql")
    create, *drop = LOGIN[connections[alias].vendor]
    execute(alias, create)
    if connections[alias].vendor == "mysql":  # where using a database requires a privilege
        execute(alias, f"GRANT SHOW VIEW ON {connections[alias].settings_dict['NAME']}.* TO clerk")
    try:
        with another(alias, "clerk", USER="clerk", PASSWORD="secret") as name:
            yield name
    finally:
        execute(alias, *drop)


def type_remedies(alias: str, found: list[Finding]) -> None:
    """Execute the remedies of the findings as a superuser."""
    remedies = [finding["remedy"] for finding in found]
    execute(alias, *(remedy for remedy in remedies if remedy.startswith("GRANT ")))


def test_a_user_without_privileges(alias: str, clerk: str) -> None:
    """Each missing privilege is a finding; its remedies lead to a database without findings."""
    (finding,) = (each for each in examine(clerk) if each["level"] == "error")
    assert "can't be read" in finding["message"]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON sequences_core_counter" in finding["remedy"]
    user = "'clerk'@'%'" if connections[alias].vendor == "mysql" else "clerk"
    execute(alias, f"GRANT SELECT ON {TABLE} TO {user}")
    found = examine(clerk)
    finding = one(found, "may not INSERT, UPDATE, DELETE on")
    assert finding["level"] == "error"
    for _ in range(2):  # further problems may appear after the first remedy
        type_remedies(alias, examine(clerk))
        connections[clerk].close()  # some privileges apply to new connections only
    assert examine(clerk) == []


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as another user, because root can write all files."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_may_only_be_read(alias: str) -> None:
    """On SQLite, the file and, for the journal, its folder must be writable."""
    only(alias, "sqlite")
    assert examine(alias) == []
    with tempfile.TemporaryDirectory() as folder:  # unlike tmp_path, other users can read it
        file = Path(shutil.copy(connections[alias].settings_dict["NAME"], folder))
        file.chmod(0o444)
        Path(folder).chmod(0o555)
        with another(alias, "readonly", NAME=str(file)), as_nobody():
            found = examine("readonly")
        Path(folder).chmod(0o755)
    assert [finding["level"] for finding in found] == ["error", "error"]
    assert [finding["remedy"].split()[-1] for finding in found] == [str(file), folder]


def test_a_database_that_only_answers(alias: str) -> None:
    """query_only is a setting of SQLite's connections."""
    only(alias, "sqlite")
    options = {**connections[alias].settings_dict["OPTIONS"], "init_command": "PRAGMA query_only=1"}
    with another(alias, "readonly", OPTIONS=options):
        assert one(examine("readonly"), "query_only")["level"] == "error"


def test_a_database_that_refuses_to_write(alias: str) -> None:
    """The session or the file is read-only."""
    settings = connections[alias].settings_dict
    changed: dict[str, dict[str, Any]] = {
        "sqlite": {"NAME": f"file:{settings['NAME']}?mode=ro"},
        "postgresql": {"OPTIONS": {"options": "-c default_transaction_read_only=on"}},
        "mysql": {"OPTIONS": {"init_command": "SET SESSION TRANSACTION READ ONLY"}},
    }
    with another(alias, "readonly", **changed[connections[alias].vendor]) as readonly:
        finding = one(examine(readonly), "is read-only: numbers can't be taken")
    assert finding["level"] == "error"
    assert "allow_migrate" in finding["remedy"]


def test_a_server_that_refuses_to_write(alias: str, clerk: str) -> None:
    """A replica of MySQL is read-only for users without an additional privilege."""
    only(alias, "mariadb", "mysql")
    database = connections[alias].settings_dict["NAME"]
    execute(alias, f"GRANT ALL ON {database}.* TO clerk", "SET GLOBAL read_only = ON")
    try:
        finding = one(examine(clerk), "is read-only: numbers can't be taken")
        assert "read-only option" in finding["message"]
        assert not [each for each in examine(alias) if "is read-only" in each["message"]]
    finally:
        execute(alias, "SET GLOBAL read_only = OFF")


def test_an_engine_that_is_not_installed(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding names the engine, and the other databases are examined."""
    handler: Any = connections
    broken = {**handler.settings[alias], "ENGINE": "no.such.engine"}
    monkeypatch.setitem(handler.settings, "broken", broken)
    finding = one(examine("broken"), "Database 'broken' can't be used: 'no.such.engine'")
    assert finding["level"] == "error"
    assert "DATABASES['broken']" in finding["remedy"]
    assert not [each for each in examine(alias) if each["level"] == "error"]
    out = StringIO()
    with pytest.raises(CommandError, match="error"):
        call_command("sequences", "doctor", stdout=out)
    assert f"Database {alias!r}" in out.getvalue()


def test_a_file_that_is_no_database(alias: str, tmp_path: Path) -> None:
    """The remedy doesn't recommend privileges for a file that isn't a database."""
    only(alias, "sqlite")
    file = tmp_path / "db.sqlite3"
    file.write_bytes(b"no database" * 100)
    with another(alias, "broken", NAME=str(file)):
        found = examine("broken")
    # Whether connecting fails, or the first statement after it, depends on SQLite's release.
    assert any("file is not a database" in finding["message"] for finding in found)
    with warnings.catch_warnings():  # Django doesn't close a connection whose set-up fails.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert not any("GRANT" in (finding["remedy"] or "") for finding in found)


def test_a_database_that_is_down(alias: str) -> None:
    """A refused connection is an error that shows the settings; other databases are examined."""
    only(alias, "postgresql", "mariadb", "mysql")
    port = free_port()
    with another(alias, "down", PORT=port, HOST="127.0.0.1"):
        (finding,) = examine("down")
    assert finding["level"] == "error"
    assert "Can't connect to database 'down'" in finding["message"]
    assert f"PORT = {port}" in finding["remedy"]
    assert "PASSWORD" not in finding["remedy"]


def test_a_file_that_is_not_there(alias: str, tmp_path: Path) -> None:
    """SQLite can't create a file whose folder doesn't exist."""
    only(alias, "sqlite")
    with another(alias, "down", NAME=str(tmp_path / "none" / "db.sqlite3")):
        (finding,) = examine("down")
    assert "Can't connect to database 'down'" in finding["message"]


def test_a_database_without_a_backend(alias: str, settings: Any) -> None:
    """The doctor shows only the message of the system check."""
    settings.SEQUENCES_BACKEND = {alias: "nosuch"}
    (finding,) = examine(alias)
    assert (finding["level"], finding["id"]) == ("error", "sequences_core.E001")
    assert "'nosuch' is not installed" in finding["message"]


def test_read_uncommitted(alias: str) -> None:
    """The level comes from the settings, or from the server if the settings have none."""
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    only(alias, "postgresql", "mariadb", "mysql")
    level = {"postgresql": IsolationLevel.READ_UNCOMMITTED}.get(
        connections[alias].vendor, "read uncommitted"
    )
    with another(alias, "dirty", OPTIONS={"isolation_level": level}):
        found = examine("dirty")
    assert one(found, "READ UNCOMMITTED")["id"] == "sequences_core.E002"


def test_read_uncommitted_by_the_server(alias: str) -> None:
    """MySQL and MariaDB use the server's level if the OPTIONS set none."""
    only(alias, "mariadb", "mysql")
    execute(alias, "SET GLOBAL TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    try:
        with another(alias, "dirty", OPTIONS={"isolation_level": None}):
            (finding,) = examine("dirty")
    finally:
        execute(alias, "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert finding["level"] == "error"
    assert "isolation_level" in finding["remedy"]


def test_its_exit_status(alias: str, settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The command reports problems that make other commands fail, and exits with an error."""
    command = ["manage.py", "sequences", "doctor", "--database", alias]
    execute_from_command_line(command)
    assert "sound" in capsys.readouterr().out
    settings.SEQUENCES_BACKEND = {alias: "nosuch"}
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(command)
    assert caught.value.code == 1
    shown = capsys.readouterr()
    assert f"Database {alias!r}: 1 error" in shown.out
    assert "sequences_core.E001" in shown.out
    assert shown.err == "CommandError: 1 error found.\n"


class PrivateOnly:
    """A router that allows the counters in the private database and in one that is down."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return next(alias for alias in connections if alias.startswith("private_"))

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "down" or db.startswith("private_")


def test_without_an_alias_all_databases_are_examined(alias: str, settings: Any) -> None:
    """The command has a section for each database with the table, and for one that is down."""
    settings.DATABASE_ROUTERS = [f"{__name__}.PrivateOnly"]
    settings.SEQUENCES_BACKEND = {"down": "nosuch"}
    out = StringIO()
    with another(alias, "down"), pytest.raises(CommandError, match=r"^1 error found\.$"):
        call_command("sequences", "doctor", stdout=out, no_color=True)
    headings = [line for line in out.getvalue().splitlines() if line.startswith("Database ")]
    assert headings == [f"Database {alias!r}: sound", "Database 'down': 1 error"]
