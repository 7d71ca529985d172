"""Gapless numbers for Django by row locks, the way Globex takes them."""

from .allocator import GlobexAllocator

__all__ = ["GlobexAllocator"]
