"""The pytest plugin that runs a test on the databases that DB names, and on no others."""

from __future__ import annotations

import pytest
from django.conf import settings


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is for a database outside DB: that is the user's choice, not a skip."""

    def wanted(item: pytest.Item) -> bool:
        using = getattr(getattr(item, "cls", None), "using", "default")
        return using in settings.DATABASES

    others = [item for item in items if not wanted(item)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if wanted(item)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``using`` once for each database."""
    if "using" in metafunc.fixturenames:
        metafunc.parametrize("using", [name for name in settings.DATABASES if name != "default"])
