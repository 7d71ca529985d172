"""The tenants, and where each of them is found."""

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Client(TenantMixin):  # type: ignore[misc] # the package has no types
    name = models.CharField(max_length=100)

    auto_create_schema = True
    auto_drop_schema = True

    def __str__(self) -> str:
        return str(self.name)


class Domain(DomainMixin):  # type: ignore[misc]
    pass
