"""Numbered models behind an interface of Django REST framework."""

from __future__ import annotations

from django.db import models
from sequences_contrib.fields import SequenceField


class Project(models.Model):
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class Invoice(models.Model):
    number = SequenceField("invoices", unique=True)
    customer = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.number}"


class Ticket(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    number = SequenceField("tickets", unique_with="project")
    title = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.project}-{self.number}"
