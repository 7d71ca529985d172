"""Settings of the demo, on the database at DATABASE_URL."""

import os

import dj_database_url

SECRET_KEY = "no secret"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["sequences_core", "sequences_contrib", "invoices"]

DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file with Django's own settings, for the ways of numbering that people start with.
    DATABASES["as_django_does"] = {**DATABASES["default"], "OPTIONS": {}}
    SILENCED_SYSTEM_CHECKS = ["sequences_sqlite.W001"]  # which is about that
    DATABASES["default"]["OPTIONS"] = {
        # Wait for the lock when the transaction begins, instead of failing when it first writes.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }

# "auto" is the backend made for the database; another one by its name or dotted path.
SEQUENCES_BACKEND = os.environ.get("SEQUENCES_BACKEND", "auto")
