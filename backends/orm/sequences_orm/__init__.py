"""Gapless numbers for Django on any database, through the ORM."""

from .allocator import ORMAllocator

__all__ = ["ORMAllocator"]
