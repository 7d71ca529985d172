"""The system check of the database function behind NextValue."""

from __future__ import annotations

import pytest
from django.core import checks
from django.db import connections

from sequences_core import get_allocator
from sequences_core.operations import install


@pytest.mark.django_db(transaction=True, databases="__all__", available_apps=["sequences_core"])
def test_missing_function_is_said_with_the_command(using: str) -> None:
    """Running check --database warns where the backend's function is missing, and only there."""
    connection = connections[using]
    allocator = get_allocator(connection)

    def warnings() -> list[str]:
        found = checks.run_checks(tags=["database"], databases=[using])
        return [str(w.hint) for w in found if w.id == "sequences_core.W001"]

    assert warnings() == []
    allocator.uninstall(connection)
    try:
        command = f"Run manage.py sequences install --database={using}"
        stored = allocator.supports_function and not allocator.function_of_connection
        assert warnings() == [command] * stored
    finally:
        install(connection)
