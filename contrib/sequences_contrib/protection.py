"""Protection of numbered rows against deletion, and changes of their numbers, scopes and dates."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, wraps
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connections, models, router
from django.db.models import F, Q
from django.db.models.deletion import Collector
from django.db.models.signals import class_prepared, pre_delete
from django.utils.translation import gettext_lazy as _

from .afterwards import RELEASED
from .counters import sequence_fields, tables_of
from .exceptions import NumberProtected
from .expressions import is_expression
from .saving.due import LOCKED, apply_values, due_counters, lock_rows, locked, marked
from .saving.uncommitted import forget_rolled_back
from .scopes import fields_of, path_of, rows_in
from .transactions import savepoint

REMEDY = "Use renumber() or void() of sequences_contrib.afterwards, which record the old number"

SAVE_ARGUMENTS = ("force_insert", "force_update", "using", "update_fields")
"""The arguments of Django's ``save()``, in the order in which it accepts them."""


class ProtectedQuerySet(models.QuerySet):  # type: ignore[type-arg] # not generic at run time
    """A QuerySet whose ``update()`` doesn't change numbers, scopes and dates of numbered rows."""

    def update(self, **kwargs: Any) -> int:
        """Update the rows.

        :raises NumberProtected: a number depends on one of the updated fields.
        """
        self._for_write = True  # A replica may not know yet that a row is numbered.
        touched = _touched(self.model, _names(self, kwargs))
        if not touched:
            return super().update(**kwargs)
        if _numbered_rows(self, touched).exists():
            raise NumberProtected(
                f"update() would change {', '.join(sorted(kwargs))} of numbered rows, which "
                f"{touched[0]} depends on. {REMEDY}"
            )
        # Don't update rows that are numbered in the meantime either.
        rest: Any = self.filter(*(field.is_missing for field in touched))
        features: Any = connections[rest.db].features
        if not (any(self.model._meta.parents.values()) and features.has_select_for_update):
            return super(ProtectedQuerySet, rest).update(**kwargs)
        # Django reads which rows to update before it updates the table of a parent model.
        with savepoint(rest.db):
            _lock_all(rest)
            return super(ProtectedQuerySet, rest).update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined] # so that templates can't call it


