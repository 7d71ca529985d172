"""Gapless numbers for Django on MySQL and MariaDB."""

from .allocator import MySQLAllocator

__all__ = ["MySQLAllocator"]
