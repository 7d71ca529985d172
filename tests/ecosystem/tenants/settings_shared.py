"""One table of counters for all tenants: sequences_core is in SHARED_APPS only."""

from tests.ecosystem.tenants.base import *  # noqa: F403
from tests.ecosystem.tenants.base import SHARED, TENANT, databases

DATABASES = databases("shared")
SHARED_APPS = [*SHARED, "sequences_core"]
TENANT_APPS = TENANT
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS)]
