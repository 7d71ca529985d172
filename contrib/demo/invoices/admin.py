"""The admin of invoices, to create and post drafts."""

from __future__ import annotations

from django.contrib import admin

from invoices.models import Invoice, PostedInvoice


@admin.register(Invoice)
class InvoiceAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not generic at run time
    list_display = ("number", "customer", "amount")


@admin.register(PostedInvoice)
class PostedInvoiceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("__str__", "issued_on", "posted", "customer", "amount")
    list_filter = ("posted",)
    ordering = ("-issued_on", "-pk")
