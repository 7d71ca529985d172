"""Django settings of the tests: one alias for each server that the plugin has started."""

import os
from typing import Any

import dj_database_url

SECRET_KEY = "no secret"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "sequences_core",
    "sequences_contrib",
    "tests.app",
    "tests.books",
    "tests.numbered",
]

VENDORS = ("sqlite", "postgresql", "mariadb", "mysql", "oracle", "firebird")

dj_database_url.register("firebird", "django_firebird")

DATABASES: dict[str, Any] = {
    name: dj_database_url.parse(os.environ[f"{name.upper()}_URL"])
    for name in VENDORS
    if f"{name.upper()}_URL" in os.environ
}
for database in DATABASES.values():
    database["TEST"] = {"DEPENDENCIES": []}  # create each without the others
if "sqlite" in DATABASES:
    # Threads can't share an in-memory database, and users' databases are files.
    DATABASES["sqlite"]["TEST"]["NAME"] = DATABASES["sqlite"]["NAME"] + ".test"
    DATABASES["sqlite"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }
# The first one is Django's default, and also has its own name for tests that need it.
DATABASES = {"default": next(iter(DATABASES.values()), {})} | DATABASES

ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
MIDDLEWARE = [
    "tests.browser.csp.strict",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
