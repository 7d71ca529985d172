"""Settings with simple_history."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, databases

DATABASES = databases("history")
INSTALLED_APPS = [*BASIC_APPS, "simple_history", "tests.ecosystem.history"]
