"""The admin pages for accountants: the audit, void numbers, and drafts without a number.

They are registered with the default admin site. To add them to another site, call
``site.register(Audit, AuditAdmin)`` and ``site.register(Void, VoidAdmin)``. Importing this package
also lets Django's own pages name numbered rows that can't be deleted.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import Audit, Void
from . import protected as protected  # which replaces a method of Django
from .pages import AuditAdmin
from .voids import VoidAdmin

__all__ = ["AuditAdmin", "VoidAdmin"]

admin.site.register(Void, VoidAdmin)
admin.site.register(Audit, AuditAdmin)
