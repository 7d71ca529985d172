"""Settings of the demo, with the database at DATABASE_URL."""

import os

import dj_database_url

SECRET_KEY = "no secret"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["sequences_core", "sequences_contrib", "invoices"]

DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A second database with Django's default settings, for the other methods.
    DATABASES["as_django_does"] = {**DATABASES["default"], "OPTIONS": {}}
    SILENCED_SYSTEM_CHECKS = ["sequences_sqlite.W001"]  # it warns about these default settings
    DATABASES["default"]["OPTIONS"] = {
        # Wait for the lock when the transaction begins, instead of failing at the first write.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }

# "auto" selects the backend of the database. A name or a dotted path selects another one.
SEQUENCES_BACKEND = os.environ.get("SEQUENCES_BACKEND", "auto")
