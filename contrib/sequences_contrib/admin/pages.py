"""The audit pages: which fields are numbered, and whether their numbers are complete."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.text import capfirst, slugify
from django.utils.translation import gettext as _

from ..commands import write_csv
from ..series import database_of
from .columns import Columns
from .drafts import DraftsPage
from .overview import Overview, name_of
from .permissions import field_to_audit, fields_to_audit, may
from .voids import ReadOnlyAdmin

FOLDER = "admin/sequences_contrib/audit"


class AuditAdmin(ReadOnlyAdmin):
    """Not the rows of a model, but pages about all numbered fields."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and bool(fields_to_audit(request, self.admin_site))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        drafts: Any = view(self.drafts_view)
        for alias in connections:  # assign_numbers() commits each batch by itself
            drafts = transaction.non_atomic_requests(using=alias)(drafts)
        name = "sequences_contrib_audit"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("<str:label>/", view(self.field_view), name=f"{name}_field"),
            path("<str:label>/csv/", view(self.export_view), name=f"{name}_export"),
            path("<str:label>/drafts/", drafts, name=f"{name}_drafts"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the numbered fields that the user may see."""
        site = self.admin_site
        fields = fields_to_audit(request, site)
        if not fields:
            self._refuse()
        rows = [{"field": field, "label": str(field), **_described(field)} for field in fields]
        title = _("Audit of numbers")
        return self._page(request, "index", title, rows=rows, **(extra_context or {}))

    def field_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """Show what the audit finds of a field's counters."""
        field = field_to_audit(request, self.admin_site, label)
        overview = Overview(field, request.GET)
        return self._page(
            request,
            "field",
            name_of(field),
            field=field,
            label=label,
            overview=overview,
        )

    def export_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """Return what ``sequences audit --format csv`` prints, of the counters that are chosen."""
        field = field_to_audit(request, self.admin_site, label)
        overview = Overview(field, request.GET)
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="audit-{slugify(label)}.csv"'
        write_csv(overview.all_results(), response)
        return response

    def drafts_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """Show how many rows wait for a number; a POST numbers them."""
        field = field_to_audit(request, self.admin_site, label)
        may_assign = may("change", request, self.admin_site, field.model)
        if field.when is None:
            raise Http404
        page = DraftsPage(field)
        if request.method == "POST":
            if not may_assign:
                self._refuse()
            return page.assign(request)
        title = _("%(numbers)s, drafts") % {"numbers": name_of(field)}
        return self._page(
            request,
            "drafts",
            title,
            field=field,
            label=label,
            drafts=page,
            name=name_of(field),
            page=(shown := page.page(request.GET.get("_page"))),
            rows=page.waiting(list(shown)),
            may_assign=may_assign,
        )

    def _refuse(self) -> NoReturn:
        raise PermissionDenied

    def _page(
        self, request: HttpRequest, template: str, title: str, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        shown = {**self.admin_site.each_context(request), "title": title, "opts": self.opts}
        return TemplateResponse(request, f"{FOLDER}/{template}.html", {**shown, **context})


def _described(field: Any) -> dict[str, Any]:
    columns = Columns(field, database_of(field, None), [])
    return {
        "model": capfirst(field.model._meta.verbose_name_plural),
        "name": capfirst(field.verbose_name),
        "scope": ", ".join(column.name for column in columns.columns),
    }
