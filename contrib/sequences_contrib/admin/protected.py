"""Django's pages that delete rows: they name numbered rows, which are protected.

Otherwise ``delete()`` would raise NumberProtected after the user has confirmed the deletion.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin.utils import NestedObjects

from ..protection import has_protected_number


def naming_protected(collect: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``NestedObjects.collect``: numbered rows are protected, as by ``on_delete=PROTECT``."""

    @functools.wraps(collect)
    def wrapper(self: NestedObjects, objs: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        self.protected.update(filter(has_protected_number, objs))
        return collect(self, objs, *args, **kwargs)

    return wrapper


NestedObjects.collect = naming_protected(NestedObjects.collect)  # type: ignore[method-assign]
