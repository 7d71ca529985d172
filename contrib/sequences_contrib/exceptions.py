"""The errors of this package. Each is also a subclass of one of Django's.

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
    """The date of a row contradicts the dates of the numbers before and after its own.

    This is an IntegrityError because it depends on other rows, as a unique constraint does. Code
    that already handles IntegrityError handles this error too.

    :ivar counter: the name of the counter.
    :ivar date: the date of the row that was refused.
    :ivar last: the date that it contradicts: that of the previous number, or that of the next.
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
    """Saving would change the number, scope or date of a numbered row, or the row would be deleted.

    :class:`~sequences_contrib.protection.ProtectNumbered` raises it.
    """

    def __init__(self, message: str = "", protected_objects: Iterable[Model] = ()) -> None:
        super().__init__(message, set(protected_objects))

    def __str__(self) -> str:
        return str(self.args[0])


def is_committed(error: BaseException, using: str) -> bool:
    """Return whether the transaction on this database was committed despite the error.

    That is so for DurabilityUnknown, which is raised after the COMMIT. The rows are stored, so
    their instances must keep the numbers: a later ``save()`` would overwrite them.
    """
    return isinstance(error, DurabilityUnknown) and error.using == using
