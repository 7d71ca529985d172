"""Find out whether an error came from another database."""

from __future__ import annotations

from types import TracebackType

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper


def is_foreign(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Return whether another connection than this one raised the error.

    Each connection has its own DatabaseErrorWrapper, which converts the driver's errors and whose
    frame is in the traceback. An error without such a frame doesn't come from a database, and
    isn't foreign.
    """
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is DatabaseErrorWrapper.__exit__.__code__:
            wrapper = frame.f_locals.get("self")  # absent after traceback.clear_frames()
            return wrapper is not None and wrapper.wrapper is not connection
        traceback = traceback.tb_next
    return False
