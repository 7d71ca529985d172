"""What the admin does to a sequence: what it asks, what it warns of, and what it then does."""

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
    """A change of one sequence: asked for on one page, confirmed on the next.

    :param counter: the sequence as the database has it now.
    :param using: the alias of that database.
    """

    name: ClassVar[str]
    """What its URL ends with, and who may make it: ``has_…_permission`` of the admin says."""

    title: ClassVar[Any]
    """What the page is called: a text that is translated when it is shown."""

    asked: ClassVar[tuple[str, ...]] = ()
    """The fields of the first page. Without any, the page that asks to confirm is the first."""

    def __init__(self, counter: Counter, using: str, data: Any = None) -> None:
        super().__init__(data)
        self.counter = counter
        self.using = using

    def is_complete(self) -> bool:
        """Return whether all that is asked is known, so that only the confirmation is left."""
        self.is_valid()  # an error of a box that is not ticked is none of this
        return not self.asked or set(self.asked) <= set(getattr(self, "cleaned_data", ()))

    def facts(self) -> list[tuple[str, str]]:
        """Return what is and, when the form is complete, what will be: labels and values."""
        return [(_("Last number"), localize(self.counter.last))]

    def warnings(self) -> list[str]:
        """Return the consequences, in sentences; the form is complete."""
        return []

    def ticks(self) -> tuple[str, ...]:
        """Return the boxes that have to be ticked to confirm; the form is complete."""
        return ()

    def is_confirmed(self) -> bool:
        """Return whether the second page was sent; add errors to its boxes that are not ticked."""
        if "confirmed" not in self.data:
            return False
        missing = [name for name in self.ticks() if not self.cleaned_data.get(name)]
        for name in missing:
            self.add_error(name, _("Tick this box if that is what you want."))
        return not missing

    def users_of(self, name: str) -> str:
        """Return the fields that use the sequence of this name, or "" if there are none."""
        return ", ".join(fields_using([name], self.using)[name])

    def after(self) -> Counter | None:
        """Return the counter as the change leaves it; None if there will be none."""
        return None

    def make(self) -> None:
        """Make the change, in a transaction that has locked the counter.

        Raises ValueError if it can't be made.
        """
        raise NotImplementedError

    def done(self) -> str:
        """Return what was done, in a sentence for the user and the history."""
        raise NotImplementedError


class Set(Change):
    """Makes another number the last one."""

    name = "set"
    title = gettext_lazy("Set the last number")
    asked = ("value",)

    value = forms.IntegerField(
        label=gettext_lazy("New last number"),
        help_text=gettext_lazy("The next number will be one higher."),
        min_value=0,
        max_value=MAX_VALUE,
        widget=AdminTextInputWidget(attrs={"inputmode": "numeric"}),  # a spinner would round
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
    """Lets the sequence go on under another name."""

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
            check_sequence_name(name)
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
    """Deletes the counter, so that the sequence starts anew when it is next used."""

    name = "delete"
    title = gettext_lazy("Delete the sequence")

    def warnings(self) -> list[str]:
        found = [
            _(
                "If a number of this sequence is asked for later, the sequence starts anew, and "
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
