"""The admin of the register of void numbers, which is read-only."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from sequences_core.admin_errors import ExplainingAdmin


class ReadOnlyAdmin(ExplainingAdmin):
    """A ModelAdmin that doesn't allow adding, changing or deleting objects."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VoidAdmin(ReadOnlyAdmin):
    """The register of voids. Its entries are evidence, so the admin can't add or change them."""

    list_display = ("counter", "number", "text", "reason", "who", "when")
    search_fields = ("counter", "=number", "text", "reason", "who")
    list_filter = ("when",)
    ordering = ("-when", "counter", "-number")
