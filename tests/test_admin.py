"""The admin of sequences: the list, and the pages that change a counter after a confirmation."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import django
import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission, User
from django.test import Client

from sequences_core.arguments import MAX_NAME_LENGTH, MAX_VALUE
from sequences_core.models import Counter
from tests.numbered.models import Plain

pytestmark = pytest.mark.django_db

PAGES = "/admin/sequences_core/counter/"
INVOICES = f"{PAGES}invoices/"
CHANGES = ["set", "rename", "delete"]


@pytest.fixture
def invoices() -> Counter:
    """A sequence to look at."""
    return Counter.objects.create(name="invoices", last=1234)


@pytest.fixture
def client(invoices: Counter) -> Client:
    """Return the client of a superuser."""
    return client_of(User.objects.create_superuser("root"))


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def allowed(*codenames: str) -> Client:
    """Return the client of a user with exactly these permissions."""
    user = User.objects.create_user("clerk", is_staff=True)
    # Whether a flush leaves them depends on the apps that were installed then.
    create_permissions(apps.get_app_config("sequences_core"), verbosity=0)
    user.user_permissions.set(
        Permission.objects.filter(
            content_type__app_label="sequences_core", codename__in=[*codenames]
        )
    )
    assert user.user_permissions.count() == len(codenames)
    return client_of(user)


def counters() -> list[tuple[str, int]]:
    return list(Counter.objects.order_by("name").values_list("name", "last"))


def text(response: Any) -> str:
    """The page as it is read: its tags are left out, and what is in hidden fields."""
    assert response.status_code == 200, response
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def confirmation(page: str) -> dict[str, str]:
    """Return the hidden values of the confirmation form."""
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: value for name, value in fields if name != "csrfmiddlewaretoken"}


def change(client: Client, kind: str, name: str = "invoices", **answers: Any) -> Any:
    """Submit the form, and then its confirmation."""
    page = f"{PAGES}{quote(name)}/{kind}/"
    ticks = {key: answers.pop(key) for key in {"again"} & answers.keys()}
    first = client.post(page, answers) if answers else client.get(page)
    sent = confirmation(first.content.decode())
    return client.post(page, {**sent, **ticks}, follow=True)


def test_the_list_shows_names_and_last_numbers(client: Client) -> None:
    """The list is found by the index, is sorted, and can be searched by name."""
    Counter.objects.create(name="credits", last=7)
    assert PAGES in client.get("/admin/").content.decode()
    for query in ("", "?q=voice", "?q=VOICE"):
        page = text(client.get(PAGES + query))
        assert "invoices" in page
        assert "1234" in page
    assert "invoices" not in text(client.get(PAGES + "?q=refunds")).partition("results")[2]
    page = text(client.get(PAGES))
    assert page.index("credits") < page.index("invoices 1234")


def test_the_list_shows_what_uses_a_sequence(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    """The models are asked once for a page, however many sequences are on it."""
    Counter.objects.bulk_create(Counter(name=f"receipts.r.{n}", last=n) for n in range(90))
    client.get(PAGES)
    with django_assert_max_num_queries(9):
        page = text(client.get(PAGES))
    assert page.count("numbered.Receipt.number") == 90 + 1  # and the filter
    assert "numbered.Invoice.number" in page
    assert "numbered.Invoice.number" in text(client.get(f"{INVOICES}change/"))


def test_the_list_is_filtered_by_what_uses_a_sequence(client: Client) -> None:
    """The list can be filtered by field, or by no field; an unknown field matches nothing."""
    Counter.objects.bulk_create(Counter(name=name, last=7) for name in ("receipts.r.1", "by hand"))
    shown = {
        "numbered.Invoice.number": ["invoices"],
        "numbered.Receipt.number": ["receipts.r.1"],
        "-": ["by hand"],
        "nonsense": [],
    }
    for field, names in shown.items():
        answer = client.get(PAGES, {"field": field})
        assert [counter.name for counter in answer.context["cl"].result_list] == names
        assert "no field" in text(answer)


def test_a_sequence_can_be_looked_at(client: Client) -> None:
    """The page of a sequence is read-only, and links to the possible actions."""
    page = client.get(f"{INVOICES}change/").content.decode()
    assert "1234" in page
    assert 'name="last"' not in page
    for kind in CHANGES:
        assert f'href="{INVOICES}{kind}/"' in page, kind


def test_nothing_is_added(client: Client) -> None:
    """Even to a superuser that page is forbidden: a sequence begins with its first number."""
    assert client.get(f"{PAGES}add/").status_code == 403
    assert client.post(f"{PAGES}add/", {"name": "refunds", "last": 1}).status_code == 403
    assert counters() == [("invoices", 1234)]


def test_nothing_is_changed_by_the_pages_of_django(client: Client) -> None:
    """Neither Django's own form nor an action of the list changes a sequence."""
    answer = client.post(f"{INVOICES}change/", {"name": "invoices", "last": 1})
    assert answer.status_code == 403
    client.post(PAGES, {"action": "delete_selected", "_selected_action": "invoices", "post": "y"})
    assert counters() == [("invoices", 1234)]


