"""The imports of the process from which the writers are forked."""

import os
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points

import django
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from sequences_core.registry import GROUP  # noqa: E402
from tests.faults import tables, writer  # noqa: E402, F401

for engine in ("sqlite3", "postgresql", "mysql"):
    with suppress(ImproperlyConfigured):  # a driver that isn't installed isn't needed
        import_module(f"django.db.backends.{engine}.base")
for backend in entry_points(group=GROUP):
    with suppress(ImportError):
        backend.load()
