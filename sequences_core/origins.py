"""Which database an error came from."""

from __future__ import annotations

from types import TracebackType

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseErrorWrapper


def is_foreign(connection: BaseDatabaseWrapper, error: BaseException) -> bool:
    """Return whether another connection than this one has raised the error.

    Each connection turns its driver's errors into Django's by an object of its own, whose frame is
    in the traceback. Where there is none, the error was made by hand, and isn't foreign.
    """
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is DatabaseErrorWrapper.__exit__.__code__:
            wrapper = frame.f_locals.get("self")  # gone after traceback.clear_frames()
            return wrapper is not None and wrapper.wrapper is not connection
        traceback = traceback.tb_next
    return False
