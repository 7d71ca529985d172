"""Install what the servers need, on Debian and Ubuntu as root; elsewhere say which command does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.cache import cached, locked
from tests.servers.errors import ServerError

SYSTEM_PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)
"""The user's PATH and the administrators' folders, where Debian puts the servers."""

POLICY = Path("/usr/sbin/policy-rc.d")

AXE_CORE = "4.14.1"


def which(program: str) -> Path | None:
    """Where `program` is, also when it is for administrators only."""
    found = shutil.which(program, path=SYSTEM_PATH)
    return Path(found) if found else None


def postgresql_binaries() -> Path | None:
    """The folder with the newest PostgreSQL server's programs."""
    if postgres := which("postgres"):
        return postgres.resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(debian, key=lambda path: float(path.parts[4]), default=None)
    return newest.parent if newest else None


def mysqld_on_path() -> Path | None:
    """A mysqld that is MySQL 8 or newer (MariaDB installs a mysqld too)."""
    if mysqld := which("mysqld"):
        banner = subprocess.run([mysqld, "--version"], capture_output=True, text=True).stdout
        version = banner.partition("Ver ")[2].split(".")[0]
        if "MariaDB" not in banner and version.isdigit() and int(version) >= 8:
            return mysqld
    return None


def galera_library() -> Path | None:
    """The write-set replication library that MariaDB loads for a cluster."""
    return next(iter(sorted(Path("/usr/lib").glob("**/galera/libgalera_smm.so"))), None)


def h2_library() -> Path | None:
    """H2's jar, provided that there is a Java to run it."""
    jar = Path("/usr/share/java/h2.jar")
    return jar if jar.exists() and which("java") else None


def mysqlclient_needs() -> Path | None:
    """The compiler, provided that it finds MariaDB's client library and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    flags = which("mariadb_config") or which("mysql_config")
    return which("gcc") if headers.exists() and flags and which("pkg-config") else None


def c_compiler() -> Path | None:
    """The compiler, provided that it finds the C library's headers."""
    gcc = which("gcc")
    headers = gcc and subprocess.run(
        [gcc, "-E", "-x", "c", "-"], input="#include <unistd.h>", text=True, capture_output=True
    )
    return gcc if headers and headers.returncode == 0 else None


def chromium() -> Path | None:
    """The browser, provided that its driver is there."""
    browser = which("chromium") or which("google-chrome")
    return browser if which("chromedriver") else None


class Requirement(NamedTuple):
    """Something that packages of the system provide."""

    title: str
    find: Callable[[], Path | None]
    packages: tuple[str, ...]


REQUIREMENTS = {
    "postgresql": Requirement("PostgreSQL", postgresql_binaries, ("postgresql",)),
    "mariadb": Requirement("MariaDB", lambda: which("mariadbd"), ("mariadb-server",)),
    "galera": Requirement("Galera", galera_library, ("galera-4", "rsync")),
    "pgbouncer": Requirement("PgBouncer", lambda: which("pgbouncer"), ("pgbouncer",)),
    "h2": Requirement("H2", h2_library, ("libh2-java", "default-jre-headless")),
    "mysqlclient": Requirement(
        "what mysqlclient compiles with",
        mysqlclient_needs,
        ("libmariadb-dev", "pkg-config", "gcc", "libc6-dev", "python3-dev"),
    ),
    "gcc": Requirement("a C compiler", c_compiler, ("gcc", "libc6-dev")),
    "chromium": Requirement("Chromium", chromium, ("chromium", "chromium-driver")),
    "npm": Requirement("npm", lambda: which("npm"), ("npm",)),
    "debootstrap": Requirement(
        "debootstrap",
        lambda: which("debootstrap"),
        ("debootstrap", "debian-archive-keyring"),
    ),
}


def install(name: str) -> Path:
    """Provide `name` and return where it is; does nothing when it is already there.

    Raises ServerError with the command to run when it is missing and can't be installed.
    """
    if name == "mysql":
        return mysqld_on_path() or mysql_system()
    if name not in REQUIREMENTS:
        known = ", ".join(sorted([*REQUIREMENTS, "mysql"]))
        raise ServerError(f"Nothing to install is called {name!r}; there is {known}.")
    requirement = REQUIREMENTS[name]
    if found := requirement.find():
        return found
    command = ["apt-get", "install", "-y", "--no-install-recommends", *requirement.packages]
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(f"{requirement.title} is missing. Install it: sudo {' '.join(command)}")
    _apt(requirement.title, command)
    if found := requirement.find():
        return found
    raise ServerError(f"{requirement.title} is still missing after: {' '.join(command)}")


def mysql_system() -> Path:
    """The root of a small Debian system that holds MySQL, for chroot.

    Debian's stable releases have no MySQL; its unstable one has, with libraries too new to mix.
    """
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(
            "MySQL 8 or newer is missing (no such `mysqld` on PATH). As root on Debian it is "
            "installed by: python -m tests.servers install mysql · on Ubuntu: sudo apt-get "
            "install mysql-server · or set MYSQL_URL, or leave it out of DB."
        )

    def build(root: Path) -> None:
        debootstrap = str(install("debootstrap"))
        packages = "--include=mysql-server-core"
        _run("MySQL", [debootstrap, "--variant=minbase", packages, "sid", str(root)])
        useradd = ["useradd", "--system", "--no-create-home", "mysql"]
        _run("MySQL's user", ["chroot", str(root), *useradd])
        shutil.rmtree(root / "var/cache/apt")

    return cached("mysql", build)


def axe_core() -> Path:
    """The script that finds what is inaccessible on a page: https://github.com/dequelabs/axe-core."""
    package = f"axe-core@{AXE_CORE}"

    def build(root: Path) -> None:
        root.mkdir()
        options = ["--prefix", str(root), "--ignore-scripts", "--no-audit", "--no-fund"]
        _run("axe-core", [str(install("npm")), "install", *options, package])

    return cached(package, build) / "node_modules/axe-core/axe.min.js"


def _apt(title: str, command: list[str]) -> None:
    with locked("apt"), _services_stay_down():
        try:
            _run(title, command)
        except ServerError:
            # Package lists that are missing or out of date are the usual reason.
            _run("the lists of packages", ["apt-get", "update"])
            _run(title, command)


def _run(title: str, command: list[str]) -> None:
    print(f"Installing {title}: {' '.join(command)}", file=sys.stderr, flush=True)
    environment = {
        **os.environ,
        "PATH": SYSTEM_PATH,
        "DEBIAN_FRONTEND": "noninteractive",
    }
    ran = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if ran.returncode:
        raise ServerError(
            f"Installing {title} failed: {' '.join(command)}\n{ran.stdout[-2000:].strip()}"
        )


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Keep packages from starting the machine's own service, Debian's way."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
