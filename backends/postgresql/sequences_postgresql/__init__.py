"""Gapless numbers for Django on PostgreSQL."""

from .allocator import PostgreSQLAllocator

__all__ = ["PostgreSQLAllocator"]
