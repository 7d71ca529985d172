"""Gapless numbers for Django on SQLite, the way Acme takes them."""

from .allocator import AcmeAllocator

__all__ = ["AcmeAllocator"]
