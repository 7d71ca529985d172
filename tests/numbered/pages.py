"""The pages of the admin as a test reads them, with all tables on the database that it is for."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client

from .models import Company, Voucher

APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "sequences_contrib",
    "tests.numbered",
]
"""What a test of the pages needs besides the core."""

PAGES = "/admin/sequences_contrib/audit/"


class ToUsing:
    """All tables are on one database, which isn't called "default"."""

    def __init__(self, using: str) -> None:
        self.using = using

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.using

    db_for_write = db_for_read


@pytest.fixture(autouse=True)
def to_using(using: str, settings: Any) -> None:
    """Let a module that imports this read and write the database that its tests are for."""
    settings.DATABASE_ROUTERS = [ToUsing(using)]


def client_with(using: str, *permissions: str, **options: Any) -> Client:
    """Return the client of a staff user with exactly these permissions."""
    if not Permission.objects.exists():  # the test before has emptied the tables
        call_command("migrate", "auth", database=using, verbosity=0)
    user = User.objects.create(username="-".join(permissions) or "nobody", is_staff=True)
    for label in permissions:
        app, codename = label.split(".")
        found = Permission.objects.get(content_type__app_label=app, codename=codename)
        user.user_permissions.add(found)
    client = Client(**options)
    client.force_login(user)
    return client


def text_of(client: Client, path: str) -> str:
    """Return a page as text, with single spaces."""
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return " ".join(answer.content.decode().split())


def vouchers(company: Company | None, month: int, count: int, *, posted: bool = True) -> None:
    """Make vouchers of a month's first days."""
    days = range(1, count + 1)
    Voucher.objects.bulk_create(
        [Voucher(company=company, issued_on=date(2026, month, day), posted=posted) for day in days]
    )
