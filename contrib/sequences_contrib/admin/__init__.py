"""The admin's pages for an accountant: void numbers, the audit, and drafts that wait for numbers.

They are on the default site. Another site gets them by ``site.register(Audit, AuditAdmin)`` and
``site.register(Void, VoidAdmin)``.
"""

from __future__ import annotations

from django.contrib import admin

from ..models import Audit, Void
from .pages import AuditAdmin
from .voids import VoidAdmin

__all__ = ["AuditAdmin", "VoidAdmin"]

admin.site.register(Void, VoidAdmin)
admin.site.register(Audit, AuditAdmin)
