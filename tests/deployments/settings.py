"""Django settings of the deployed project.

The JSON in the environment variable DEPLOYMENT has the database and other settings.
"""

import json
import os
from typing import Any

DEPLOYMENT: dict[str, Any] = json.loads(os.environ["DEPLOYMENT"])

SECRET_KEY = "no secret"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["sequences_core", "sequences_contrib", "tests.numbered"]
ROOT_URLCONF = "tests.deployments.urls"
DATABASES = {"default": DEPLOYMENT["database"]}
SEQUENCES_EARLY_RELEASE = DEPLOYMENT["early_release"]
