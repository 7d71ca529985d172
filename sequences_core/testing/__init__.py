"""The conformance kit: what every backend must do, as tests.

A backend's test module is this, with pytest-django configured for its database::

    from sequences_core.testing import AllocatorContract


    class TestMyAllocator(AllocatorContract):
        using = "default"
        backend = "mydatabase"

The tests' Django settings have ``sequences_core`` in ``INSTALLED_APPS``, a database that several
threads can open, and ``SEQUENCES_BACKEND`` set to the same backend. The kit chooses it for its
tests, but before them ``migrate`` prepares the test database, the function of ``NextValue``
included, for the backend of the settings.

The capability flags of the allocator choose among the tests; that numbers have no holes is not
up for choice. Needs ``pip install sequences-core[testing]``.
"""

# ruff: noqa: E402 - the modules are registered first

import pkgutil

import pytest

# Only what is registered before it is imported shows the values of an assertion that fails.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from .bad_input import BadInput
from .base import Contract
from .blocks import Blocks
from .callables import Callables
from .concurrency import Concurrency
from .diagnosis import Diagnosis
from .early import EarlyRelease
from .isolation import Isolation
from .parameters import Parameters
from .races import InStatementRaces
from .session import Session
from .stateful import Model
from .transactions import Transactions
from .values import Values
from .waiting import Waiting


class AllocatorContract(
    Values,
    BadInput,
    Parameters,
    Callables,
    Transactions,
    Session,
    Blocks,
    Waiting,
    InStatementRaces,
    Isolation,
    EarlyRelease,
    Diagnosis,
    Concurrency,
    Model,
):
    """Everything. Subclass it as ``Test…`` and say ``using`` and ``backend``."""


__all__ = ["AllocatorContract", "Contract"]
