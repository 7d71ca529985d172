"""Settings with import_export."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, databases

DATABASES = databases("imports")
INSTALLED_APPS = [*BASIC_APPS, "import_export", "tests.ecosystem.imports"]
