"""A page of Django's admin for a table that can't be read, for example because it is missing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.contrib import admin, messages
from django.db import DatabaseError, connections, router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .taking import database_errors

__all__ = ["ExplainingAdmin"]


def explained(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate one of Django's views to show an error page if the table can't be read."""

    @functools.wraps(view)
    def wrapper(
        self: ExplainingAdmin, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        connection = connections[router.db_for_read(self.model)]
        # Open no transaction outside one: on SQLite, BEGIN may lock the database.
        atomic = transaction.atomic(connection.alias) if connection.in_atomic_block else None
        try:
            with database_errors(connection), atomic or nullcontext():
                return view(self, request, *args, **kwargs)
        except DatabaseError as error:
            return self.database_error(request, error)

    return wrapper


class ExplainingAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    """A ModelAdmin whose pages say why the table can't be read."""

    changelist_view = explained(admin.ModelAdmin.changelist_view)
    change_view = explained(admin.ModelAdmin.change_view)
    history_view = explained(admin.ModelAdmin.history_view)

    def database_error(self, request: HttpRequest, error: DatabaseError) -> HttpResponse:
        """Return Django's error page for an invalid database, with the error as a message."""
        messages.error(request, str(error))
        context = {**self.admin_site.each_context(request), "title": _("Database error")}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/invalid_setup.html", context)
