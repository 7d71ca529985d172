"""The admin's pages that delete rows, for models with ProtectNumbered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.test.utils import isolate_apps
from django.urls import path
from sequences_contrib.afterwards import void
from sequences_contrib.fields import SequenceField
from sequences_contrib.models import Void
from sequences_contrib.protection import ProtectNumbered

from tests.numbered.blocks import model_with, tables
from tests.numbered.pages import APPS as APPS
from tests.numbered.pages import to_using as to_using


class VoidingAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """As docs/order.rst has it."""

    def get_deleted_objects(self, objs: Any, request: Any) -> Any:
        *found, _protected = super().get_deleted_objects(objs, request)
        return *found, []

    def delete_model(self, request: Any, obj: Any) -> None:
        if obj.number is None:
            obj.delete()
        else:
            void(obj, reason="deleted in the admin", user=request.user, delete=True)

    def delete_queryset(self, request: Any, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


@pytest.fixture
def made(using: str, settings: Any) -> Iterator[tuple[Any, Any]]:
    """A model of folders, and one of their letters, which are protected when they are sent."""
    with isolate_apps("tests.numbered"):

        class Folder(models.Model):
            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"folder {self.pk}"

        class Letter(ProtectNumbered):
            folder = models.ForeignKey(Folder, models.CASCADE)
            sent = models.BooleanField(default=False)
            number = SequenceField("letters", unique=True, when="sent")

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"letter {self.number}"

    inline = type("Letters", (admin.TabularInline,), {"model": Letter, "extra": 0})
    site = admin.AdminSite(name="admin")
    site.register(Folder, type("FolderAdmin", (admin.ModelAdmin,), {"inlines": [inline]}))
    site.register(Letter)
    voiding = admin.AdminSite(name="voiding")
    voiding.register(Letter, VoidingAdmin)
    settings.ROOT_URLCONF = (path("admin/", site.urls), path("voiding/", voiding.urls))
    with tables(using, Folder, Letter):
        yield Folder, Letter


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_a_numbered_row_is_not_deleted(made: Any, client: Client) -> None:
    """The page names the row instead of asking for a confirmation, as for Django's PROTECT."""
    folders, letters = made
    letter = letters.objects.create(folder=folders.objects.create(), sent=True)
    draft = letters.objects.create(folder=letter.folder)
    selected = {"action": "delete_selected", "_selected_action": [letter.pk, draft.pk]}
    folder = f"/admin/numbered/folder/{letter.folder_id}/delete/"
    for page, data in (
        (f"/admin/numbered/letter/{letter.pk}/delete/", {}),
        ("/admin/numbered/letter/", selected),
        (folder, {}),
    ):
        for confirmed in ({}, {"post": "yes"}):
            answer = client.post(page, data | confirmed)
            assert answer.status_code == 200
            text = answer.content.decode()
            assert "protected" in text
            assert "letter 1" in text
            assert "Yes" not in text
    assert letters.objects.count() == 2


@pytest.mark.parametrize("on_delete", [models.SET_NULL, models.SET_DEFAULT])
def test_the_scope_of_a_numbered_row_is_not_deleted(
    on_delete: Any, using: str, settings: Any, client: Client
) -> None:
    """The page names the row, whose number depends on what would be deleted."""
    with isolate_apps("tests.numbered"):
        folders: Any = model_with("Folder")

        class Letter(ProtectNumbered):
            folder = models.ForeignKey(folders, on_delete, null=True, default=None)
            number = SequenceField("letters", scope="folder", null=True)

            class Meta:
                app_label = "numbered"

            def __str__(self) -> str:
                return f"letter {self.number}"

    site = admin.AdminSite(name="admin")
    site.register(folders)
    site.register(Letter)
    settings.ROOT_URLCONF = (path("admin/", site.urls),)
    with tables(using, folders, Letter):
        folder, empty = folders.objects.create(), folders.objects.create()
        Letter.objects.create(folder=folder)
        for confirmed in ({}, {"post": "yes"}):
            answer = client.post(f"/admin/numbered/folder/{folder.pk}/delete/", confirmed)
            assert "letter 1" in answer.content.decode()
        selected = {"action": "delete_selected", "_selected_action": [folder.pk, empty.pk]}
        assert "protected" in client.post("/admin/numbered/folder/", selected).content.decode()
        assert Letter.objects.get().folder_id == folder.pk
        client.post(f"/admin/numbered/folder/{empty.pk}/delete/", {"post": "yes"})
        assert list(folders.objects.all()) == [folder]


def test_pages_that_make_numbers_void(made: Any, client: Client) -> None:
    """The page and the action delete the rows, and the register has their numbers."""
    folders, letters = made
    folder = folders.objects.create()
    one, two = (letters.objects.create(folder=folder, sent=True) for _ in range(2))
    draft = letters.objects.create(folder=folder)
    page = client.post(f"/voiding/numbered/letter/{one.pk}/delete/", {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [two.pk, draft.pk]}
    action = client.post("/voiding/numbered/letter/", selected | {"post": "yes"})
    assert (page.status_code, action.status_code) == (302, 302)
    assert not letters.objects.exists()
    voids = Void.objects.order_by("number").values_list("number", "who")
    assert list(voids) == [(1, "root"), (2, "root")]


def test_drafts_are_deleted(made: Any, client: Client) -> None:
    """Rows without a number are deleted, also with the row that they refer to."""
    folders, letters = made
    one, two = (letters.objects.create(folder=folders.objects.create()) for _ in range(2))
    for page in (f"letter/{one.pk}/delete/", f"folder/{two.folder_id}/delete/"):
        assert client.post(f"/admin/numbered/{page}", {"post": "yes"}).status_code == 302
    assert not letters.objects.exists()


def test_an_inline_row_is_not_deleted(made: Any, client: Client) -> None:
    """The form of the row that refers to it comes back with the error."""
    folders, letters = made
    letter = letters.objects.create(folder=folders.objects.create(), sent=True)
    data = {
        "letter_set-TOTAL_FORMS": 1,
        "letter_set-INITIAL_FORMS": 1,
        "letter_set-0-id": letter.pk,
        "letter_set-0-folder": letter.folder_id,
        "letter_set-0-sent": "on",
        "letter_set-0-DELETE": "on",
    }
    answer = client.post(f"/admin/numbered/folder/{letter.folder_id}/change/", data)
    assert answer.status_code == 200
    assert "would require deleting the following protected" in answer.content.decode()
    assert letters.objects.count() == 1
