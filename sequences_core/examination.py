"""What is wrong with the sequences of a project, for ``manage.py sequences doctor``.

The system checks know most of it. Beside them are asked the backend, for what only the database
knows now, and what other distributions name in the entry-point group :data:`GROUP`. No statement
waits for a lock, or writes; whatever can't be looked at is a finding, and the rest is looked at.
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
from .checks import check_connection, check_early_release, check_functions
from .early_release import durability
from .exceptions import BackendError, TableMissing
from .models import Counter
from .registry import asks_for_early_release, backend_choice, get_allocator
from .table import table_parts
from .taking import database_errors

GROUP = "sequences_core.diagnoses"
"""Each entry point is a function of a connection that returns messages, like a system check."""

LONG = 1.0
"""After how many seconds is a transaction that others wait for worth a warning?"""

NO_DATABASE = "django.db.backends.dummy"
"""The engine of an alias without settings, such as a default that nobody uses."""


@dataclass
class Examination:
    """What is true of a database, by label, and what is wrong with it."""

    facts: dict[str, str] = field(default_factory=dict)
    findings: list[CheckMessage] = field(default_factory=list)

    def look(self, what: str, look: Callable[[], Iterable[CheckMessage]]) -> None:
        """Add what ``look`` returns, or why it can't."""
        try:
            found = list(look())
        except NotSupportedError as error:
            found = [_explained(Info, error)]
        except Exception as error:  # noqa: BLE001 # whatever it is, the rest can be looked at
            found = [Warning(f"{what} can't be told: {type(error).__name__}: {_line(error)}")]
        for finding in found:
            if finding not in self.findings and not finding.is_silenced():
                self.findings.append(finding)


def examined_aliases() -> list[str]:
    """Return the databases that may hold the table of counters, and where numbers are taken."""
    written = router.db_for_write(Counter)
    return [
        alias
        for alias in connections
        if connections.settings[alias]["ENGINE"] != NO_DATABASE
        and (alias == written or router.allow_migrate_model(alias, Counter))
    ]


def examine_project() -> Examination:
    """Return what the system checks say of the code and the settings, but for databases."""
    examination = Examination()
    examination.look("What the system checks say", lambda: _checks([], _of_settings()))
    return examination


def examine_database(alias: str, known: Iterable[CheckMessage] = ()) -> Examination:
    """Return what is true of the database, and wrong with it, but for what is ``known``."""
    examination = Examination()
    try:
        connection = connections[alias]
    except ImproperlyConfigured as error:  # of an engine, or a driver, that isn't installed
        hint = f"Install its driver, or correct DATABASES[{alias!r}]."
        message = f"Database {alias!r} can't be used: {_line(error)}"
        examination.findings.append(Error(message, hint=hint))
        return examination
    examination.look("The settings", lambda: check_connection(connection))
    try:
        allocator = get_allocator(connection)
        asked_by, _ = backend_choice(connection)
    except BackendError:
        return examination  # which the check has said
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
    """Add what statements tell, each look in a transaction of its own where that needs one."""
    alias, facts = connection.alias, examination.facts

    def look(what: str, function: Callable[[], Iterable[CheckMessage]]) -> None:
        def looking() -> list[CheckMessage]:
            with connection.wrap_database_errors, allocator.without_waiting(connection):
                return list(function())

        examination.look(what, looking)

    look("What the database is", lambda: _describe(facts, allocator, connection))
    look("The table", lambda: _check_table(facts, connection))
    if "counters" not in facts:
        return
    look("The function", lambda: check_functions(None, databases=[alias]))
    look("Early release", lambda: check_early_release(None, databases=[alias]))
    look("Early release", lambda: _describe_early_release(facts, connection))
    look("The state of the database", lambda: allocator.diagnose(connection))
    look("Who holds counters", lambda: _locks(allocator, connection))
    for entry in entry_points(group=GROUP):
        asked = f"What {entry.name!r} of {_distribution(entry)} says"
        look(asked, partial(_ask, entry, connection))
    look("What the system checks say", lambda: _checks([alias], [*_of_settings(), *known]))


def _checks(databases: list[str], known: list[CheckMessage]) -> list[CheckMessage]:
    return [
        message
        for message in run_checks(databases=databases)
        if str(message.id).startswith("sequences_") and message not in known
    ]


def _of_settings() -> list[CheckMessage]:
    """What the checks say of each database's settings, which is shown with that database."""
    return [message for each in connections.all() for message in check_connection(each)]


def _unreachable(connection: BaseDatabaseWrapper, error: Exception) -> CheckMessage:
    settings = connection.settings_dict
    place = ", ".join(f"{key} = {settings[key]!r}" for key in ("HOST", "PORT", "USER", "NAME"))
    return Error(
        f"Can't connect to database {connection.alias!r}: {_line(error)}",
        hint=f"Start its server, or correct DATABASES[{connection.alias!r}], which has {place}.",
    )


def _check_table(facts: dict[str, str], connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    """Count the counters, or say why they can't be read."""
    alias, table = connection.alias, ".".join(table_parts())
    try:
        with database_errors(connection):
            facts["counters"] = str(Counter.objects.using(alias).count())
    except TableMissing as error:
        return [_explained(Error, error)]
    except AnyDatabaseError as error:
        hint = "If a transaction has locked the table, wait for its end."
        if user := connection.settings_dict["USER"]:  # others have no privileges, or no name
            granted = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}"
            hint = f"If the user may not: {granted}. {hint}"
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
            f"{holder.session} ({holder.activity}). Sessions that wait: {waiting}.",
            hint=f"If that transaction should not be open: {holder.remedy}",
        )


def _ask(entry: EntryPoint, connection: BaseDatabaseWrapper) -> Iterable[CheckMessage]:
    function: Any = entry.load()
    messages: Iterable[CheckMessage] = function(connection)
    return messages


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"


def _explained(kind: Callable[..., CheckMessage], error: Exception) -> CheckMessage:
    """Return the message of an error of ours, whose text has the remedy after the last colon."""
    problem, colon, remedy = _line(error).rpartition(": ")
    return kind(f"{_capital(problem)}.", hint=_capital(remedy)) if colon else kind(remedy)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
