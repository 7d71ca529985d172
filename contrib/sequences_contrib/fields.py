"""A model field that takes the next number of a sequence when its row is inserted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar, overload

from django.db.backends.utils import truncate_name
from django.db.models import BigIntegerField, Model, Q, UniqueConstraint

from . import checks, previews, renames, rule_checks
from .counters import Numbering
from .options import DEFAULTS
from .saving import hooks, updates

# The types that type checkers see when the attribute is set and read. At run time, Django's fields
# are not generic.
Set = TypeVar("Set", contravariant=True)
Get = TypeVar("Get", covariant=True)

if TYPE_CHECKING:

    class _Expression(Protocol):
        """A database expression of Django."""

        def resolve_expression(self, *args: Any, **kwargs: Any) -> Any: ...

    _Given = int | str | _Expression | None

    class _Integer(Numbering, BigIntegerField[Set, Get]):
        """An integer field with the options of a SequenceField."""

else:

    class _Integer(Numbering, BigIntegerField):
        def __class_getitem__(cls, types):
            return cls


class SequenceField(_Integer[Set, Get]):
    """An integer field that stores the next number of a sequence when a row is inserted.

    If the database supports it, the INSERT itself takes the number. Otherwise, in autocommit mode,
    one transaction takes the number and inserts the row. In both cases, a save that fails consumes
    no number. An explicit value is stored as it is, and increases a lower counter.
    A copy of an instance that was loaded or saved gets its own number when it is inserted, unless
    the number was set after copying.

    :param sequence_name: the name of the sequence. It defaults to ``"table.column"``; migrations
        that rename the table or the column rename it too.
    :param scope: use one counter for each value of this: a field's name or path (``"project"``,
        ``F("project__company")``), a period of a date (``Year("issued_on")``), a constant (an int
        or a ``Value``), a function of the instance (which may return a list of values), or a list
        of these. A row gets no number if a part of its scope is null or ``""``: None is stored if
        the field has ``null=True``, otherwise ValueError is raised.
    :param separator: the text between the parts of the counter's name.
    :param unique_with: the names of the fields that are the scope. A unique constraint of these
        fields and the number is added to the model.
    :param initial_value: the first number, or a function of the instance that returns it. The
        function is called only if there is no counter yet.
    :param reset_value: the sequence restarts at ``initial_value`` instead of reaching this value.
    :param timeout: how many seconds to wait for another transaction; ``nowait=True`` is
        ``timeout=0``.
    :param reuse: ``"gaps"`` assigns the lowest number that no row of the scope has, such as that of
        a deleted row; ``"last"`` assigns the number after the highest one of the scope.
    :param skip_used: whether to skip numbers above the counter that rows of the scope already have,
        for example after the counter was deleted or lowered: a bool, or a function of the instance.
    :param ascending: the name of a field of dates or integers whose values must ascend with the
        numbers of a counter. Otherwise OutOfOrder is raised; if the value is null, ValueError.
    :param maximum: the highest number, or a function of the instance that returns it or None.
        Taking a higher number raises SequenceExhausted; an explicit one raises ValueError.
    :param warn_below: log a warning when fewer numbers than this are left below the maximum.
    :param when: number a row only when this condition is true, on insertion or in a later
        ``save()``: the name of a boolean field; the name of a nullable field, which must not be
        null; or a ``Q`` of the row's own fields with the lookups ``exact``, ``in`` and ``isnull``.
        Until then the number is null, so this implies ``null=True``.
    """

    plain = BigIntegerField
    descriptor_class = previews.Previewed
    db_returning = True  # Django reads the number with RETURNING, if the database supports it

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

    if TYPE_CHECKING:  # for type checkers with and without Django's stubs

        @overload  # type: ignore[override] # the stubs declare their own protocol
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
            vars(self).pop(cached, None)  # these cached properties depend on the model
        if cls._meta.abstract or self.is_copy:
            return
        hooks.number_rows(cls)
        # The models of migrations have only the constraints that the migrations declare.
        if self.unique_with and cls.__module__ != "__fake__":
            self._add_constraint(cls)

    def _add_constraint(self, cls: type[Model]) -> None:
        fields = (*self.unique_with, self.name)
        label = "_".join((cls._meta.app_label, cls._meta.model_name or "", *fields, "uniq"))
        constraint = UniqueConstraint(fields=fields, name=truncate_name(label, 30, 8))
        cls._meta.constraints = [*cls._meta.constraints, constraint]
        cls._meta.original_attrs["constraints"] = cls._meta.constraints

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        if not (add or self.is_copy):
            updates.announce(model_instance)
        return getattr(model_instance, self.attname)

    def preview(self, instance: Model, using: str | None = None) -> int | None:
        """Return the number that the instance has, or would get if it were inserted now.

        None means that it gets no number. Nothing is taken: another transaction can take the
        number first.
        """
        return previews.next_number(self, instance, previews.database_of(self, instance, using))

    def check(self, **kwargs: Any) -> list[Any]:
        found = super().check(**kwargs)
        if not self.is_copy:
            found += checks.check_field(self, kwargs.get("databases"))
            found += rule_checks.check_rules(self, kwargs.get("databases"))
        return found


renames.follow_renames()
