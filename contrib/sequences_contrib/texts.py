"""A model field that stores the text of a number, as it is printed on a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import CharField, Model
from django.utils.functional import cached_property

from . import previews, text_checks
from .formats import NumberFormat, Parsed
from .formatted import Formatted
from .saving.updates import announce

if TYPE_CHECKING:
    _Text = CharField[Any, Any]
else:
    _Text = CharField


class FormattedNumberField(Formatted, _Text):
    """The text of a number, such as ``INV-2026-00042``: stored, unique and not editable.

    It is set together with the number, by ``create()``, ``save()``, ``bulk_create()`` and
    ``assign_numbers()``, and also for an explicit number. It is null if the number is null. When
    the format changes, existing rows keep their text, unless their number is changed. An explicit
    text is stored as it is, but needs an explicit number. A copy of a row gets its own text with
    its own number.

    Order rows by the number: compared as texts, ``"9"`` comes after ``"10"``.

    :param format: the :class:`NumberFormat`.
    :param number: the name of the model's SequenceField.
    :param max_length: as for CharField. It must suffice for numbers of 19 digits, or up to the
        SequenceField's ``maximum``.
    """

    plain = CharField
    descriptor_class = previews.Previewed

    def __init__(self, format: NumberFormat, number: str = "number", **kwargs: Any) -> None:
        if not isinstance(format, NumberFormat):
            raise TypeError(f"format must be a NumberFormat, not {format!r}")
        if not isinstance(number, str) or not number:
            raise TypeError(f"number must be the name of a SequenceField, not {number!r}")
        self.format = format
        self.number = number
        kwargs.setdefault("unique", True)
        kwargs.setdefault("editable", False)
        kwargs.setdefault("blank", True)
        super().__init__(**kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for option, default in (("editable", False), ("blank", True), ("unique", True)):
            kwargs.pop(option, None)
            if (value := getattr(self, option)) != default:
                kwargs[option] = value
        if self.is_copy:
            kwargs["unique"] = self.unique
            return name, path, args, kwargs
        kwargs["format"] = self.format
        if self.number != "number":
            kwargs["number"] = self.number
        return name, path, args, kwargs

    def contribute_to_class(self, cls: type[Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        vars(self).pop("number_field", None)  # this cached property depends on the model

    @cached_property
    def number_field(self) -> Any:
        """The SequenceField whose number is formatted."""
        return self.model._meta.get_field(self.number)

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        if not (add or self.is_copy):
            announce(model_instance)
        return getattr(model_instance, self.attname)

    def preview(self, instance: Model, using: str | None = None) -> str | None:
        """Return the text that the instance has, or would get if it were inserted now.

        Nothing is taken: another transaction can take the number first.
        """
        return previews.next_text(self, instance, previews.database_of(self, instance, using))

    def parse(self, text: str) -> Parsed:
        """Parse a text of this format; raise ValueError for any other text."""
        return self.format.parse(text, self.model)

    def check(self, **kwargs: Any) -> list[Any]:
        found = super().check(**kwargs)
        if not self.is_copy:
            found += text_checks.check_text(self, kwargs.get("databases"))
        return found
