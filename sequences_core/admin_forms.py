"""The changes that the admin makes to a sequence: their forms, warnings and actions."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from .api import delete, rename, set_last_value
from .arguments import MAX_NAME_LENGTH, MAX_VALUE, check_sequence_name
from .models import Counter
from .users import fields_using

NO_USERS = gettext_noop(
    "No field is known to use this sequence. Whether other code does is not known here."
)


class Change(forms.Form):
    """A change of one sequence. One page asks for the values, the next one for confirmation.

    :param counter: the counter as the database has it now.
    :param using: the alias of the database.
    """

    name: ClassVar[str]
    """The last part of its URL, and the middle of the admin's ``has_…_permission()``."""

    title: ClassVar[Any]
    """The title of the page, as a lazy translation."""

    asked: ClassVar[tuple[str, ...]] = ()
    """The fields of the first page. If there are none, the confirmation is the first page."""

    def __init__(self, counter: Counter, using: str, data: Any = None) -> None:
        super().__init__(data)
        self.counter = counter
        self.using = using

    def is_complete(self) -> bool:
        """Return whether all fields of the first page are valid, so that confirmation is next."""
        self.is_valid()  # errors of the confirmation's boxes don't matter here
        return not self.asked or set(self.asked) <= set(getattr(self, "cleaned_data", ()))

    def facts(self) -> list[tuple[str, str]]:
        """Return labels and values: the current ones and, if the form is complete, the new ones."""
        return [(_("Last number"), localize(self.counter.last))]

    def warnings(self) -> list[str]:
        """Return sentences that describe the consequences. The form must be complete."""
        return []

    def ticks(self) -> tuple[str, ...]:
        """Return the fields whose boxes the user must tick. The form must be complete."""
        return ()

    def is_confirmed(self) -> bool:
        """Return whether the user confirmed the change; add an error to each unticked box."""
        if "confirmed" not in self.data:
            return False
        missing = [name for name in self.ticks() if not self.cleaned_data.get(name)]
        for name in missing:
            self.add_error(name, _("Tick this box if that is what you want."))
        return not missing

    def users_of(self, name: str) -> str:
        """Return the labels of the fields that use the sequence, or "" if there are none."""
        return ", ".join(fields_using([name], self.using)[name])

    def after(self) -> Counter | None:
        """Return the counter as it is after the change; None if it is deleted."""
        return None

    def make(self) -> None:
        """Make the change in the open transaction, which has locked the counter.

        :raises ValueError: the change can't be made.
        """
        raise NotImplementedError

    def done(self) -> str:
        """Return a sentence about what was done, for the user and the history."""
        raise NotImplementedError


class Set(Change):
    """Set the last number."""

    name = "set"
    title = gettext_lazy("Set the last number")
    asked = ("value",)

    value = forms.IntegerField(
        label=gettext_lazy("New last number"),
        help_text=gettext_lazy("The next number will be one higher."),
        min_value=0,
        max_value=MAX_VALUE,
        # A number input would round large numbers.
        widget=AdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    again = forms.BooleanField(label=gettext_lazy("Give these numbers again"), required=False)

    def clean_value(self) -> int:
        value: int = self.cleaned_data["value"]
        if value == self.counter.last:
            raise ValidationError(_("This is the last number already."))
        return value

    def facts(self) -> list[tuple[str, str]]:
        facts = super().facts()
        if self.is_complete():
            value = self.cleaned_data["value"]
            following = localize(value + 1) if value < MAX_VALUE else _("none is left")
            facts += [(_("New last number"), localize(value)), (_("Next number"), following)]
        return facts

    def ticks(self) -> tuple[str, ...]:
        return ("again",) if self.cleaned_data["value"] < self.counter.last else ()

    def warnings(self) -> list[str]:
        last, value = self.counter.last, self.cleaned_data["value"]
        if value < last:
            text = ngettext(
                "Number %(last)s will be given a second time.",
                "The %(count)s numbers from %(first)s to %(last)s will be given a second time.",
                last - value,
            )
        else:
            text = ngettext(
                "Number %(last)s will not be given: unless a row has it already, it is missing.",
                "The %(count)s numbers from %(first)s to %(last)s will not be given: those that "
                "no row has already are missing.",
                value - last,
            )
        low, high = sorted((last, value))
        return [
            text
            % {
                "count": localize(high - low),
                "first": localize(low + 1),
                "last": localize(high),
            }
        ]

    def after(self) -> Counter:
        return Counter(name=self.counter.name, last=self.cleaned_data["value"])

    def make(self) -> None:
        name = self.counter.name
        set_last_value(self.cleaned_data["value"], name, force=True, using=self.using)

    def done(self) -> str:
        return _("Set the last number from %(old)s to %(new)s.") % {
            "old": localize(self.counter.last),
            "new": localize(self.cleaned_data["value"]),
        }


class Rename(Change):
    """Rename the sequence."""

    name = "rename"
    title = gettext_lazy("Rename the sequence")
    asked = ("new_name",)

    new_name = forms.CharField(
        label=gettext_lazy("New name"),
        max_length=MAX_NAME_LENGTH,
        widget=AdminTextInputWidget,
    )

    def clean_new_name(self) -> str:
        name: str = self.cleaned_data["new_name"]
        try:
            check_sequence_name(name, "A sequence name")
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if name == self.counter.name:
            raise ValidationError(_("This is its name already."))
        if Counter.objects.using(self.using).filter(pk=name).exists():
            raise ValidationError(_("There is a sequence of this name already."))
        return name

    def facts(self) -> list[tuple[str, str]]:
        facts = [(_("Name"), self.counter.name)]
        if self.is_complete():
            facts.append((_("New name"), self.cleaned_data["new_name"]))
        return facts + super().facts()

    def warnings(self) -> list[str]:
        found = []
        if users := self.users_of(self.counter.name):
            found.append(
                _(
                    "These fields take their numbers by the old name: %(fields)s. They will start "
                    "a new sequence of that name, and give its numbers a second time, unless you "
                    "change the name in the code too."
                )
                % {"fields": users}
            )
        else:
            found.append(_(NO_USERS))
        if users := self.users_of(self.cleaned_data["new_name"]):
            found.append(
                _("These fields will take their numbers from this sequence: %(fields)s.")
                % {"fields": users}
            )
        return found

    def after(self) -> Counter:
        return Counter(name=self.cleaned_data["new_name"], last=self.counter.last)

    def make(self) -> None:
        rename(self.counter.name, self.cleaned_data["new_name"], using=self.using)

    def done(self) -> str:
        return _("Renamed “%(old)s” to “%(new)s”.") % {
            "old": self.counter.name,
            "new": self.cleaned_data["new_name"],
        }


class Delete(Change):
    """Delete the counter, so that the sequence starts again when it is next used."""

    name = "delete"
    title = gettext_lazy("Delete the sequence")

    def warnings(self) -> list[str]:
        found = [
            _(
                "If code asks for a number of this sequence later, the sequence starts again and "
                "gives its numbers a second time."
            )
        ]
        if users := self.users_of(self.counter.name):
            found.append(
                _("These fields take their numbers from this sequence: %(fields)s.")
                % {"fields": users}
            )
        else:
            found.append(_(NO_USERS))
        return found

    def make(self) -> None:
        delete(self.counter.name, using=self.using)

    def done(self) -> str:
        return _("Deleted “%(name)s”, whose last number was %(last)s.") % {
            "name": self.counter.name,
            "last": localize(self.counter.last),
        }
