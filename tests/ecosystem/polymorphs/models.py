"""Polymorphic children of one numbered parent."""

from __future__ import annotations

from django.db import models
from polymorphic.models import PolymorphicModel
from sequences_contrib.fields import SequenceField


class Document(PolymorphicModel):
    number = SequenceField("documents", unique=True)


class Invoice(Document):
    code = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return self.code


class CreditNote(Document):
    """Has a number of its own beside that of all documents."""

    own = SequenceField("credit notes", unique=True)
    code = models.CharField(max_length=20, unique=True)

    def __str__(self) -> str:
        return self.code


class Project(PolymorphicModel):
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class Task(PolymorphicModel):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    number = SequenceField("tasks", unique_with="project")


class Bug(Task):
    title = models.CharField(max_length=20, default="")

    def __str__(self) -> str:
        return self.title
