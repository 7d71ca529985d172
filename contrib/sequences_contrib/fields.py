"""A model field that is numbered without gaps when its row is inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, overload

from django.db.backends.utils import truncate_name
from django.db.models import BigIntegerField, Model, Q, UniqueConstraint

from . import checks, previews, renames, rule_checks
from .counters import Numbering
from .options import DEFAULTS
from .saving import hooks, updates
from .saving.memory import remember_update
from .saving.texts import text_for_update

# What an instance takes and gives, as type checkers see it. Fields are not generic at run time.
Set = TypeVar("Set", contravariant=True)
Get = TypeVar("Get", covariant=True)

if TYPE_CHECKING:

    class _Expression(Protocol):
        """An expression of Django's."""

        def resolve_expression(self, *args: Any, **kwargs: Any) -> Any: ...

    _Given = int | str | _Expression | None

    class _Integer(Numbering, BigIntegerField[Set, Get]):
        """An integer field with the options of a SequenceField."""

else:

    class _Integer(Numbering, BigIntegerField):
        def __class_getitem__(cls, types):
            return cls


class SequenceField(_Integer[Set, Get]):
    """An integer that the next number of a sequence is stored in when the row is inserted.

    Where the database can do it, the INSERT takes the number by itself; otherwise, in autocommit,
    the number is taken and the row is inserted in one transaction. Either way a save that fails
    consumes no number. An explicit value is kept, and moves the counter past it. A row that is
    inserted as a copy of another, loaded or saved before, gets a number of its own, unless
    somebody sets one after the copy.

    :param sequence_name: the sequence. By default ``"table.column"``, which follows migrations
        that rename the table or the column.
    :param scope: one counter for each value of this: a field's name or path (``"project"``,
        ``F("project__company")``), a period of a date (``Year("issued_on")``), a constant (an int,
        a ``Value``), a function of the instance (which may return a list of values), or a list of
        these. Null or "" in it means "no
        number": None is stored if the field is ``null=True``, else ValueError is raised.
    :param separator: between the parts of the counter's name.
    :param unique_with: field names that are the scope, and together with the number unique.
    :param initial_value: the first number; a callable gets the instance, and is called only if
        there is no counter yet.
    :param reset_value: before reaching this the sequence restarts at ``initial_value``.
    :param timeout: seconds to wait for another transaction; ``nowait=True`` is ``timeout=0``.
    :param reuse: ``"gaps"`` gives the lowest free number of the scope, that of a deleted row
        included; ``"last"`` goes on from the highest number that is left.
    :param skip_used: skip numbers above the counter that rows of the scope already have, so that
        a counter that was deleted or lowered heals by itself; True, or a function of the instance.
    :param ascending: a field of dates or integers that must ascend with the numbers of a counter;
        otherwise OutOfOrder is raised, and ValueError if it is null.
    :param maximum: the highest number, or a function of the instance that returns it, or None;
        past it SequenceExhausted is raised, and ValueError for an explicit number.
    :param warn_below: log a warning when fewer numbers than this are left until the maximum.
    :param when: number a row when this is true, in the INSERT or in a later ``save()``: the name of
        a boolean field, or of one that can be null, where any value counts as true; or a ``Q`` of
        the row's own fields, with the lookups ``exact``, ``in`` and ``isnull``. The number is null
        before, so ``null=True`` follows.
    """

    plain = BigIntegerField
    descriptor_class = previews.Previewed
    db_returning = True  # Django then reads the number back with the INSERT, where it can

    @overload
    def __init__(
        self: SequenceField[_Given, int],
        sequence_name: str | None = None,
        *,
        null: Literal[False] = False,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: SequenceField[_Given, int | None],
        sequence_name: str | None = None,
        *,
        null: bool,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: SequenceField[_Given, int | None],
        sequence_name: str | None = None,
        *,
        when: str | Q,
        **kwargs: Any,
    ) -> None: ...

    def __init__(self, sequence_name: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        kwargs.setdefault("blank", True)
        super().__init__(sequence_name, **kwargs)

    if TYPE_CHECKING:  # also for those who check without Django's stubs

        @overload  # type: ignore[override] # the stubs have a protocol of their own
        def __get__(self, instance: None, owner: Any) -> Self: ...
        @overload
        def __get__(self, instance: Model, owner: Any) -> Get: ...
        @overload
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __set__(self, instance: Any, value: Set) -> None: ...

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        kwargs.pop("blank", None)
        if self.editable:
            kwargs["editable"] = True
        if not self.blank:
            kwargs["blank"] = False
        if self.is_copy:
            return name, path, args, kwargs
        for option, default in DEFAULTS.items():
            value = getattr(self, option)
            if value != default:
                kwargs[option] = value
        return name, path, args, kwargs

    def contribute_to_class(self, cls: type[Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        for cached in ("base", "texts"):
            vars(self).pop(cached, None)  # they depend on the model
        if cls._meta.abstract or self.is_copy:
            return
        hooks.number_inserts(cls)
        if self.when is not None:
            hooks.number_updates(cls)
        # A migration's models have the constraints that migrations gave them, and no others.
        if self.unique_with and cls.__module__ != "__fake__":
            self._add_constraint(cls)

    def _add_constraint(self, cls: type[Model]) -> None:
        fields = (*self.unique_with, self.name)
        label = "_".join((cls._meta.app_label, cls._meta.model_name or "", *fields, "uniq"))
        constraint = UniqueConstraint(fields=fields, name=truncate_name(label, 30, 8))
        cls._meta.constraints = [*cls._meta.constraints, constraint]
        cls._meta.original_attrs["constraints"] = cls._meta.constraints

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        if not add and self.when is not None:
            updates.announce(self, model_instance)
        elif not add:
            if not model_instance._state.adding:
                for text in self.texts:  # while it is known that the number has changed
                    written = text_for_update(text, self, model_instance)
                    setattr(model_instance, text.attname, written)
            remember_update(self, model_instance)
        return getattr(model_instance, self.attname)

    def preview(self, instance: Model, using: str | None = None) -> int | None:
        """Return the number that the instance has, or would get if it were inserted now.

        None is "no number". Nothing is taken or promised: somebody else may be faster.
        """
        return previews.next_number(self, instance, previews.database_of(self, instance, using))

    def check(self, **kwargs: Any) -> list[Any]:
        found = super().check(**kwargs)
        if not self.is_copy:
            found += checks.check_field(self, kwargs.get("databases"))
            found += rule_checks.check_rules(self, kwargs.get("databases"))
        return found


renames.follow_renames()
