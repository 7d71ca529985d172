"""Gapless numbers for Django on SQLite."""

from .allocator import SQLiteAllocator

__all__ = ["SQLiteAllocator"]
