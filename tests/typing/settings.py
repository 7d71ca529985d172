"""The settings of the tests, with the apps of all folders: mypy's plugin knows models by them."""

import sys
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

sys.path.insert(0, str(Path(__file__).parents[2] / "contrib" / "demo"))
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "invoices",
    "benchmarks.app",
    "benchmarks.field",
    "benchmarks.peers.autosequence",
    "django_seq",
    "benchmarks.peers.django_seq",
]
