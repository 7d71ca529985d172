"""Settings with rest_framework."""

from tests.ecosystem.settings import *  # noqa: F403
from tests.ecosystem.settings import BASIC_APPS, databases

DATABASES = databases("serializers")
INSTALLED_APPS = [*BASIC_APPS, "rest_framework", "tests.ecosystem.serializers"]
ROOT_URLCONF = "tests.ecosystem.serializers.urls"
REST_FRAMEWORK = {"TEST_REQUEST_DEFAULT_FORMAT": "json"}
