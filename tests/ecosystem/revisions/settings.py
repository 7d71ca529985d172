"""Settings with reversion."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, MIGRATION_MODULES, databases

DATABASES = databases("revisions")
INSTALLED_APPS = [*BASIC_APPS, "reversion", "tests.ecosystem.revisions"]
MIGRATION_MODULES = {**MIGRATION_MODULES, "reversion": None}
