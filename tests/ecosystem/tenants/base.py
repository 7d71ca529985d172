"""The shared settings, as described on the installation page of django-tenants."""

from __future__ import annotations

from typing import Any

from tests.ecosystem.settings import DEFAULT_AUTO_FIELD, SECRET_KEY, USE_TZ
from tests.ecosystem.settings import databases as databases_of

__all__ = [
    "DATABASE_ROUTERS",
    "DEFAULT_AUTO_FIELD",
    "SECRET_KEY",
    "SHARED",
    "TENANT",
    "TENANT_DOMAIN_MODEL",
    "TENANT_MODEL",
    "USE_TZ",
    "databases",
]

SHARED = [
    "django_tenants",
    "tests.ecosystem.tenants.customers",
    "django.contrib.contenttypes",
]
TENANT = ["django.contrib.contenttypes", "tests.ecosystem.tenants.shop"]

TENANT_MODEL = "customers.Client"
TENANT_DOMAIN_MODEL = "customers.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]


def databases(placement: str) -> dict[str, Any]:
    """Return the database, with the package's engine."""
    configured = databases_of(f"tenants_{placement}")
    configured["default"]["ENGINE"] = "django_tenants.postgresql_backend"
    return configured
