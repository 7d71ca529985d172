"""The methods of Django that numbered models replace.

Importing this module replaces ``QuerySet.bulk_create`` and ``QuerySet.bulk_update``. The other
methods are replaced on the class of each model that has a SequenceField. The import also connects
the receiver of ``post_save``: it must be the first, and the field works without the app, which
would connect it later.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.signals import post_save

from ..collisions import validate_numbers
from .bulk_inserts import numbering_bulk_create
from .due import beginning_again
from .inserts import numbering_insert
from .memory import remembering_from_db, remembering_refresh
from .rollbacks import refusing_delete, refusing_update, undoing_save
from .uncommitted import keep_changes
from .updates import numbering_update


def number_rows(cls: Any) -> None:
    """Let Django number the rows of ``cls`` and of its children when it stores them."""
    if getattr(cls, "_sequences_hooked", False):
        return
    cls._sequences_hooked = True
    cls._do_insert = numbering_insert(cls._do_insert)
    cls._do_update = numbering_update(cls._do_update)
    cls.save_base = beginning_again(undoing_save(cls.save_base))
    cls.delete = refusing_delete(cls.delete)
    cls.from_db = classmethod(remembering_from_db(cls.from_db.__func__))
    cls.refresh_from_db = remembering_refresh(cls.refresh_from_db)
    validate_numbers(cls)


post_save.connect(keep_changes, dispatch_uid=keep_changes)
# Another receiver that was connected before, while a module was imported, may raise an error.
with post_save.lock:
    post_save.receivers.insert(0, post_save.receivers.pop())
QuerySet.bulk_create = numbering_bulk_create(QuerySet.bulk_create)  # type: ignore[method-assign]
QuerySet.bulk_update = refusing_update(QuerySet.bulk_update)  # type: ignore[method-assign]
