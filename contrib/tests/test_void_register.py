"""The register of void numbers in the admin: to be read, and changed by nobody."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from sequences_contrib.models import Void
from sequences_contrib.voids import record_void

from sequences_core import set_last_value
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import client_with, text_of
from tests.numbered.pages import to_using as to_using

PAGE = "/admin/sequences_contrib/void/"


@pytest.fixture
def void(using: str) -> Void:
    set_last_value(9, "invoices")
    return record_void("invoices", 4, text="INV-4", reason="printed twice", user="anna")


def test_the_list_is_read_and_searched(using: str, void: Void) -> None:
    """The list can be searched by counter, text, reason and person."""
    auditor = client_with(using, "sequences_contrib.view_void")
    for query in ("", "?q=INV-4", "?q=twice", "?q=anna", "?q=4", "?q=voice"):
        assert "printed twice" in text_of(auditor, PAGE + query)
    for query in ("?q=refund", "?q=5"):
        assert "printed twice" not in text_of(auditor, PAGE + query)
    assert "INV-4" in text_of(auditor, f"{PAGE}{void.pk}/change/")


def test_nobody_changes_it(using: str, void: Void) -> None:
    """Even a superuser can't change it by a form, an action or a handmade POST."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for page in ("add/", f"{void.pk}/delete/"):
        assert client.get(PAGE + page).status_code == 403
        assert client.post(PAGE + page, {"post": "yes"}).status_code == 403
    assert client.post(f"{PAGE}{void.pk}/change/", {"reason": "x"}).status_code == 403
    client.post(PAGE, {"action": "delete_selected", "_selected_action": void.pk, "post": "yes"})
    assert [each.reason for each in Void.objects.all()] == ["printed twice"]
