"""One browser for the session, and logged-in users."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from sequences_contrib.afterwards import void

from sequences_core import set_last_value
from tests.books.models import Company, Invoice
from tests.browser.browser import Browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("downloads"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Browser, live_server: LiveServer) -> Iterator[Browser]:
    """The browser on the site, without a user; the console must be empty after the test."""
    chromium.reset(live_server.url)
    yield chromium
    assert chromium.messages() == []


@pytest.fixture
def log_in(browser: Browser) -> Callable[..., User]:
    """Log in a user with these permissions, or with all, without the form."""

    def log_in(*permissions: str, name: str = "ada") -> User:
        user = User.objects.create_user(name, is_staff=True, is_superuser=not permissions)
        for permission in permissions:
            label, codename = permission.split(".")
            # Whether a flush leaves them depends on the apps that were installed then.
            create_permissions(apps.get_app_config(label), verbosity=0)
            wanted = Permission.objects.get(content_type__app_label=label, codename=codename)
            user.user_permissions.add(wanted)
        client = Client()
        client.force_login(user)
        browser.log_in(client.cookies["sessionid"].value)
        return user

    return log_in


@pytest.fixture
def sequences() -> None:
    """Three sequences; fields use two of them."""
    for name, last in {"deliveries": 312, "invoices": 1234, "orders": 88}.items():
        set_last_value(last, name)


@pytest.fixture
def ledger() -> None:
    """Invoices of two companies: a number is void, another is missing, and three rows wait."""
    acme, globex = Company.objects.bulk_create([Company(code="ACM"), Company(code="GLX")])
    for company, start, rows in (
        (acme, date(2025, 5, 6), 12),
        (acme, date(2026, 4, 7), 5),
        (globex, date(2026, 4, 2), 8),
    ):
        days = [start + timedelta(days=9 * number) for number in range(rows)]
        Invoice.objects.bulk_create(
            Invoice(company=company, issued_on=day, posted=True) for day in days
        )
    of_2025 = Invoice.objects.filter(company=acme, issued_on__lt=date(2026, 4, 1))
    void(of_2025.get(number=4), reason="Printed twice", user="Grace Hopper", delete=True)
    of_2025.get(number=9).delete()
    days = [date(2026, 6, number) for number in (3, 1, 2)]
    Invoice.objects.bulk_create(Invoice(company=acme, issued_on=day) for day in days)
    Invoice.objects.filter(posted=False).update(posted=True)  # which numbers nothing


@pytest.fixture
def picture(browser: Browser) -> Callable[[str], None]:
    """Write a picture of the page into the folder SCREENSHOTS, if that is set."""

    def picture(name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder, f"{name}.png").write_bytes(browser.screenshot())

    return picture
