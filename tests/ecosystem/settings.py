"""The settings that all projects share."""

from __future__ import annotations

from typing import Any

from tests.settings import DATABASES as SERVERS
from tests.settings import DEFAULT_AUTO_FIELD, SECRET_KEY, USE_TZ

__all__ = [
    "BASIC_APPS",
    "DEFAULT_AUTO_FIELD",
    "MIGRATION_MODULES",
    "SECRET_KEY",
    "USE_TZ",
    "databases",
]

BASIC_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "sequences_core",
]

# The projects' models have no migrations, so the tables that they refer to must have none either.
MIGRATION_MODULES = {"auth": None, "contenttypes": None}


def databases(package: str) -> dict[str, Any]:
    """Return the one database of a project: a test database that no other run uses."""
    database = SERVERS["default"]
    test = database["NAME"] if "sqlite" in SERVERS else "test"
    options = {"NAME": f"{test}_{package}"}
    if database["ENGINE"].endswith("mysql"):
        # Text can be in a scope only with a collation that compares bytes.
        options["COLLATION"] = "utf8mb4_nopad_bin" if "mariadb" in SERVERS else "utf8mb4_0900_bin"
    return {"default": {**database, "TEST": options}}
