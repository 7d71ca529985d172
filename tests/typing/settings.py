"""The settings of the tests, with the apps of all folders: mypy's plugin knows models by them."""

import sys
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

sys.path.insert(0, str(Path(__file__).parents[2] / "contrib" / "demo"))
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "invoices",
    "benchmarks",
    "django_seq",
    *("simple_history", "tests.ecosystem.history"),
    *("pgtrigger", "pghistory", "tests.ecosystem.events"),
    *("django_tenants", "tests.ecosystem.tenants.customers", "tests.ecosystem.tenants.shop"),
    *("reversion", "tests.ecosystem.revisions"),
    *("import_export", "tests.ecosystem.imports"),
    *("polymorphic", "tests.ecosystem.polymorphs"),
    *("rest_framework", "tests.ecosystem.serializers"),
]
TENANT_APPS = ["tests.ecosystem.tenants.shop"]
TENANT_MODEL = "customers.Client"
TENANT_DOMAIN_MODEL = "customers.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
