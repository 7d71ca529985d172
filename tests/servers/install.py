"""Installation of what the servers need, as root on Debian and Ubuntu; else an error says how."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.servers.errors import ServerError
from tests.servers.folders import cached, locked

SYSTEM_PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)
"""The user's PATH and the administrators' folders, where Debian installs the servers."""

POLICY = Path("/usr/sbin/policy-rc.d")


def which(programs: str) -> Path | None:
    """Return the path of the first of these programs, or files, that exists: "chromium|chrome".

    Debian installs PostgreSQL's programs into a folder for each release; the newest comes first.
    """
    releases = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    path = os.pathsep.join([SYSTEM_PATH, *releases])
    found = (shutil.which(one, os.F_OK, path) for one in programs.split("|"))
    return next((Path(one) for one in found if one), None)


def mysqld_on_path() -> Path | None:
    """Return a mysqld that is MySQL: MariaDB installs a mysqld, too."""
    mysqld = which("mysqld")
    if mysqld and "MariaDB" in subprocess.check_output([mysqld, "--version"], text=True):
        return None
    return mysqld


class Requirement(NamedTuple):
    """Programs and files that packages of the system provide."""

    parts: tuple[str, ...]
    """The programs and files, for which(); install() returns the path of the first."""
    packages: tuple[str, ...]

    def find(self) -> Path | None:
        """Return the path of the first part, if all parts are there."""
        found = [which(part) for part in self.parts]
        return found[0] if all(found) else None


C_HEADER, PYTHON_HEADER = "/usr/include/unistd.h", f"{sysconfig.get_paths()['include']}/Python.h"
GALERA, H2 = "/usr/lib/galera/libgalera_smm.so", "/usr/share/java/h2.jar"

REQUIREMENTS = {
    "postgresql": Requirement(("postgres",), ("postgresql",)),
    "mariadb": Requirement(("mariadbd",), ("mariadb-server",)),
    "firebird": Requirement(("firebird", "isql-fb"), ("firebird3.0-server", "firebird3.0-utils")),
    "galera": Requirement((GALERA, "rsync"), ("galera-4", "rsync")),
    "pgbouncer": Requirement(("pgbouncer",), ("pgbouncer",)),
    "h2": Requirement((H2, "java"), ("libh2-java", "default-jre-headless")),
    "mysqlclient": Requirement(
        ("gcc", "pkg-config", "mariadb_config|mysql_config", PYTHON_HEADER),
        ("libmariadb-dev", "pkg-config", "gcc", "libc6-dev", "python3-dev"),
    ),
    "gcc": Requirement(("gcc", C_HEADER), ("gcc", "libc6-dev")),
    "chromium": Requirement(
        ("chromium|google-chrome", "chromedriver"), ("chromium", "chromium-driver")
    ),
    "gettext": Requirement(("xgettext", "msgmerge", "msgfmt"), ("gettext",)),
    "patchelf": Requirement(("patchelf",), ("patchelf",)),
    "npm": Requirement(("npm",), ("npm",)),
    "debootstrap": Requirement(("debootstrap",), ("debootstrap", "debian-archive-keyring")),
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
    command = f"apt-get install -y --no-install-recommends {' '.join(requirement.packages)}"
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(f"The packages for {name} are missing. Install them: sudo {command}")
    with locked("apt"), _services_stay_down():
        # The usual reason for a failure is that the package lists are missing or out of date.
        _run("sh", "-c", f"{command} || {{ apt-get update && {command}; }}")
    if found := requirement.find():
        return found
    raise ServerError(f"{name} is still incomplete after: {command}")


def debian(suite: str, *packages: str) -> Path:
    """Return the root of a small Debian system with another release and `packages`, for chroot."""
    if os.geteuid() != 0 or not which("apt-get"):
        raise ServerError(
            f"Only root on Debian can install {packages[0]} of Debian {suite}. Install it, set its "
            "…_URL to a running server, or remove it from DB."
        )

    def build(root: Path) -> None:
        include = f"--include={','.join(packages)}"
        _run(install("debootstrap"), "--variant=minbase", include, suite, root)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        shutil.rmtree(root / "var/cache/apt")

    return cached(f"debian/{suite}-{packages[0]}", build)


def npm_package(name: str, version: str) -> Path:
    """Return the folder of a package of the npm registry."""

    def build(folder: Path) -> None:
        npm = install("npm")
        _run(npm, "install", "--ignore-scripts", "--prefix", folder, f"{name}@{version}")
        # The registry's archives can't contain links, which this script creates.
        _run(npm, "run", "--if-present", "--prefix", folder / "node_modules" / name, "postinstall")

    return cached(f"node/{name}/{version}", build) / "node_modules" / name


def _run(*command: str | Path) -> None:
    line = shlex.join(map(str, command))
    print(f"Running: {line}", file=sys.stderr, flush=True)
    ran = subprocess.run(
        command,
        env={**os.environ, "PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if ran.returncode:
        raise ServerError(f"{line} failed:\n{ran.stdout[-2000:].strip()}")


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
