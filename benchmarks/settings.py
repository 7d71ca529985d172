"""Django settings of one measured database, whose address is in BENCHMARK_URL."""

import os
from importlib.util import find_spec

import dj_database_url

from benchmarks.environment import URL

SECRET_KEY = "no secret"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# "In autocommit" is one of the things measured here; the warning about it isn't.
SEQUENCES_AUTOCOMMIT = "allow"

INSTALLED_APPS = ["sequences_core", "benchmarks.app"]
# A peer that isn't installed is a line in the tables, not the end of the run.
if find_spec("sequences_contrib") and find_spec("sequences_contrib.fields"):
    INSTALLED_APPS += ["benchmarks.field"]
if find_spec("sequences"):
    INSTALLED_APPS += ["sequences.apps.SequencesConfig"]
if find_spec("django_seq"):
    INSTALLED_APPS += ["django_seq", "benchmarks.peers.django_seq"]
if find_spec("autosequence"):
    INSTALLED_APPS += ["benchmarks.peers.autosequence"]

DATABASES = {"default": dj_database_url.parse(os.environ.get(URL, "sqlite://:memory:"))}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    SILENCED_SYSTEM_CHECKS = ["sequences_sqlite.W001"]  # of the next one
    # Django's own settings: what a peer's user has who changed nothing.
    DATABASES["untuned"] = {
        **DATABASES["default"],
        "NAME": f"{DATABASES['default']['NAME']}-untuned",
    }
    # What docs/backends/sqlite.rst advises, for all contestants alike.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }
    # The same without a sync for each commit: a power loss may take the last ones with it.
    DATABASES["relaxed"] = {
        **DATABASES["default"],
        "NAME": f"{DATABASES['default']['NAME']}-relaxed",
        "OPTIONS": {
            **DATABASES["default"]["OPTIONS"],
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
        },
    }
if DATABASES["default"]["ENGINE"].endswith("mysql"):
    # The same database by sessions that write no binary log, as if the server kept none.
    DATABASES["unlogged"] = {
        **DATABASES["default"],
        "OPTIONS": {
            **DATABASES["default"].get("OPTIONS", {}),
            "init_command": "SET sql_log_bin = 0",
        },
    }
