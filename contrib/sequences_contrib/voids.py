"""The register of void numbers: numbers that were taken, but that are no longer valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max, QuerySet

from sequences_core.arguments import check_integer, check_sequence_name
from sequences_core.locking import lock
from sequences_core.models import Counter
from sequences_core.taking import database_errors

from .scopes import in_chunks, rows_in
from .series import fields_numbered_by, named_like
from .transactions import savepoint

if TYPE_CHECKING:
    from .models import Void

MAX_LENGTH = 255
"""The maximum length of ``text`` and ``who``, in characters."""


def has_register() -> bool:
    """Return whether the register of voids is installed."""
    return apps.is_installed("sequences_contrib")


def record_void(
    counter: str,
    number: int,
    *,
    text: str = "",
    reason: str = "",
    user: Any = None,
    row_kept: bool = False,
    using: str | None = None,
) -> Void:
    """Record that a number of a counter is void, so that the audit can explain it.

    This is done in the open transaction, if there is one. It locks the counter, so that no other
    transaction can insert a row with this number at the same time.

    :param counter: the name of the counter, as returned by ``field.counter_of(instance, using)``.
    :param text: the number as it was printed.
    :param reason: why the number is void.
    :param user: who made it void: a user object, or text.
    :param row_kept: allow that a row still has the number.
    :param using: the database alias; by default the one that the router returns.
    :raises TypeError, ValueError: an argument is invalid. No query is run in this case. ValueError
        is also raised if the counter hasn't reached the number yet, if the number is already void,
        or if a row has it.
    :raises ImproperlyConfigured: ``"sequences_contrib"`` is not in ``INSTALLED_APPS``.
    """
    counter = check_sequence_name(counter, "counter")
    number = check_integer("number", number)
    who = user.get_username() if hasattr(user, "get_username") else user
    texts = {
        "text": _text("text", text, MAX_LENGTH),
        "reason": _text("reason", reason, None),
        "who": _text("user", "" if who is None else who, MAX_LENGTH),
    }
    model = _model()
    alias = using or router.db_for_write(Counter)
    with database_errors(connections[alias], ours=False), savepoint(alias):
        last = lock(alias, counter)
        if last is None or number > last:
            state = "doesn't exist" if last is None else f"is at {last}"
            raise ValueError(
                f"number {number} of counter {counter!r} can't be void, because it was never "
                f"taken: the counter {state} on database {alias!r}. If rows have higher numbers, "
                f"increase the counter with manage.py sequences sync --apply --database={alias}"
            )
        if not row_kept and (row := _row_with(counter, number, alias)) is not None:
            raise ValueError(
                f"number {number} of counter {counter!r} can't be void, because "
                f"{row._meta.label} {row.pk} has it: delete the row first, or set row_kept=True"
            )
        try:
            with transaction.atomic(using=alias):
                return model.objects.using(alias).create(counter=counter, number=number, **texts)
        except IntegrityError as error:
            same = model.objects.using(alias).filter(counter=counter, number=number)
            if not same.select_for_update():  # the error of a trigger or a receiver
                raise
            raise ValueError(f"number {number} of counter {counter!r} is already void") from error


def voided(counters: Iterable[str], using: str) -> dict[str, set[int]]:
    """Return the void numbers of each counter that has any."""
    found: dict[str, set[int]] = {}
    if not has_register():
        return found
    for chunk in in_chunks(counters):
        chosen = _model().objects.using(using).filter(counter__in=chunk)
        for counter, number in chosen.values_list("counter", "number"):
            found.setdefault(counter, set()).add(number)
    return found


def highest_voids(field: Any, using: str) -> dict[str, int]:
    """Return the highest void number of each counter whose name begins like the field's counters.

    The number was taken, so the counter must not be behind it.
    """
    if not has_register():
        return {}
    voids = named_like(field, _model().objects.using(using), "counter").order_by()
    found = voids.values("counter").annotate(highest=Max("number"))
    return dict(found.values_list("counter", "highest"))


def register_of(connection: BaseDatabaseWrapper) -> QuerySet[Void] | None:
    """Return the register of a database, or None if its table doesn't exist (yet)."""
    if not has_register():
        return None
    model = _model()
    if model._meta.db_table not in connection.introspection.table_names():
        return None
    return model.objects.using(connection.alias)


def move_voids(voids: QuerySet[Void], renamed: Callable[[str], str], *, keep: bool = False) -> None:
    """Change the counters' names of voids.

    A void that already exists for the new name is not created again.

    :param renamed: a function that returns the new name for an old one.
    :param keep: create copies of the voids, and keep the old ones.
    """
    there = voids.model.objects.using(voids.db)
    for void in voids:
        target = renamed(void.counter)
        if not there.filter(counter=target, number=void.number).exists():
            void.counter, void.pk = target, None if keep else void.pk
            void.save(using=voids.db, force_insert=keep)
        elif not keep:
            void.delete()


def follow_rename(*, old: str, new: str, using: str, **kwargs: Any) -> None:
    """Rename the counter of its voids, too: a receiver of ``sequence_renamed``."""
    if (voids := register_of(connections[using])) is not None:
        move_voids(voids.filter(counter=old), lambda name: new)


def _model() -> type[Void]:
    if not has_register():
        raise ImproperlyConfigured(
            'the register of voids is not installed: add "sequences_contrib" to INSTALLED_APPS, '
            "and run manage.py migrate"
        )
    from .models import Void

    return Void


def _text(argument: str, value: object, longest: int | None) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a str, not {value!r}")
    plain = str.__str__(value)
    if "\0" in plain or (longest is not None and len(plain) > longest):
        limit = f" or more than {longest} characters" if longest else ""
        raise ValueError(f"{argument} must not have NUL characters{limit}: {plain[:80]!r}")
    return plain


def _row_with(counter: str, number: int, using: str) -> Any:
    """Return a row that has this number of the counter, or None if there is none."""
    for field in fields_numbered_by(counter):
        if not router.allow_migrate_model(using, field.model):
            continue
        rows = list(rows_in(field.model, using).filter(**{field.attname: number}))
        names = field.names_of(rows, connections[using])
        for row, name in zip(rows, names, strict=True):
            if name == counter:
                return row
    return None
