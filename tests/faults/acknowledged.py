"""The rule that no client is told of a commit which a crash can undo.

The kit's checker verifies that each row whose ``create()`` or COMMIT returned exists after the
crash (``Verdict.lost``). This module adds a rule that doesn't depend on the moment of the crash:
while no commit can become safe, none may be acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sequences_core.testing.history import events


class Standstill(NamedTuple):
    """A period in which no sync ended, or nothing reached the standby (``time.monotonic``)."""

    begun: float
    ended: float


def too_early(histories: Iterable[Path], standstills: Iterable[Standstill]) -> Iterator[str]:
    """Return the transactions that began to commit and were acknowledged in the same standstill.

    A commit that began earlier may have been safe already, with its acknowledgement on the way.
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
