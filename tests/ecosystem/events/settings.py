"""Settings with django-pghistory."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, databases

DATABASES = databases("events")
INSTALLED_APPS = [*BASIC_APPS, "pgtrigger", "pghistory", "tests.ecosystem.events"]
PGTRIGGER_INSTALL_ON_MIGRATE = True  # the models have no migrations that would install them
