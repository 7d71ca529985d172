"""*Acknowledged means there*: nobody is told of a commit that a crash could take back.

That each row whose ``create()`` or COMMIT has returned is there after the crash, the checker of
the kit sees (``Verdict.lost``). Here is what doesn't depend on the moment of the crash: while
nothing can become safe, nothing is acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sequences_core.testing.history import events


class Standstill(NamedTuple):
    """A time in which no sync ended, or nothing reached the standby (``time.monotonic``)."""

    begun: float
    ended: float


def too_early(histories: Iterable[Path], standstills: Iterable[Standstill]) -> Iterator[str]:
    """The transactions with rows that began to commit in a standstill, and were told it is done.

    One that had begun before may have been safe already, with the acknowledgement on its way.
    """
    spans = list(standstills)
    for history in histories:
        committing: dict[str, float] = {}
        for at, name, event, *details in events(history):
            if event == "committing" and details[0]:
                committing[name] = at
            elif event == "committed" and any(
                begun < committing.get(name, begun) and at < ended for begun, ended in spans
            ):
                yield f"{name} was acknowledged before it was safe"
