"""Number many rows at once, in SQL, when documents are posted."""

from .assign import Assigned, assign_numbers

__all__ = ["Assigned", "assign_numbers"]
