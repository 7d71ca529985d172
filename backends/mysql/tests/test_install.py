"""If the server's settings forbid the function of NextValue, everything else works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from sequences_core import get_allocator, get_next_value
from sequences_core.functions import forget_functions


class TestBinaryLog:
    """MySQL's defaults: a binary log, and log_bin_trust_function_creators is off."""

    using = "mysql"
    pytestmark = pytest.mark.django_db(
        transaction=True, databases=["mysql"], available_apps=["sequences_core"]
    )

    @pytest.fixture(autouse=True)
    def _no_trust(self) -> Iterator[None]:
        connection = connections[self.using]
        allocator = get_allocator(connection)
        allocator.uninstall(connection)
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = OFF")
        yield
        with connection.cursor() as cursor:
            cursor.execute("SET GLOBAL log_bin_trust_function_creators = ON")
        allocator.install(connection)
        forget_functions()

    def test_migrating_goes_on_without_the_function(self) -> None:
        """Error 1418, which no privilege prevents, becomes a warning; numbers can be taken."""
        connection = connections[self.using]
        with pytest.warns(UserWarning, match="log_bin_trust_function_creators"):
            get_allocator(connection).install(connection)
        assert not get_allocator(connection).is_installed(connection)
        with transaction.atomic(using=self.using):
            assert get_next_value("s", using=self.using) == 1