class ProtectNumbered(models.Model):
    """An abstract model that protects numbered rows.

    The number, the scope and the date of a numbered row can't change, and it can't be deleted.

    ``save()``, ``update()`` and every kind of deletion, also by cascade, raise NumberProtected; the
    ``is_valid()`` of a ModelForm reports it as an error. The row in the database is compared, not
    the values that the instance was loaded with. Rows without a number, such as drafts, are not
    protected.
    """

    objects = ProtectedQuerySet.as_manager()

    class Meta:
        abstract = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        pre_delete.connect(_refuse_deletion, sender=cls)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row.

        The arguments are those of Django's ``save()``. They may be positional where Django allows
        that, as in 5.2.

        :raises NumberProtected: the row has a number, and a value that it depends on has changed.
        """
        forget_rolled_back(self)
        options = dict(zip(SAVE_ARGUMENTS, args, strict=False)) | kwargs
        using = options.get("using") or router.db_for_write(type(self), instance=self)
        if "using" not in SAVE_ARGUMENTS[: len(args)]:
            kwargs["using"] = using
        if self.pk is None or options.get("force_insert") or hasattr(self._state, RELEASED):
            return super().save(*args, **kwargs)
        update_fields = options.get("update_fields")
        counters_of = partial(due_counters, self, using, update_fields)
        with locked(self, using, counters_of, partial(_lock, self, using)) as stored:
            refuse_change(self, stored, using, update_fields)
            with marked(self, LOCKED):
                return super().save(*args, **kwargs)

    def clean(self) -> None:
        super().clean()
        forget_rolled_back(self)
        if self.pk is None:
            return
        using = router.db_for_write(type(self), instance=self)
        if changed := _changed(self, rows_in(type(self), using).filter(pk=self.pk).first(), using):
            field, number, _name = changed
            fields: list[Any] = [self._meta.get_field(name) for name in sorted(_depends_on(field))]
            labels = [str(each.verbose_name) for each in fields]
            raise ValidationError(
                _("The number %(number)s is assigned, so this can't change: %(fields)s."),
                code="protected",
                params={"number": number, "fields": ", ".join(labels)},
            )

    @classmethod
    def check(cls, **kwargs: Any) -> list[checks.CheckMessage]:
        found = super().check(**kwargs)
        if not sequence_fields(cls):
            found.append(
                checks.Error(
                    "ProtectNumbered has no effect, because the model has no SequenceField.",
                    hint="Remove the base class, or add the field.",
                    obj=cls,
                    id="sequences_contrib.E052",
                )
            )
        manager: Any = cls._default_manager
        if not _protects(manager):
            found.append(
                checks.Warning(
                    f"update() of the default manager, {manager.name!r}, can change numbered rows "
                    "despite ProtectNumbered.",
                    hint="Create the manager from ProtectedQuerySet, or name ProtectNumbered "
                    "before the base class that the manager comes from.",
                    obj=cls,
                    id="sequences_contrib.W052",
                )
            )
        return [*found, *map(_unprotected, _left_to_the_database(cls))]


def _left_to_the_database(model: type[models.Model]) -> list[Any]:
    """Return the foreign keys by which the database itself deletes or changes numbered rows.

    Only Django's on_delete for the database, such as DB_CASCADE of Django 6.1, has an operation.
    """
    used = {name for field in sequence_fields(model) for name in _depends_on(field)}
    keys: list[Any] = [field for field in model._meta.concrete_fields if field.is_relation]
    operations = [getattr(key.remote_field.on_delete, "operation", None) for key in keys]
    return [
        key
        for key, operation in zip(keys, operations, strict=True)
        if operation == "CASCADE" or (operation is not None and key.name in used)
    ]


def _unprotected(key: Any) -> checks.CheckMessage:
    return checks.Error(
        f"on_delete={key.remote_field.on_delete} lets the database delete or change numbered rows "
        f"without ProtectNumbered.",
        hint="Use PROTECT, CASCADE or another on_delete of Django.",
        obj=key,
        id="sequences_contrib.E053",
    )


def _protect_base_manager(sender: Any, **kwargs: Any) -> None:
    """Make a manager of the model its base manager, unless all of them may filter rows.

    ``add()`` of a related manager and ``on_delete=SET_NULL`` update rows through that one.
    """
    options = sender._meta
    if options.base_manager_name or not issubclass(sender, ProtectNumbered):
        return
    for manager in options.managers:
        is_plain = type(manager).get_queryset is models.Manager.get_queryset
        if is_plain and _protects(manager):
            options.base_manager_name = manager.name
            return


def _protects(manager: Any) -> bool:
    return issubclass(getattr(manager, "_queryset_class", object), ProtectedQuerySet)


class_prepared.connect(_protect_base_manager, dispatch_uid=_protect_base_manager)


def refuse_change(
    row: models.Model, stored: Any, using: str, update_fields: Iterable[str] | None = None
) -> None:
    """Raise NumberProtected if saving the row would change its number or what that depends on.

    :param stored: the row as it is stored, or None. Its values are changed.
    :param update_fields: the fields that are saved; by default all that aren't deferred.
    """
    if changed := _changed(row, stored, using, update_fields):
        field, number, name = changed
        raise NumberProtected(
            f"{field} is numbered {number}, so its {name} can't change. {REMEDY}", [row]
        )


def _changed(
    row: models.Model, stored: Any, using: str, update_fields: Iterable[str] | None = None
) -> tuple[Any, Any, str] | None:
    """Return a field whose number saving would affect, its number, and the name of the change.

    None means that no number is affected.
    """
    if stored is None:
        return None
    numbered = [
        field for field in sequence_fields(type(row)) if getattr(stored, field.attname) is not None
    ]
    before = [_facts(field, stored, using) for field in numbered]
    apply_values(row, stored, update_fields)
    for field, facts in zip(numbered, before, strict=True):
        after = _facts(field, stored, using)
        for name in facts:
            if facts[name] != after[name]:
                return field, facts[field.name], name
    return None


def _facts(field: Any, row: models.Model, using: str) -> dict[str, Any]:
    """Return the values that must not change, as the columns store them.

    Expressions are returned as they are, and so differ from any stored value.
    """
    names = [field.name, *(text.name for text in field.texts)]
    names += [field.ascending] if field.ascending else []
    columns: dict[str, Any] = {name: row._meta.get_field(name) for name in names}
    facts = {
        name: value if is_expression(value) else column.get_prep_value(value)
        for name, column in columns.items()
        for value in [getattr(row, column.attname)]
    }
    return facts | {"scope": field.counter_of(row, using)}


def has_protected_number(row: models.Model) -> bool:
    """Return whether ProtectNumbered protects this row, because it has a number."""
    numbered = sequence_fields(type(row)) if isinstance(row, ProtectNumbered) else []
    return any(getattr(row, field.attname) is not None for field in numbered)


def protected_from_update(rows: models.QuerySet[Any], name: str) -> models.QuerySet[Any]:
    """Return those of the rows that ``update()`` of this field would not change."""
    touched = _touched(rows.model, {name})
    return _numbered_rows(rows, touched) if touched else rows.none()


def update_lazily(add_field_update: Any) -> Any:
    """Wrap ``Collector.add_field_update``: ``on_delete`` updates protected rows by ``update()``.

    Django does so for SET_NULL. But SET_DEFAULT and SET() with a function evaluate the queryset,
    and then Django updates the rows by their primary keys.
    """

    @wraps(add_field_update)
    def wrapper(self: Any, field: Any, value: Any, objs: Any) -> Any:
        if isinstance(objs, ProtectedQuerySet) and field.remote_field.on_delete != models.CASCADE:
            objs = objs.all()  # not evaluated
        return add_field_update(self, field, value, objs)

    return wrapper


Collector.add_field_update = update_lazily(Collector.add_field_update)  # type: ignore[method-assign]


def _refuse_deletion(
    sender: type[models.Model], instance: Any, using: str, origin: Any = None, **kwargs: Any
) -> None:
    """Refuse to delete a numbered row: a receiver of ``pre_delete``."""
    if not issubclass(sender, ProtectNumbered):
        return  # signals identify senders by id(), which another class can have after one is gone
    released = isinstance(origin, sender) and hasattr(origin._state, RELEASED)
    if released and getattr(origin, sender._meta.pk.attname) == instance.pk:
        return  # void() deletes this row, or its row in a parent's table
    stored = _lock(instance, using)
    if stored is not None and has_protected_number(stored):
        raise NumberProtected(
            f"{instance!r} has a number, so it can't be deleted. {REMEDY}", [instance]
        )


def _lock(row: models.Model, using: str) -> Any:
    """Lock the row, and return it as it is stored, or None."""
    if connections[using].features.has_select_for_update:
        return lock_rows(row, using, no_key=True)
    # On SQLite, only a write locks. It must come before the first read, whose snapshot could be
    # outdated.
    rows = rows_in(type(row), using).filter(pk=row.pk)
    name = sequence_fields(type(row))[0].name
    rows.update(**{name: F(name)})
    return rows.first()


def _lock_all(rows: models.QuerySet[Any]) -> None:
    """Lock the rows in the tables of the parent models, and then in that of the model.

    Where the database supports it, rows with a foreign key to these can still be inserted.
    """
    features: Any = connections[rows.db].features
    tables: list[Any] = tables_of(rows.model)
    keys = rows.order_by().values_list(*(table._meta.pk.attname for table in tables))
    for table, pks in zip(tables, zip(*keys, strict=True), strict=False):  # none without rows
        alike = rows_in(table, rows.db).filter(pk__in=pks).order_by("pk").values_list("pk")
        list(alike.select_for_update(no_key=features.has_select_for_no_key_update))


def _touched(model: type[models.Model], names: set[str]) -> list[Any]:
    """Return the numbers that depend on one of these fields."""
    return [field for field in sequence_fields(model) if _depends_on(field) & names]


def _numbered_rows(rows: models.QuerySet[Any], fields: list[Any]) -> models.QuerySet[Any]:
    """Return the rows that have one of these numbers."""
    conditions = [Q(**{f"{field.name}__isnull": False}) for field in fields]
    return rows.filter(Q(*conditions, _connector=Q.OR))


def _depends_on(field: Any) -> set[str]:
    """Return the names of the number, its texts, and the fields that they depend on."""
    paths = [path for part in field.scope_parts if (path := path_of(part))]
    names = {fields_of(field.model, path)[0].name for path in paths}
    names |= {field.name, *(text.name for text in field.texts)}
    return names | ({field.ascending} if field.ascending else set())


def _names(rows: models.QuerySet[Any], kwargs: Iterable[str]) -> set[str]:
    """Return the names of the updated fields, also for ``attname`` and ``pk``."""
    found = set()
    for name in kwargs:
        try:
            found.add(rows.model._meta.get_field(name).name)
        except FieldDoesNotExist:
            found.add(rows.model._meta.pk.name)  # "pk", or a name that Django refuses
    return found
