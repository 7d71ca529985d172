"""The errors of this package; each is one of Django's, too.

::

    SequencesError
    ├── OutOfOrder            (django.db.IntegrityError)
    └── NumberProtected       (django.db.models.ProtectedError, an IntegrityError)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError
from django.db.models import Model, ProtectedError

from sequences_core import DurabilityUnknown, SequencesError


class OutOfOrder(SequencesError, IntegrityError):
    """A document's date doesn't fit those of the numbers around its own.

    An IntegrityError, because it depends on the rows that others have stored: whoever turns that
    of a unique constraint into a message turns this one, too.

    :ivar counter: the name of the counter.
    :ivar date: the date of the document that was refused.
    :ivar last: the date that it lies before; that of the next number, if it lies after that.
    :ivar row: the instance that was refused.
    """

    def __init__(
        self,
        message: str = "",
        *,
        counter: str = "",
        date: Any = None,
        last: Any = None,
        row: Any = None,
    ) -> None:
        super().__init__(message)
        self.counter = counter
        self.date = date
        self.last = last
        self.row = row


class NumberProtected(SequencesError, ProtectedError):
    """A numbered row would lose its number, its scope or its date, or would be deleted."""

    def __init__(self, message: str = "", protected_objects: Iterable[Model] = ()) -> None:
        super().__init__(message, set(protected_objects))

    def __str__(self) -> str:
        return str(self.args[0])


def is_committed(error: BaseException, using: str) -> bool:
    """Return whether an error that ends a transaction of this database came after its COMMIT.

    The rows are stored then, and their instances keep the numbers that were taken: a second save()
    would store what the instances have instead. Nobody waits while a transaction is open.
    """
    return isinstance(error, DurabilityUnknown) and error.using == using
