"""Django settings of the tests."""

from pathlib import Path

SECRET_KEY = "no secret"
USE_TZ = True
INSTALLED_APPS = ["sequences_core"]
SEQUENCES_BACKEND = "acme"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).parent / "db.sqlite3",
        # The suite uses threads, which share no memory database.
        "TEST": {"NAME": Path(__file__).parent / "test.sqlite3"},
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30},
    }
}