def test_raising_a_sequence(client: Client) -> None:
    """The page that asks says which numbers are skipped; the history says what was done."""
    page = client.post(f"{INVOICES}set/", {"value": "1240"})
    assert "Last number 1234 New last number 1240 Next number 1241" in text(page)
    assert "The 6 numbers from 1235 to 1240 will not be given" in text(page)
    assert 'name="again"' not in page.content.decode()
    assert counters() == [("invoices", 1234)]

    answer = change(client, "set", value=1240)
    assert "Set the last number from 1234 to 1240." in text(answer)
    assert counters() == [("invoices", 1240)]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.is_change(), entry.user.get_username()) == (
        "invoices",
        True,
        "root",
    )
    assert entry.get_change_message() == "Set the last number from 1234 to 1240."
    assert "Set the last number from 1234 to 1240." in text(client.get(f"{INVOICES}history/"))


def test_lowering_a_sequence_needs_a_tick(client: Client) -> None:
    """The page that asks says which numbers would be given again; without the tick it stays."""
    page = client.post(f"{INVOICES}set/", {"value": "1200"})
    assert "The 34 numbers from 1201 to 1234 will be given a second time." in text(page)
    assert 'name="again"' in page.content.decode()
    page = change(client, "set", value=1200)
    assert "Tick this box" in text(page)
    assert 'name="confirmed"' in page.content.decode()
    assert counters() == [("invoices", 1234)]
    assert not LogEntry.objects.exists()

    change(client, "set", value=1200, again="on")
    assert counters() == [("invoices", 1200)]
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (1233, "Number 1234 will be given a second time."),
        (0, "The 1234 numbers from 1 to 1234 will be given a second time."),
        (1235, "Number 1235 will not be given:"),
        (MAX_VALUE, "Next number none is left"),
    ],
)
def test_the_consequences_in_words(client: Client, value: int, sentence: str) -> None:
    """One number, and the last that there is."""
    assert sentence in text(client.post(f"{INVOICES}set/", {"value": value}))


BAD = {
    "set": ["", "x", "-1", "1.5", str(MAX_VALUE + 1), "1234", "9" * 5000, "\0"],
    "rename": ["", " ", "invoices", "taken", "a\0b", "x" * (MAX_NAME_LENGTH + 1)],
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, value) for kind, values in BAD.items() for value in values],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes", "shown": "1234", "again": "on"}])
def test_bad_input(client: Client, kind: str, value: str, confirmed: dict[str, str]) -> None:
    """The form says what is wrong, on the page that asks for it, and nothing changes."""
    Counter.objects.create(name="taken", last=3)
    before = counters()
    data = {"value" if kind == "set" else "new_name": value}
    page = client.post(f"{INVOICES}{kind}/", {**data, **confirmed})
    assert "Please correct the error below." in text(page)
    assert 'name="confirmed"' not in page.content.decode()
    assert counters() == before
    assert not LogEntry.objects.exists()


def test_renaming_a_sequence(client: Client) -> None:
    """The counter and its history have the new name."""
    change(client, "set", value=1240)
    page = client.post(f"{INVOICES}rename/", {"new_name": "numbered_plain.number"})
    assert "These fields take their numbers by the old name: numbered.Invoice.number" in text(page)
    assert "will take their numbers from this sequence: numbered.Plain.number" in text(page)
    page = change(client, "rename", new_name=" numbered_plain.number ")
    assert "Renamed “invoices” to “numbered_plain.number”." in text(page)
    assert counters() == [("numbered_plain.number", 1240)]
    assert Plain.objects.create().number == 1241
    history = text(client.get(f"{PAGES}{quote('numbered_plain.number')}/history/"))
    assert "Set the last number from 1234 to 1240." in history
    assert "Renamed “invoices”" in history


