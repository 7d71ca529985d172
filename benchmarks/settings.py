"""Django settings for the measured database, whose URL is in BENCHMARK_URL."""

import os

import dj_database_url

from benchmarks.scale import URL

SECRET_KEY = "no secret"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The suite measures autocommit without the cost of the warning about it.
SEQUENCES_AUTOCOMMIT = "allow"

PEERS = ["sequences", "django_seq"]
INSTALLED_APPS = ["sequences_core", "sequences_contrib", *PEERS, "benchmarks"]

DATABASES = {"default": dj_database_url.parse(os.environ.get(URL, "sqlite://:memory:"))}
NAME = DATABASES["default"]["NAME"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Django's default settings, which a peer's users have unless they change them.
    SILENCED_SYSTEM_CHECKS = ["sequences_sqlite.W001"]
    DATABASES["untuned"] = {**DATABASES["default"], "NAME": f"{NAME}-untuned"}
    # The settings that docs/backends/sqlite.rst recommends, for all contestants.
    WAL = "PRAGMA journal_mode = WAL"
    OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": WAL}
    DATABASES["default"]["OPTIONS"] = OPTIONS
    # The same without a sync for each commit: a power failure may lose the last commits.
    DATABASES["relaxed"] = {
        **DATABASES["default"],
        "NAME": f"{NAME}-relaxed",
        "OPTIONS": {**OPTIONS, "init_command": f"{WAL}; PRAGMA synchronous = NORMAL"},
    }
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    # The same database in sessions that write no binary log.
    OPTIONS = {**DATABASES["default"].get("OPTIONS", {}), "init_command": "SET sql_log_bin = 0"}
    DATABASES["unlogged"] = {**DATABASES["default"], "OPTIONS": OPTIONS}
