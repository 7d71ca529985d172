"""A table of counters for each tenant and one in public: sequences_core is in both lists."""

from tests.ecosystem.tenants.base import *  # noqa: F403
from tests.ecosystem.tenants.base import SHARED, TENANT, databases

DATABASES = databases("both")
SHARED_APPS = [*SHARED, "sequences_core"]
TENANT_APPS = [*TENANT, "sequences_core"]
INSTALLED_APPS = [*SHARED_APPS, *(app for app in TENANT_APPS if app not in SHARED_APPS)]