def test_deleting_a_sequence(client: Client) -> None:
    """The page warns of the fields that use it; the history names its last number."""
    page = text(client.get(f"{INVOICES}delete/"))
    assert "the sequence starts again" in page
    assert "numbered.Invoice.number" in page
    assert "1234" in page
    page = text(change(client, "delete"))
    assert "Deleted “invoices”, whose last number was 1234." in page
    assert counters() == []
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr, entry.is_deletion()) == (
        "invoices",
        "invoices: 1234",
        True,
    )


def test_a_sequence_that_no_field_uses(client: Client) -> None:
    """The pages say that, too, and that code is not looked through."""
    Counter.objects.create(name="stray", last=1)
    for kind in ("rename", "delete"):
        page = client.post(f"{PAGES}stray/{kind}/", {"new_name": "astray"})
        assert "No field is known to use this sequence." in text(page)


def test_a_get_changes_nothing(client: Client) -> None:
    """No GET request changes a counter, whatever its parameters."""
    sent = {"confirmed": "yes", "shown": "1234", "value": "1", "again": "on", "new_name": "x"}
    for kind in CHANGES:
        assert client.get(f"{INVOICES}{kind}/", sent).status_code == 200
    assert counters() == [("invoices", 1234)]


def test_a_forged_post_is_refused(client: Client) -> None:
    """The forms are protected against those of other sites."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    for kind in CHANGES:
        answer = strict.post(f"{INVOICES}{kind}/", {"confirmed": "yes", "shown": "1234"})
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("kind", "answers"),
    [("set", {"value": "1200", "again": "on"}), ("set", {"value": "1300"}), ("delete", {})],
)
@pytest.mark.parametrize("shown", ["1234", "", "x", "1235 "])
def test_two_at_once(client: Client, kind: str, answers: dict[str, str], shown: str) -> None:
    """If the counter has changed since, the current state is shown, and must be confirmed again."""
    Counter.objects.update(last=1235)  # by somebody else
    sent = {**answers, "confirmed": "yes", "shown": shown}
    page = client.post(f"{INVOICES}{kind}/", sent)
    assert "The sequence has changed since you were asked: its last number is 1235" in text(page)
    assert counters() == [("invoices", 1235)]
    assert not LogEntry.objects.exists()
    again = confirmation(page.content.decode())
    assert again["shown"] == "1235"
    assert "checked" not in page.content.decode()
    client.post(f"{INVOICES}{kind}/", {**again, **answers})
    assert counters() == ([("invoices", int(answers["value"]))] if answers else [])


def test_the_second_of_two_renames(client: Client) -> None:
    """The sequence is there no more."""
    page = client.post(f"{INVOICES}rename/", {"new_name": "bills"})
    change(client, "rename", new_name="receipts")
    page = client.post(f"{INVOICES}rename/", confirmation(page.content.decode()), follow=True)
    assert "There is no sequence “invoices”." in text(page)
    assert counters() == [("receipts", 1234)]


@pytest.mark.parametrize("name", ["refunds", "Invoices", "x" * 300, "\0", " "], ids=repr)
def test_no_such_sequence(client: Client, name: str) -> None:
    """Every page says so, and shows the list."""
    for kind in CHANGES:
        page = client.get(f"{PAGES}{quote(name)}/{kind}/", follow=True)
        assert page.redirect_chain == [(PAGES, 302)]
        assert "There is no sequence" in text(page)


@pytest.mark.parametrize(
    "name", ["a/b", "set", "x/delete", "é_2F?#&%20", '"><b>', "{{ x }}", "a\nb"]
)
def test_any_name(client: Client, name: str) -> None:
    """Each page is found, and the name is text in it."""
    Counter.objects.create(name=name, last=1)
    for kind in ("change", "history", *CHANGES):
        page = client.get(f"{PAGES}{quote(name)}/{kind}/")
        assert page.status_code == 200
        assert "<b>" not in page.content.decode()
    page = change(client, "set", name, value=5)
    assert unquote(page.redirect_chain[0][0]) == f"{PAGES}{quote(name)}/change/"
    assert Counter.objects.get(pk=name).last == 5


def test_an_exhausted_sequence_can_be_lowered(client: Client) -> None:
    """A counter at the maximum can't give a number, but can be lowered."""
    Counter.objects.update(last=MAX_VALUE)
    change(client, "set", value=1234, again="on")
    assert counters() == [("invoices", 1234)]


