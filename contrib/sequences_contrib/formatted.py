"""The options of a field that holds a number as text, and the text that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from .affixes import Affixes, affixes_of
from .copied import Copied
from .formats import NumberFormat


class Formatted(Copied):
    """A mixin of FormattedNumberField that writes the texts of numbers.

    Other modules use it to recognize such fields, so that they needn't import
    FormattedNumberField, which imports them.
    """

    format: NumberFormat
    number: str
    """The name of the SequenceField whose number is written."""

    # Django sets these.
    attname: str
    max_length: int | None

    @cached_property
    def memory(self) -> str:
        """The attribute of ``_state`` for the text that an instance was loaded or saved with."""
        return f"sequences_{self.attname}"

    def affixes(
        self, rows: Sequence[Model], connection: BaseDatabaseWrapper
    ) -> list[Affixes | None]:
        """Return the texts around each row's number; None where a field is null or empty."""
        return affixes_of(self.format.pieces, rows, connection)

    def text(self, affixes: Affixes | None, number: int) -> str:
        """Return the text of a number; raise ValueError if it can't be written or is too long."""
        text = self.format.text(affixes, number)
        if self.max_length is not None and len(text) > self.max_length:
            raise ValueError(f"{self} has {self.max_length} characters, too few for {text!r}")
        return text
