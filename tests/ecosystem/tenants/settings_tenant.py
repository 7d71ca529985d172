"""A table of counters for each tenant: sequences_core is in TENANT_APPS only."""

from tests.ecosystem.tenants.base import *  # noqa: F403
from tests.ecosystem.tenants.base import SHARED, TENANT, databases

DATABASES = databases("tenant")
SHARED_APPS = SHARED
TENANT_APPS = [*TENANT, "sequences_core"]
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS)]
