"""OpenTelemetry spans of takings, made by the real SDK; and nothing where it isn't installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.distributions import ROOT, UV, run

TRACED = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["sequences_core"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
import django
django.setup()
from django.core.management import call_command
from django.db import transaction
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sequences_core import SequenceExhausted, get_next_values, set_last_value

call_command("migrate", verbosity=0)
exporter = InMemorySpanExporter()
provider = TracerProvider()  # set after the package was imported, as many projects do
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

with trace.get_tracer("shop").start_as_current_span("order") as order, transaction.atomic():
    get_next_values(3, "invoices")
span, _ = exporter.get_finished_spans()
assert span.name == "sequences.take", span
assert span.parent.span_id == order.get_span_context().span_id, span
assert span.instrumentation_scope.name == "sequences_core", span
assert dict(span.attributes) == {
    "sequences.name": "invoices", "sequences.count": 3, "sequences.using": "default"
}, span
assert span.status.is_unset, span

exporter.clear()
set_last_value(2**63 - 1, "invoices")
try:
    with transaction.atomic():
        get_next_values(1, "invoices")
except SequenceExhausted:
    (failed,) = exporter.get_finished_spans()
    assert not failed.status.is_ok and failed.events[0].name == "exception", failed
    print("traced")
"""

UNTRACED = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["sequences_core"])
import django
django.setup()
from sequences_core import waits
assert waits.tracer is None
assert not waits.always
print("untraced")
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``sys.path`` with the SDK, which the other tests must not find."""
    folder = tmp_path_factory.mktemp("opentelemetry")
    pins = ROOT / "constraints.txt"
    options = ("--python", sys.executable, "--target", folder, "--constraint", pins)
    run(UV, "pip", "install", *options, "opentelemetry-sdk")
    return folder


def test_a_taking_is_a_span(sdk: Path) -> None:
    """With the sequence, how many numbers, and the database; a failure says so."""
    done = run(sys.executable, "-W", "error", "-c", TRACED, PYTHONPATH=f"{ROOT}:{sdk}")
    assert done == "traced\n"


def test_without_it_nothing_is_measured() -> None:
    """The package needn't be installed, and takings pay nothing."""
    done = run(sys.executable, "-W", "error", "-c", UNTRACED, PYTHONPATH=str(ROOT))
    assert done == "untraced\n"
