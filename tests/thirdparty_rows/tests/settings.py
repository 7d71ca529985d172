"""Django settings of the tests, on the server that PGHOST, PGPORT and PGUSER name."""

SECRET_KEY = "no secret"
USE_TZ = True
INSTALLED_APPS = ["sequences_core"]
SEQUENCES_BACKEND = "globex"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres"}}
