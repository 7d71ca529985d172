"""Settings with polymorphic."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, databases

DATABASES = databases("polymorphs")
INSTALLED_APPS = [*BASIC_APPS, "polymorphic", "tests.ecosystem.polymorphs"]
