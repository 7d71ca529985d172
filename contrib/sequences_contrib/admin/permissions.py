"""Who may see and do what: as the admin of the numbered model says, if there is one."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest

from ..series import database_of, numbered_fields, series_of


def may(action: str, request: HttpRequest, site: AdminSite, model: type[Model]) -> bool:
    """Does the user have the permission to view or change the rows of a model?"""
    if site.is_registered(model):
        admin = site.get_model_admin(model)
        return bool(getattr(admin, f"has_{action}_permission")(request))
    options = model._meta
    enough = {action, "change"}
    return any(
        request.user.has_perm(f"{options.app_label}.{get_permission_codename(each, options)}")
        for each in enough
    )


def may_audit(request: HttpRequest, site: AdminSite, field: Any) -> bool:
    """May the user view all the models whose rows this field's counters number?"""
    series = series_of(field, database_of(field, None))
    return all(may("view", request, site, each.model) for each in series)


def fields_to_audit(request: HttpRequest, site: AdminSite) -> list[Any]:
    """Return the numbered fields that the user may see."""
    found = [field for field in numbered_fields() if may_audit(request, site, field)]
    return sorted(found, key=lambda field: (str(field.model._meta.verbose_name), field.name))


def field_to_audit(request: HttpRequest, site: AdminSite, label: str) -> Any:
    """Return the field called ``app.Model.field``; raise Http404 or PermissionDenied."""
    for field in numbered_fields():
        if str(field) == label:
            if not may_audit(request, site, field):
                raise PermissionDenied
            return field
    raise Http404
