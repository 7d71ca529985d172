"""Gapless numbers for Django on Oracle."""

from .allocator import OracleAllocator

__all__ = ["OracleAllocator"]
