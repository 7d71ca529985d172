"""The check that numbers are exact, without which their speed doesn't count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sequences_core.testing.history import Row, Series, Transaction, check


def fault_in(
    committed: Mapping[str, int],
    numbers: Iterable[tuple[str, int | None]],
    last: Callable[[str], int | None],
) -> str | None:
    """Return what is wrong if the numbers of a scope with n committed rows aren't 1..n, or None.

    ``numbers`` are the scopes and numbers of all rows; ``last`` returns the last number of a
    scope's counter, or None if there is no counter.
    """
    history = {
        scope: Transaction(scope, rows=count, outcome="committed")
        for scope, count in committed.items()
    }
    rows = [Row(scope, number, scope) for scope, number in numbers]
    lasts = {scope: last(scope) for scope, count in committed.items() if count}
    counters = {scope: committed[scope] if at is None else at for scope, at in lasts.items()}
    verdict = check(history, rows, counters, map(Series, committed))
    return None if verdict.exact else "; ".join(verdict.problems)
