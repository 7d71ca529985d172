"""Django's pages that delete rows: they name numbered rows, which are protected.

Otherwise ``delete()`` would raise NumberProtected after the user has confirmed the deletion, also
if ``on_delete`` of a foreign key would change the scope of these rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin.utils import NestedObjects

from ..protection import ProtectedQuerySet, has_protected_number, protected_from_update


def naming_protected(collect: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``NestedObjects.collect``: numbered rows are protected, as by ``on_delete=PROTECT``."""

    @functools.wraps(collect)
    def wrapper(self: NestedObjects, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        self.protected.update(filter(has_protected_number, objs))
        return collect(self, objs, *args, **kwargs)

    return wrapper


def naming_updated(add_field_update: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``NestedObjects.add_field_update``: so are rows that ``on_delete`` must not update."""

    @functools.wraps(add_field_update)
    def wrapper(self: NestedObjects, field: Any, value: Any, objs: Any) -> Any:
        if isinstance(objs, ProtectedQuerySet):
            self.protected.update(protected_from_update(objs.all(), field.name))
        return add_field_update(self, field, value, objs)

    return wrapper


NestedObjects.add_field_update = naming_updated(  # type: ignore[method-assign]
    NestedObjects.add_field_update
)
NestedObjects.collect = naming_protected(NestedObjects.collect)  # type: ignore[method-assign]
