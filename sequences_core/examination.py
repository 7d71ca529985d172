"""Find what is wrong with the sequences of a project, for ``manage.py sequences doctor``.

The findings come from the system checks, from the backend, which queries the database's current
state, and from functions that other distributions register in the entry-point group :data:`GROUP`.
No statement waits for a lock or writes. If one examination fails, this is a finding, and the
others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as AnyDatabaseError
from django.db import NotSupportedError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from .allocator import Allocator
from .checks import NO_DATABASE, check_connection, check_early_release, check_functions
from .early_release import durability
from .exceptions import BackendError, TableMissing
from .models import Counter
from .registry import asks_for_early_release, backend_choice, distribution_of, get_allocator
from .table import table_parts
from .taking import database_errors

GROUP = "sequences_core.diagnoses"
"""Each entry point is a function that takes a connection and returns a system check's messages."""

LONG = 1.0
"""The age, in seconds, from which a transaction that others wait for is a warning."""


@dataclass
class Examination:
    """The facts about a database, by label, and the problems found."""

    facts: dict[str, str] = field(default_factory=dict)
    findings: list[CheckMessage] = field(default_factory=list)

    def look(self, what: str, look: Callable[[], Iterable[CheckMessage]]) -> None:
        """Add what ``look`` returns, or the reason why it fails; ``what`` begins that message."""
        try:
            found = list(look())
        except NotSupportedError as error:
            found = [_explained(Info, error)]
        except TableMissing as error:
            found = [_explained(Error, error)]
        except Exception as error:  # noqa: BLE001 # after any error, the examination goes on
            found = [Warning(f"{what} can't be examined: {type(error).__name__}: {_line(error)}")]
        for finding in found:
            if finding not in self.findings and not finding.is_silenced():
                self.findings.append(finding)


def examined_aliases() -> list[str]:
    """Return the aliases where the router allows the table of counters or sends new numbers."""
    written = router.db_for_write(Counter)
    return [
        alias
        for alias in connections
        if connections.settings[alias]["ENGINE"] != NO_DATABASE
        and (alias == written or router.allow_migrate_model(alias, Counter))
    ]


def examine_project() -> Examination:
    """Return the messages of the system checks about the project, not about single databases."""
    examination = Examination()
    examination.look("The project", lambda: _checks([], _of_settings()))
    return examination


def examine_database(alias: str, known: Iterable[CheckMessage] = ()) -> Examination:
    """Return the facts about a database and its problems, except those in ``known``."""
    examination = Examination()
    try:
        connection = connections[alias]
    except ImproperlyConfigured as error:  # the engine or its driver isn't installed
        hint = f"Install its driver, or correct DATABASES[{alias!r}]."
        message = f"Database {alias!r} can't be used: {_line(error)}"
        examination.findings.append(Error(message, hint=hint))
        return examination
    examination.look("The settings", lambda: check_connection(connection))
    try:
        allocator = get_allocator(connection)
        asked_by, _ = backend_choice(connection)
    except BackendError:
        return examination  # check_connection() has reported it
    examination.facts["backend"] = f"{type(allocator).__name__} ({asked_by})"
    try:
        connection.ensure_connection()
    except (AnyDatabaseError, ImproperlyConfigured) as error:
        examination.findings.append(_unreachable(connection, error))
        return examination
    look_at_database(examination, connection, allocator, known)
    return examination


