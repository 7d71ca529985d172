"""One browser for the session, and people who are logged in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from tests.browser.browser import Browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("downloads"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Browser, live_server: LiveServer) -> Iterator[Browser]:
    """The browser on the site, with nobody logged in; afterwards its console must be empty."""
    chromium.reset(live_server.url)
    yield chromium
    assert chromium.messages() == []


@pytest.fixture
def log_in(browser: Browser) -> Callable[..., User]:
    """Log somebody in who has these permissions, or all, without the form."""

    def log_in(*permissions: str, name: str = "ada") -> User:
        user = User.objects.create_user(name, is_staff=True, is_superuser=not permissions)
        for permission in permissions:
            label, codename = permission.split(".")
            wanted = Permission.objects.get(content_type__app_label=label, codename=codename)
            user.user_permissions.add(wanted)
        client = Client()
        client.force_login(user)
        browser.log_in(client.cookies["sessionid"].value)
        return user

    return log_in


@pytest.fixture
def picture(browser: Browser) -> Callable[[str], None]:
    """Write a picture of the page into the folder SCREENSHOTS, if that is set."""

    def picture(name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            browser.driver.get_screenshot_as_file(str(Path(folder, f"{name}.png")))

    return picture
