"""Copies of fields, which packages that keep history make for models of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Field


class Copied:
    """A field whose copy belongs to another model, and is a plain field there."""

    plain: ClassVar[type[Field[Any, Any]]]
    """What migrations know a copy as."""

    is_copy = False
    """Was this field copied from a model that it belongs to?"""

    def __copy__(self) -> Any:
        copied: Any = super().__copy__()  # type: ignore[misc] # of Field
        vars(copied).pop("unique", None)  # remembered by Django, and other packages change it
        model = getattr(self, "model", None)
        # Django copies the fields of an abstract model into its children.
        copied.is_copy = self.is_copy or (model is not None and not model._meta.abstract)
        return copied

    def clone(self) -> Any:
        """Return a new field; of a copy, the plain one that migrations know."""
        field: Any = super()
        return self.plain(**self.deconstruct()[3]) if self.is_copy else field.clone()

    def deconstruct(self) -> Any:
        """Return what migrations write; of a copy, the plain field."""
        field: Any = super()
        name, path, args, kwargs = field.deconstruct()
        return (
            name,
            f"django.db.models.{self.plain.__name__}" if self.is_copy else path,
            args,
            kwargs,
        )