PERMISSIONS = {
    "set": ["set_counter"],
    "rename": ["change_counter"],
    "delete": ["delete_counter"],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "set": {"value": 1240},
    "rename": {"new_name": "bills"},
    "delete": {},
}
AFTER = {"set": [("invoices", 1240)], "rename": [("bills", 1234)], "delete": []}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("may", ["view", *CHANGES])
def test_permissions(invoices: Counter, kind: str, may: str) -> None:
    """Each change has a permission of its own; without it there is no link, and a POST is 403."""
    client = allowed("view_counter", *PERMISSIONS.get(may, []))
    page = client.get(f"{INVOICES}change/").content.decode()
    assert (f'href="{INVOICES}{kind}/"' in page) == (kind == may)
    assert "<select" not in client.get(PAGES).content.decode()  # no action
    if kind == may:
        change(client, kind, **ANSWERS[kind])
        assert counters() == AFTER[kind]
        return
    sent = {"confirmed": "yes", "shown": "1234", **ANSWERS[kind]}
    for answer in (client.get(f"{INVOICES}{kind}/"), client.post(f"{INVOICES}{kind}/", sent)):
        assert answer.status_code == 403
    assert counters() == [("invoices", 1234)]


@pytest.mark.parametrize("codenames", [[], ["set_counter"], ["delete_counter"]], ids=str)
def test_who_may_not_look_may_not_change(invoices: Counter, codenames: list[str]) -> None:
    """The pages show what is there, so each needs the permission to view it, too."""
    client = allowed(*codenames)
    for page in (PAGES, *(f"{INVOICES}{kind}/" for kind in ("change", *CHANGES))):
        assert client.get(page).status_code == 403
    assert counters() == [("invoices", 1234)]


def test_a_stranger_is_asked_to_log_in(invoices: Counter) -> None:
    """As on every page of the admin, an anonymous user must log in."""
    for kind in CHANGES:
        answer = Client().post(f"{INVOICES}{kind}/", {"confirmed": "yes", "shown": "1234"})
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")
    assert counters() == [("invoices", 1234)]


STRICT = {"default-src": ["'self'"], "script-src": ["'self'"], "style-src": ["'self'"]}

INLINE = re.compile(r"<style|<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|javascript:", re.IGNORECASE)


@pytest.mark.parametrize("kind", ["", "change/", *(f"{kind}/" for kind in CHANGES)])
def test_nothing_is_inline(client: Client, kind: str, settings: Any) -> None:
    """A content security policy that allows only files of the site itself breaks no page."""
    settings.SECURE_CSP = STRICT
    if django.VERSION >= (6, 0):
        middleware = "django.middleware.csp.ContentSecurityPolicyMiddleware"
        settings.MIDDLEWARE = [middleware, *settings.MIDDLEWARE]
        client = client_of(User.objects.get())
    answers = [client.get(f"{INVOICES}{kind}" if kind else PAGES)]
    if kind in {"set/", "rename/"}:
        answers.append(client.post(f"{INVOICES}{kind}", {"value": 3, "new_name": "bills"}))
        assert 'name="confirmed"' in answers[-1].content.decode()
    for answer in answers:
        assert answer.status_code == 200
        assert not INLINE.search(answer.content.decode())
        if django.VERSION >= (6, 0):
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_each_field_has_a_label(client: Client) -> None:
    """Each form field has a label, each row of the table a heading, and errors a reference."""
    for kind, data in (("set", {"value": 3}), ("set", {"value": "x"}), ("rename", {})):
        page = client.post(f"{INVOICES}{kind}/", data).content.decode()
        for name in re.findall(r'<input type="(?:text|checkbox)" name="(\w+)"', page):
            assert f'for="id_{name}"' in page
        assert '<th scope="row">' in page
        assert ("<title>Error:" in page) == ('name="confirmed"' not in page)
