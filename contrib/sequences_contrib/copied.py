"""Copies of fields that other packages add to their models, such as packages that store history."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Field


class Copied:
    """A mixin for fields whose copy in another model behaves like a plain field."""

    plain: ClassVar[type[Field[Any, Any]]]
    """The class of a copy in migrations."""

    is_copy = False
    """Is this field a copy of a concrete model's field?"""

    def __copy__(self) -> Any:
        copied: Any = super().__copy__()  # type: ignore[misc] # of Field
        vars(copied).pop("unique", None)  # Django caches it, but other packages change it
        model = getattr(self, "model", None)
        # Django copies the fields of an abstract model into its children.
        copied.is_copy = self.is_copy or (model is not None and not model._meta.abstract)
        return copied

    def clone(self) -> Any:
        """Return a new field: for a copy, a plain one."""
        field: Any = super()
        return self.plain(**self.deconstruct()[3]) if self.is_copy else field.clone()

    def deconstruct(self) -> Any:
        """Return the arguments of the field: for a copy, those of a plain field."""
        field: Any = super()
        name, path, args, kwargs = field.deconstruct()
        return (
            name,
            f"django.db.models.{self.plain.__name__}" if self.is_copy else path,
            args,
            kwargs,
        )
