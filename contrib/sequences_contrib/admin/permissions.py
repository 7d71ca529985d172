"""The permissions of the audit pages, which depend on those of the numbered models."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest

from ..series import database_of, numbered_fields, series_key, series_of


def may(action: str, request: HttpRequest, site: AdminSite, model: type[Model]) -> bool:
    """Return whether the user may view or change rows of a model.

    If the model is registered with the admin site, its ModelAdmin decides.
    """
    if site.is_registered(model):
        admin = site.get_model_admin(model)
        return bool(getattr(admin, f"has_{action}_permission")(request))
    options = model._meta
    enough = {action, "change"}
    return any(
        request.user.has_perm(f"{options.app_label}.{get_permission_codename(each, options)}")
        for each in enough
    )


def fields_to_audit(request: HttpRequest, site: AdminSite) -> list[Any]:
    """Return the numbered fields whose audit the user may view.

    The audit of a field includes all fields that share its counters, so the user must have the
    permission to view all their models.
    """
    alike: dict[Any, list[Any]] = {}
    for field in numbered_fields():
        alike.setdefault(series_key(field), []).append(field)
    allowed = {
        model: may("view", request, site, model)
        for model in {field.model for fields in alike.values() for field in fields}
    }
    return [
        field
        for fields in alike.values()
        for field in fields
        if all(allowed[other.model] for other in series_of(field, database_of(field, None), fields))
    ]


def field_to_audit(request: HttpRequest, site: AdminSite, label: str) -> Any:
    """Return the field with the label ``app.Model.field``; raise Http404 or PermissionDenied."""
    known = {str(field): field for field in numbered_fields()}
    if label not in known:
        raise Http404
    if known[label] not in fields_to_audit(request, site):
        raise PermissionDenied
    return known[label]
