"""The conformance kit: tests that every backend must pass.

This is the test module of a backend, with pytest-django configured for its database::

    from sequences_core.testing import AllocatorContract


    class TestMyAllocator(AllocatorContract):
        using = "default"
        backend = "mydatabase"

The tests' Django settings need ``sequences_core`` in ``INSTALLED_APPS``, a database that several
threads can use, and ``SEQUENCES_BACKEND`` set to the same backend. The kit selects the backend for
its tests, but ``migrate`` prepares the test database, including the function of ``NextValue``, for
the backend in the settings.

The allocator's capability flags select the tests. The tests for gaps and duplicates always run.
Install the kit's dependencies by ``pip install sequences-core[testing]``.
"""

# ruff: noqa: E402 - the modules must be registered before they are imported

import pkgutil

import pytest

# pytest shows the values of a failed assertion only in modules that were registered before.
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
    """All tests. Subclass it as ``Test…``, and set ``using`` and ``backend``."""


__all__ = ["AllocatorContract", "Contract"]
