"""Private servers start on demand, survive a crash, and leave no files behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers import ServerError, background, boot
from tests.servers.cache import cached
from tests.servers.errors import wait_until
from tests.servers.install import REQUIREMENTS, install
from tests.servers.launch import DEFAULT, KINDS, chosen, start, variable
from tests.servers.probe import connect, describe
from tests.servers.reaper import runs


def test_a_committed_row_survives_a_crash_and_the_data_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kill() is a crash, start() restarts on the same port and data, close() removes everything."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a folder that the servers' users can't read
    servers = [KINDS[name](durable=True) for name in chosen(os.environ.get("DB")) if name in KINDS]
    boot(servers)
    try:
        for server in servers:
            assert describe(server.url) == f"{server.title} {server.version}"
            server.query("CREATE TABLE survivor (number integer)")
            server.query("INSERT INTO survivor VALUES (1)")
            family = psutil.Process(server.pid).children(recursive=True)
            server.kill()
            assert not [child for child in family if runs(child)]
            with pytest.raises(ServerError, match="not running"):
                assert server.pid
            server.start()
            assert server.query("SELECT number FROM survivor") == [(1,)]
    finally:
        folders = [server.directory for server in servers]
        for server in servers:
            server.close()
    assert not [folder for folder in folders if folder.exists()]


OWNER = """
import signal, subprocess, sys, time
from pathlib import Path
from tests.servers import reaper
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
child = subprocess.Popen(["sleep", "600"])
reaper.watch(Path(sys.argv[1]), child.pid)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_its_owner(ending: signal.Signals, tmp_path: Path) -> None:
    """However the owner ends, its child processes end, too, and its data is removed."""
    folder = tmp_path / "data"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout
        child = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(ending)
    wait_until(lambda: not folder.exists(), "The data was not removed", 20)
    assert not runs(child)


def test_an_interrupted_build_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache contains complete directories only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(path: Path) -> None:
        path.mkdir()
        raise KeyboardInterrupt

    def works(path: Path) -> None:
        path.mkdir()
        (path / "file").touch()

    with pytest.raises(KeyboardInterrupt):
        cached("things/one", fails)
    assert list((tmp_path / "sequences-core/things").iterdir()) == []
    assert (cached("things/one", works) / "file").exists()
    assert (cached("things/one", fails) / "file").exists()


def test_a_missing_server_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user who is not root is told the command that root must run."""
    missing = REQUIREMENTS["mariadb"]._replace(parts=("no-such-program",))
    monkeypatch.setitem(REQUIREMENTS, "mariadb", missing)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ServerError, match=r"MariaDB.*sudo apt-get install .*mariadb-server"):
        install("mariadb")


def test_a_url_that_is_set_is_used_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL replaces the private server."""
    monkeypatch.setenv(variable("mysql"), "mysql://elsewhere/name")
    assert start(["mysql"]) == {"mysql": "mysql://elsewhere/name"}


def test_oracle_needs_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle can't be installed, so without a URL it is an error, and not silently left out."""
    monkeypatch.delenv(variable("oracle"), raising=False)
    with pytest.raises(ServerError, match="ORACLE_URL"):
        start(["oracle"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, DEFAULT),
        ("", DEFAULT),
        ("sqlite", ("sqlite",)),
        ("mysql, sqlite", ("mysql", "sqlite")),
        ("mysql sqlite mysql", ("mysql", "sqlite")),
        ("postgresql@18,mariadb", ("postgresql", "mariadb")),
    ],
)
def test_db_lists_databases(names: str | None, expected: tuple[str, ...]) -> None:
    """Commas or spaces separate the names; duplicates are removed; empty means all."""
    assert chosen(names) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("sqlite,mongodb", "'mongodb'"),
        ("sqlite,postgresql@9", "Unknown release postgresql@9; choose from postgresql@14, "),
        ("sqlite@3", "Unknown release sqlite@3; only its default release is available"),
    ],
)
def test_db_with_an_unknown_database_is_refused(names: str, message: str) -> None:
    """A typing error must not silently leave out a database, or test another release."""
    with pytest.raises(ServerError, match=message):
        chosen(names)


def test_a_server_is_of_the_release_that_db_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that a test starts itself have that release; others are the machine's own."""
    monkeypatch.setenv("DB", "postgresql@18, mysql")
    assert {name: kind().release for name, kind in KINDS.items()} == {
        "postgresql": "18",
        "mariadb": "",
        "mysql": "",
        "firebird": "",
    }


@pytest.mark.parametrize("name", [name for name in chosen(os.environ.get("DB")) if name in KINDS])
def test_a_server_in_the_background_outlives_who_started_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another process finds the server, refuses it for another release, and stops it."""
    monkeypatch.setattr(background, "FOLDER", tmp_path / "servers")
    monkeypatch.delenv(variable(name), raising=False)
    script = (
        "import sys; from pathlib import Path; from tests.servers import background;"
        "background.FOLDER = Path(sys.argv[1]); background.start([sys.argv[2]])"
    )
    subprocess.run([sys.executable, "-c", script, background.FOLDER, name], check=True)
    state = background.running(name)
    assert state
    try:
        assert background.start([name]) == {name: state["url"]}
        connect(state["url"]).close()
        monkeypatch.setitem(os.environ, "DB", f"{name}@other")
        with pytest.raises(ServerError, match="another release"):
            background.start([name])
    finally:
        assert background.stop([name]) == [name]
    assert not Path(state["folder"]).exists()
    assert not psutil.pid_exists(state["pid"]) or not runs(psutil.Process(state["pid"]))
