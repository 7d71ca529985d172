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
from tests.servers.base import runs
from tests.servers.clusters import Galera
from tests.servers.errors import wait_until
from tests.servers.folders import cached, remove, temporary
from tests.servers.install import REQUIREMENTS, install
from tests.servers.launch import DEFAULT, KINDS, chosen, start, variable
from tests.servers.probe import connect, describe

SERVERS = [name for name in chosen(os.environ.get("DB")) if name in KINDS]


def test_a_committed_row_survives_a_crash_and_the_data_ends_with_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kill() is a crash, start() restarts on the same port and data, close() removes everything."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a folder that the servers' users can't read
    servers = [KINDS[name](durable=True) for name in SERVERS]
    boot(servers)
    try:
        for server in servers:
            assert describe(server.url) == f"{server.title} {server.version}"
            server.query("CREATE TABLE survivor (number integer)")
            server.query("INSERT INTO survivor VALUES (1)")
            family = server.signal(signal.SIGCONT)
            server.kill()
            assert not any(map(runs, family))
            server.start()
            assert server.query("SELECT number FROM survivor") == [(1,)]
    finally:
        folders = [server.directory for server in servers]
        for server in servers:
            server.close()
    assert not [folder for folder in folders if folder.exists()]


OWNER = """
import signal, sys
from tests.servers.launch import KINDS
with KINDS[sys.argv[1]]() as server:
    print(server.directory, server.signal(signal.SIGCONT)[0].pid, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("name", SERVERS)
def test_nothing_outlives_an_owner_that_is_killed(name: str) -> None:
    """The server ends with it, and whoever needs a folder next removes the one that is left."""
    command = [sys.executable, "-c", OWNER, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        place, pid = owner.stdout.readline().split()
        server = psutil.Process(int(pid))
        family = [server, *server.children(recursive=True)]
        used = temporary("test", Path(place).parent)
        assert Path(place).exists()
        owner.kill()
    wait_until(lambda: not any(map(runs, family)), "The server did not end", 10)
    remove(temporary("test", Path(place).parent))
    assert not Path(place).exists()
    assert used.exists()
    remove(used)


def test_an_interrupted_build_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache contains complete directories only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(path: Path) -> None:
        path.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("things/one", fails)
    assert not (tmp_path / "sequences-core/things/one").exists()
    assert cached("things/one", Path.mkdir).exists()
    assert cached("things/one", fails).exists()


def test_a_missing_server_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user who is not root is told the command that root must run."""
    missing = REQUIREMENTS["mariadb"]._replace(parts=("no-such-program",))
    monkeypatch.setitem(REQUIREMENTS, "mariadb", missing)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ServerError, match=r"mariadb.*sudo apt-get install .*mariadb-server"):
        install("mariadb")


def test_oracle_needs_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle can't be installed, so without a URL it is an error, and not silently left out."""
    monkeypatch.delenv(variable("oracle"), raising=False)
    with pytest.raises(ServerError, match="ORACLE_URL"):
        start(["oracle"])


def test_db_lists_databases_and_their_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas or spaces separate the names; duplicates are removed; empty means all."""
    assert chosen(None) == chosen("") == DEFAULT
    monkeypatch.setenv("DB", "mysql postgresql@18,mysql")
    assert chosen(os.environ["DB"]) == ("mysql", "postgresql")
    assert [KINDS[name]().release for name in ("mysql", "postgresql", "mariadb")] == ["", "18", ""]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("sqlite,mongodb", "'mongodb'"),
        ("sqlite,postgresql@9", "Unknown release postgresql@9; known: 14, 15, "),
        ("sqlite@3", "Unknown release sqlite@3; known: none but its default"),
    ],
)
def test_db_with_an_unknown_database_is_refused(names: str, message: str) -> None:
    """A typing error must not silently leave out a database, or test another release."""
    with pytest.raises(ServerError, match=message):
        chosen(names)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_in_the_background_outlives_who_started_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another command finds the server, refuses it for another release, and stops it."""
    monkeypatch.setattr(background, "FOLDER", tmp_path / "servers")
    monkeypatch.delenv(variable(name), raising=False)
    urls = background.start([name])
    try:
        assert background.start([name]) == urls
        connect(urls[name]).close()
        monkeypatch.setitem(os.environ, "DB", f"{name}@other")
        with pytest.raises(ServerError, match="another release"):
            background.start([name])
    finally:
        assert background.stop([name]) == [name]
    assert not background.running(name)
    with pytest.raises(Exception, match=r"(?i)connect|refused"):
        connect(urls[name])


@pytest.mark.skipif("mysql" not in SERVERS, reason="a node's query fails on MySQL")
def test_a_node_whose_query_fails_is_not_ready() -> None:
    """A joining node can accept connections before it executes statements."""
    node = Galera().nodes[0]
    assert not node.answers()
    with KINDS["mysql"]() as server:
        node.port = server.port
        assert server.answers()
        assert not node.answers()
