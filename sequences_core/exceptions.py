"""Every error that this package raises by itself.

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

Bad arguments are ``TypeError`` and ``ValueError``; whatever else the database says arrives as
Django's own ``django.db`` exception, unchanged.
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
    """Base of all errors below."""


class SequenceExhausted(SequencesError, DataError):
    """The block would pass 2**63 - 1; the counter stays where it was."""


class SequenceLocked(SequencesError, OperationalError):
    """Another transaction held the counter for longer than ``timeout`` seconds."""


class DurabilityUnknown(SequencesError, OperationalError):
    """The transaction was committed; waiting until that is safe from a crash failed.

    It has no error code, so it is never taken for a conflict and run again.
    """

    using: str | None = None
    """The alias of the database."""


class TableMissing(SequencesError, ProgrammingError):
    """The table of counters is not in the database; the message names the command."""


class FunctionMissing(SequencesError, ProgrammingError):
    """The function behind NextValue is not in the database; the message names the command."""


class AutocommitRefused(SequencesError, TransactionManagementError):
    """A number was asked for outside a transaction and SEQUENCES_AUTOCOMMIT is "error"."""


class BackendError(SequencesError, ImproperlyConfigured):
    """No allocator could be chosen; the message says who asked and what is installed."""


class BackendNotFound(BackendError):
    """No installed distribution registers a backend of that name."""


class BackendConflict(BackendError):
    """Two installed distributions register a backend of that name."""


class BackendImportFailed(BackendError):
    """The backend is installed, but importing it fails."""


class BackendInvalid(BackendError):
    """What was named is no Allocator, or not one for this database or version of the contract."""


class GapWarning(RuntimeWarning):
    """A number was taken outside a transaction: if what follows fails, it is lost."""
