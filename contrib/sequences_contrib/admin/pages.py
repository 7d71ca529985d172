"""The audit pages: the numbered fields, and whether their numbers are complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DatabaseError, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.text import capfirst, slugify

from sequences_core.taking import database_errors

from ..commands import write_csv
from ..series import database_of
from .columns import Columns
from .drafts import DraftsPage
from .overview import Overview, name_of
from .permissions import field_to_audit, fields_to_audit, may
from .voids import ReadOnlyAdmin

FOLDER = "admin/sequences_contrib/audit"


class AuditAdmin(ReadOnlyAdmin):
    """Pages about all numbered fields of the project, instead of the rows of a model."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and bool(fields_to_audit(request, self.admin_site))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        drafts: Any = self._page_of(self._drafts)
        for alias in connections:  # assign_numbers() commits each batch
            drafts = transaction.non_atomic_requests(using=alias)(drafts)
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=f"{name}_changelist"),
            path("<str:label>/", self._page_of(self._field), name=f"{name}_field"),
            path("<str:label>/csv/", self._page_of(self._export), name=f"{name}_export"),
            path("<str:label>/drafts/", drafts, name=f"{name}_drafts"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List the numbered fields that the user may view."""
        site = self.admin_site
        fields = fields_to_audit(request, site)
        if not fields:
            raise PermissionDenied
        rows = [_described(field) for field in fields]
        rows.sort(key=lambda row: (row["model"], row["name"]))
        return self._page(request, "index", rows=rows, **(extra_context or {}))

    def _page_of(self, view: Callable[[HttpRequest, Any], HttpResponse]) -> Any:
        """Return a view of the field with a label. It shows an error if a table can't be read."""

        def page(request: HttpRequest, label: str) -> HttpResponse:
            field = field_to_audit(request, self.admin_site, label)
            using = database_of(field, None)
            try:
                with database_errors(connections[using], ours=False):
                    response = view(request, field)
                    # Queries of the template must fail here.
                    return response.render() if isinstance(response, TemplateResponse) else response
            except (DatabaseError, ObjectDoesNotExist) as error:
                unreadable = self._page(request, "unreadable", field, error=error)
                unreadable.status_code = 500
                return unreadable

        return self.admin_site.admin_view(page)

    def _field(self, request: HttpRequest, field: Any) -> HttpResponse:
        """Show the audit of a field's counters."""
        return self._page(request, "field", field, overview=Overview(field, request.GET))

    def _export(self, request: HttpRequest, field: Any) -> HttpResponse:
        """Return the results like ``sequences audit --format csv``, for the filtered counters."""
        overview = Overview(field, request.GET)
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        name = f"audit-{slugify(str(field).replace('.', '-'))}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response.write("\ufeff")  # so that Excel reads UTF-8
        write_csv(overview.all_results(), response)
        return response

    def _drafts(self, request: HttpRequest, field: Any) -> HttpResponse:
        """Show how many rows are due for a number; number them on POST."""
        may_assign = may("change", request, self.admin_site, field.model)
        if field.when is None:
            raise Http404
        drafts = DraftsPage(field)
        if request.method == "POST":
            if not may_assign:
                raise PermissionDenied
            return drafts.assign(request)
        page = drafts.page(request.GET.get("_page"))
        rows = drafts.waiting(list(page))
        found = {"drafts": drafts, "page": page, "rows": rows, "may_assign": may_assign}
        return self._page(request, "drafts", field, **found)

    def _page(
        self, request: HttpRequest, template: str, field: Any = None, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        title = self.opts.verbose_name_plural if field is None else name_of(field)
        shown = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": capfirst(title),
            "field": field,
            "label": str(field),
        }
        return TemplateResponse(request, f"{FOLDER}/{template}.html", {**shown, **context})


def _described(field: Any) -> dict[str, Any]:
    columns = Columns(field, database_of(field, None), [])
    return {
        "field": field,
        "label": str(field),
        "model": capfirst(field.model._meta.verbose_name_plural),
        "name": capfirst(field.verbose_name),
        "scope": ", ".join(column.name for column in columns.columns),
    }