def look_at_database(
    examination: Examination,
    connection: BaseDatabaseWrapper,
    allocator: Allocator,
    known: Iterable[CheckMessage],
) -> None:
    """Add the results of queries. If one fails, the others are executed all the same."""
    alias, facts = connection.alias, examination.facts

    def look(what: str, function: Callable[[], Iterable[CheckMessage]]) -> None:
        def looking() -> list[CheckMessage]:
            with connection.wrap_database_errors, allocator.without_waiting(connection):
                return list(function())

        examination.look(what, looking)

    look("The database", lambda: _describe(facts, allocator, connection))
    look("The table", lambda: _check_table(facts, connection))
    if "counters" not in facts:
        return
    look("The function", lambda: check_functions(None, databases=[alias]))
    look("Early release", lambda: check_early_release(None, databases=[alias]))
    look("Early release", lambda: _describe_early_release(facts, connection))
    look("The state of the database", lambda: allocator.diagnose(connection))
    look("The locks of counters", lambda: _locks(allocator, connection))
    for entry in entry_points(group=GROUP):
        asked = f"What {entry.name!r} of {distribution_of(entry)} looks for"
        look(asked, partial(_ask, entry, connection))
    look("The database", lambda: _checks([alias], [*_of_settings(), *known]))


def _checks(databases: list[str], known: list[CheckMessage]) -> list[CheckMessage]:
    return [
        message
        for message in run_checks(databases=databases)
        if str(message.id).startswith("sequences_") and message not in known
    ]


def _of_settings() -> list[CheckMessage]:
    """Return the messages about databases' settings, which are shown with each database."""
    return [message for each in connections.all() for message in check_connection(each)]


def _unreachable(connection: BaseDatabaseWrapper, error: Exception) -> CheckMessage:
    settings = connection.settings_dict
    place = ", ".join(f"{key} = {settings[key]!r}" for key in ("HOST", "PORT", "USER", "NAME"))
    return Error(
        f"Can't connect to database {connection.alias!r}: {_line(error)}",
        hint=f"Start its server, or correct DATABASES[{connection.alias!r}], which has {place}.",
    )


def _check_table(facts: dict[str, str], connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    """Count the counters, or report why they can't be read."""
    alias, table = connection.alias, ".".join(table_parts())
    try:
        with database_errors(connection):
            facts["counters"] = str(Counter.objects.using(alias).count())
    except TableMissing:
        raise
    except AnyDatabaseError as error:
        hint = "If a transaction has locked the table, wait until it ends."
        if user := connection.settings_dict["USER"]:  # without a name, nothing can be granted
            granted = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}"
            hint = f"If the user lacks the privilege: {granted}. {hint}"
        return [
            Error(f"Table {table} of database {alias!r} can't be read: {_line(error)}", hint=hint)
        ]
    return []


def _describe(
    facts: dict[str, str], allocator: Allocator, connection: BaseDatabaseWrapper
) -> list[CheckMessage]:
    facts |= allocator.describe(connection)
    return []


def _describe_early_release(
    facts: dict[str, str], connection: BaseDatabaseWrapper
) -> list[CheckMessage]:
    facts["early release"] = "off"
    if asks_for_early_release(connection.alias):
        waits_for = durability(connection)
        facts["early release"] = f"on, waits for {waits_for!r}" if waits_for else "not in effect"
    return []


def _locks(allocator: Allocator, connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    unknown = "All counters" if allocator.locks_database else "A counter that is being created"
    for holder in allocator.holders(connection):
        what = f"Counter {holder.counter!r}" if holder.counter else unknown
        lasting = "" if holder.seconds is None else f" for {holder.seconds:.0f} s"
        waiting = ", ".join(map(str, holder.waiting)) or "none"
        long = holder.waiting and (holder.seconds is None or holder.seconds >= LONG)
        yield (Warning if long else Info)(
            f"{what} of database {connection.alias!r}: locked{lasting} by session "
            f"{holder.session} ({holder.activity}). Waiting sessions: {waiting}.",
            hint=f"If this transaction should not be open: {holder.remedy}",
        )


def _ask(entry: EntryPoint, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    function: Any = entry.load()
    messages: Iterable[CheckMessage] = function(connection)
    return messages


def _explained(kind: Callable[..., CheckMessage], error: Exception) -> CheckMessage:
    """Return the message of an error whose text has the remedy after the last colon."""
    problem, colon, remedy = _line(error).rpartition(": ")
    return kind(f"{_capital(problem)}.", hint=_capital(remedy)) if colon else kind(remedy)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
