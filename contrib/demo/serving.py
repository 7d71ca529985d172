"""Serve the demo's data in Django's admin."""

from __future__ import annotations

import contextlib
import secrets
from datetime import date, timedelta
from decimal import Decimal

from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.urls import path
from django.views.generic import RedirectView
from rich.console import Console

from invoices.models import PostedInvoice

NAME = "demo"
DRAFTS = 5

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]


def serve() -> None:
    """Create a user, and serve the admin on a free port until Ctrl-C."""
    password = secrets.token_urlsafe(8)
    User.objects.create_superuser(NAME, password=password)
    days = [date(2026, 5, 1) + timedelta(days=number) for number in range(DRAFTS)]
    PostedInvoice.objects.bulk_create(
        PostedInvoice(customer="Grace", amount=Decimal(20), issued_on=day) for day in days
    )
    # update() numbers no rows, so these can be numbered on the page of drafts.
    PostedInvoice.objects.filter(posted=False).update(posted=True)
    with ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler) as server:
        server.set_app(StaticFilesHandler(get_wsgi_application()))
        Console().print(
            f"\nDjango's admin shows the same data and {DRAFTS} more drafts, until Ctrl-C: "
            f"http://127.0.0.1:{server.server_port}/admin/\n"
            f"User {NAME}, password {password}",
            highlight=False,
            soft_wrap=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
