from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from .models import Counter


@admin.register(Counter)
class CounterAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """Shows the counters; changing one here would race with those who take numbers."""

    list_display = ("name", "last")
    search_fields = ("name",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
