"""Another app label, and another table name by SEQUENCES_TABLE.

Each project runs in processes of its own, for a name is read once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from sequences_core.table import table_parts

ROOT = Path(__file__).parents[1]

SETTINGS = """
import json
import os

import sequences_core
from sequences_core import SequencesError  # a settings module may import it

SECRET_KEY = "no secret"
USE_TZ = True
DATABASES = {"default": json.loads(os.environ["PROJECT_DATABASE"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SEQUENCES_AUTOCOMMIT = "allow"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.messages", "django.contrib.sessions", *os.environ["PROJECT_APP"].split(),
]
ROOT_URLCONF = "tests.urls"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
if os.environ.get("PROJECT_TABLE"):
    SEQUENCES_TABLE = json.loads(os.environ["PROJECT_TABLE"])
if os.environ.get("PROJECT_BACKEND"):
    SEQUENCES_BACKEND = os.environ["PROJECT_BACKEND"]
"""

OWN_CONFIG = """
from sequences_core.apps import SequencesConfig


class NumbersConfig(SequencesConfig):
    label = "numbers"
"""

OWN_CONTRIB_CONFIG = """
from sequences_contrib.apps import SequencesContribConfig


class AuditsConfig(SequencesContribConfig):
    label = "audits"
"""

USE_CONTRIB = """
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from sequences_contrib.models import Void

call_command("migrate", verbosity=0)
call_command("makemigrations", "audits", check=True, dry_run=True, verbosity=0)
assert Void.objects.count() == 0
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("root"))
assert client.get("/admin/").status_code == 200
assert reverse("admin:audits_audit_changelist") == "/admin/audits/audit/"
call_command("migrate", "audits", "zero", verbosity=0)
"""

# Everything, in one process, which takes a second to start.
USE = """
import io
import django
django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from sequences_core import NextValue, get_allocator, get_next_value, get_next_values
from sequences_core.models import Counter

def run(*args, **options):
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue()

def tables():
    return connection.introspection.table_names()

label, table = Counter._meta.app_label, getattr(settings, "SEQUENCES_TABLE", None)
allocator = get_allocator(connection)
if table and "." in table:
    with connection.cursor() as cursor:
        cursor.execute('CREATE SCHEMA "%s"' % table.split(".")[0])
run("migrate")
assert "." in (table or "") or (table or "sequences_core_counter") in tables(), tables()
assert "No changes" in run("makemigrations", label, check=True, dry_run=True)
assert "W001" not in run("check", databases=["default"])

bounds = [{}] + [{"timeout": 5}, {"nowait": True}] * allocator.can_limit_wait
for number, bound in enumerate(bounds, 1):
    assert get_next_value("s", **bound) == number
    assert get_next_value("c", lambda: 1, **bound) == number
    assert get_next_value("loop", 0, 2, **bound) == (number - 1) % 2
    assert get_next_values(3, "batch", 7, **bound)[-1] == 6 + 3 * number
if allocator.supports_function:
    assert allocator.is_installed(connection)
    with transaction.atomic():
        first = ContentType.objects.order_by("pk")[:1]
        ContentType.objects.filter(pk=first.get().pk).update(model=NextValue("inside"))
        assert first.get().model == "1"
        transaction.set_rollback(True)
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("root"))
page = client.get("/admin/%s/counter/" % label)
assert page.status_code == 200 and "batch" in page.content.decode(), page

run("sequences", "set", "s", "70", "--create")
run("sequences", "install")
assert '"last": 70' in run("sequences", "list", "--format=json")
run("sequences", "delete", "s", "--noinput")
assert '"last": 70' not in run("sequences", "list", "--format=json")
run("migrate", label, "zero")
assert (table or "sequences_core_counter") not in tables()
try:
    run("sequences", "list")
except CommandError as error:
    assert "no table %s: run" % (table or "sequences_core_counter") in str(error), error
    assert "manage.py migrate %s --database=default" % label in str(error), error
