"""The exceptions that this package defines.

::

    SequencesError
    ├── SequenceExhausted     (django.db.DataError)
    ├── SequenceLocked        (django.db.OperationalError)
    ├── DurabilityUnknown     (django.db.OperationalError)
    ├── TableMissing          (django.db.ProgrammingError)
    ├── FunctionMissing       (django.db.ProgrammingError)
    ├── AutocommitRefused     (django.db.transaction.TransactionManagementError)
    └── BackendError          (django.core.exceptions.ImproperlyConfigured)
        ├── BackendNotFound
        ├── BackendConflict
        ├── BackendImportFailed
        └── BackendInvalid

    GapWarning                (RuntimeWarning)

Invalid arguments raise ``TypeError`` or ``ValueError``. All other errors of the database are
Django's ``django.db`` exceptions, unchanged.
"""

from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, OperationalError, ProgrammingError
from django.db.transaction import TransactionManagementError

__all__ = [
    "AutocommitRefused",
    "BackendConflict",
    "BackendError",
    "BackendImportFailed",
    "BackendInvalid",
    "BackendNotFound",
    "DurabilityUnknown",
    "FunctionMissing",
    "GapWarning",
    "SequenceExhausted",
    "SequenceLocked",
    "SequencesError",
    "TableMissing",
]


class SequencesError(Exception):
    """The base class of all errors below."""


class SequenceExhausted(SequencesError, DataError):
    """The block would exceed 2**63 - 1, or a field's ``maximum``. The counter didn't change."""


class SequenceLocked(SequencesError, OperationalError):
    """Another transaction locked the counter for longer than ``timeout`` seconds."""


class DurabilityUnknown(SequencesError, OperationalError):
    """The transaction was committed, but the wait until the commit is durable failed.

    It has no error code, so that ``run_atomic()`` never runs the transaction again.
    """

    using: str | None = None
    """The alias of the database."""


class TableMissing(SequencesError, ProgrammingError):
    """A table of this package doesn't exist. The message names the command that creates it."""


class FunctionMissing(SequencesError, ProgrammingError):
    """The function of NextValue doesn't exist, is outdated, or may not be executed.

    The message names the command that creates it.
    """


class AutocommitRefused(SequencesError, TransactionManagementError):
    """Code asked for a number outside a transaction, and SEQUENCES_AUTOCOMMIT is "error"."""


class BackendError(SequencesError, ImproperlyConfigured):
    """No allocator can be chosen. The message lists what is installed."""


class BackendNotFound(BackendError):
    """No installed distribution registers a backend of this name."""


class BackendConflict(BackendError):
    """Several installed distributions register a backend of this name."""


class BackendImportFailed(BackendError):
    """The backend is installed, but importing it failed."""


class BackendInvalid(BackendError):
    """The setting is invalid, or the class doesn't fit the database or the contract's version."""


class GapWarning(RuntimeWarning):
    """A number was taken outside a transaction: if the code that uses it fails, it is lost."""
