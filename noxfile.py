"""The tests on all supported versions of Python and Django; ``nox --list`` lists the sessions.

``nox -s "tests(python='3.13', django='6.1', database='sqlite')"`` runs one of them.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = True

DJANGOS = {
    "5.2": ("3.11", "3.12", "3.13", "3.14"),
    "6.0": ("3.12", "3.13", "3.14"),
    "6.1": ("3.12", "3.13", "3.14"),
}
SERVERS = ("postgresql", "mariadb", "mysql")
DATABASES = ("sqlite", *SERVERS)
ON_SERVERS = (("3.11", "5.2"), ("3.12", "6.0"), ("3.13", "6.1"), ("3.14", "6.1"))
"""The versions that are tested on servers, too: each Python, because the drivers are compiled for
it, and each Django, which has its own SQL for each database. SQLite has all combinations."""
DRIVERS = {"mariadb": "mysql", "mysql": "mysql"}
BACKENDS = sorted(file.parent.name for file in Path().glob("backends/*/pyproject.toml"))


@nox.session
@nox.parametrize(
    ("python", "django", "database"),
    [
        (python, django, database)
        for django, pythons in DJANGOS.items()
        for python in pythons
        for database in (DATABASES if (python, django) in ON_SERVERS else ["sqlite"])
    ],
)
def tests(session: nox.Session, django: str, database: str) -> None:
    """Run the tests on one Python, Django and database."""
    if database in DRIVERS and not has_headers(session):
        session.skip("this Python has no headers to compile mysqlclient with")
    install(session, database, f"django=={django}.*", "--constraint", "constraints.txt")
    run(session, database, f"{session.python}-{django}")


@nox.session(python="3.11")
@nox.parametrize("database", DATABASES)
def lowest(session: nox.Session, database: str) -> None:
    """Run the tests with the lowest versions that the distributions declare."""
    install(session, database, "--resolution=lowest-direct")
    run(session, database, f"{session.python}-lowest")


def run(session: nox.Session, database: str, versions: str) -> None:
    """Run the tests, and leave a report for the documentation's table unless they are narrowed."""
    report = Path(".nox", "reports", f"{versions}-{database}.xml")
    options = session.posargs or ["-n", "auto", "--dist", "loadfile", f"--junitxml={report}"]
    session.run("pytest", *options, env={"DB": database})


def has_headers(session: nox.Session) -> bool:
    """Return whether Python's headers exist, without which mysqlclient can't be compiled."""
    headers = "sysconfig.get_path('include'), 'Python.h'"
    code = f"import os, sysconfig; print(os.path.exists(os.path.join({headers})))"
    return str(session.run("python", "-c", code, silent=True)).strip() == "True"


def install(session: nox.Session, database: str, *options: str) -> None:
    # Only mysqlclient is compiled; the tests of all databases import the other drivers.
    drivers = {"oracle", "postgresql", DRIVERS.get(database)}
    folders = [f"./backends/{name}" + "[driver]" * (name in drivers) for name in BACKENDS]
    editable = [part for folder in (".", "./contrib", *folders) for part in ("--editable", folder)]
    session.install("--group", "test", "psycopg[binary]", *editable, *options)
