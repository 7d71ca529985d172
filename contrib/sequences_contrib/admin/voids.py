"""The register of void numbers: to be read and searched, and changed by nobody."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """Nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class VoidAdmin(ReadOnlyAdmin):
    """An entry proves why a number is missing, so the admin can't make, change or delete one."""

    list_display = ("counter", "number", "text", "reason", "who", "when")
    search_fields = ("counter", "=number", "text", "reason", "who")
    list_filter = ("when",)
    ordering = ("-when", "counter", "-number")
