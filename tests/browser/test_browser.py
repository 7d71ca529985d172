"""The checks of pages fail on pages with the corresponding problem."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from selenium.webdriver.common.keys import Keys

from tests.browser.browser import PHONE, Browser

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

ADD = "const one = Object.assign(document.createElement(arguments[0]), arguments[1]);"
ADD += "document.querySelector('main').append(one);"


@pytest.fixture(autouse=True)
def _index(browser: Browser, log_in: Callable[..., User]) -> None:
    log_in()
    browser.open("/admin/")


def add(browser: Browser, tag: str, **properties: str) -> None:
    """Add an element to the page."""
    browser.driver.execute_script(ADD, tag, properties)


def test_what_is_inaccessible_is_found(browser: Browser) -> None:
    """A picture without a text."""
    assert browser.violations() == []
    add(browser, "img", src="/static/admin/img/search.svg")
    assert "image-alt" in browser.violations()[0]


def test_what_the_policy_refuses_is_found(browser: Browser) -> None:
    """A script and a style in the page itself."""
    assert browser.messages() == []
    add(browser, "script", textContent="1")
    add(browser, "p", innerHTML="<b style='color: red'>red</b>")
    script, style = browser.messages()
    assert "script" in script
    assert "style" in style


def test_a_page_that_is_wider_than_the_screen_is_found(browser: Browser) -> None:
    """Such a page requires horizontal scrolling."""
    browser.screen(PHONE)
    assert browser.overflow() == 0
    add(browser, "p", textContent="wide" * 100)
    assert browser.overflow() > 100


def test_focus_that_cannot_be_seen_is_found(browser: Browser) -> None:
    """Keyboard users need a visible focus."""
    browser.press(Keys.TAB)
    assert browser.focus()[1]
    add(browser, "button", id="hidden", textContent="somewhere")
    hidden = browser.one("#hidden")
    browser.driver.execute_script("arguments[0].style.outline = 'none'", hidden)
    browser.driver.execute_script("arguments[0].focus()", hidden)
    assert browser.focus() == (hidden, False)
