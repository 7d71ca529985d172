"""Numbering documents all at once, in SQL, when they are posted."""

from .assign import Assigned, assign_numbers

__all__ = ["Assigned", "assign_numbers"]