else:
    raise AssertionError("a missing table is no error")
"""

Run = Callable[..., str]


class Failed(Exception):
    """The output of a process that failed."""


@pytest.fixture
def run(using: str, tmp_path: Path) -> Run:
    """Run a management command, or code, in a project that has the database for itself."""
    (tmp_path / "project_settings.py").write_text(SETTINGS)
    (tmp_path / "project_apps.py").write_text(OWN_CONFIG)
    (tmp_path / "project_contrib.py").write_text(OWN_CONTRIB_CONFIG)
    database = {
        key: value
        for key, value in django_settings.DATABASES[using].items()
        if key in {"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS"}
    }
    # The test database, whose table of counters belongs to the tests: another one beside it.
    name = connections[using].settings_dict["NAME"]
    quote = connections[using].ops.quote_name
    if connections[using].vendor == "sqlite":
        database["NAME"] = str(tmp_path / "project.sqlite3")
    else:
        database["NAME"] = f"{name}_project"
        with connections[using].cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote(database['NAME'])}")
            charset = " CHARACTER SET utf8mb4" if connections[using].vendor == "mysql" else ""
            cursor.execute(f"CREATE DATABASE {quote(database['NAME'])}{charset}")

    def run(
        *command: str, app: str = "sequences_core", table: Any = None, backend: str = ""
    ) -> str:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "project_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "PROJECT_DATABASE": json.dumps(database),
            "PROJECT_APP": app,
            "PROJECT_TABLE": "" if table is None else json.dumps(table),
            "PROJECT_BACKEND": backend,
        }
        head = ["-c"] if len(command) == 1 and "\n" in command[0] else ["-m", "django"]
        done = subprocess.run(
            [sys.executable, "-W", "error", *head, *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Failed(done.stdout + done.stderr)
        return done.stdout + done.stderr

    return run


LABELS = {"sequences_core": "sequences_core", "numbers": "project_apps.NumbersConfig"}


NAMES: list[tuple[str, str | None, str]] = [
    ("numbers", None, ""),
    ("sequences_core", "Select", ""),
    ("numbers", "order", "orm"),
]


@pytest.mark.parametrize(("label", "table", "backend"), NAMES)
def test_another_name(label: str, table: str | None, backend: str, run: Run) -> None:
    """From migrate to zero everything works, and the table has the name that was chosen."""
    run(USE, app=LABELS[label], table=table, backend=backend)


def test_another_name_of_contrib(run: Run) -> None:
    """The app with the register of voids and the audit pages can have another label, too."""
    run(USE_CONTRIB, app="sequences_core project_contrib.AuditsConfig")


@pytest.mark.parametrize("backend", ["", "orm"])
def test_a_schema(backend: str, run: Run, using: str) -> None:
    """``schema.table`` is another schema's table where there are schemas; elsewhere an error."""
    project = {"table": "order.Counter", "backend": backend}
    if connections[using].vendor == "postgresql":
        run(USE, **project)
        return
    for command in (["check"], ["migrate", "--skip-checks"], ["sequences", "list"]):
        with pytest.raises(Failed, match=r"SEQUENCES_TABLE = 'order\.Counter' names a schema"):
            run(*command, **project)
    assert "Counter" not in run("inspectdb", **project)


BAD: list[Any] = [
    "",
    "a.b.c",
    "a b",
    "a-b",
    'a"b',
    "a`b",
    "1a",
    ".a",
    "a.",
    "é" * 32,
    "a%s",
    7,
    ["a"],
]


@pytest.mark.parametrize("table", BAD, ids=repr)
def test_a_bad_name(table: Any, settings: Any) -> None:
    """It is refused when Django starts, with the setting and its value."""
    settings.SEQUENCES_TABLE = table
    with pytest.raises(ImproperlyConfigured) as caught:
        table_parts.__wrapped__()
    assert f"SEQUENCES_TABLE = {table!r}" in str(caught.value)
