"""Signals for those who keep the names of counters in tables of their own."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["sequence_renamed"]

sequence_renamed = Signal()
"""Sent by ``rename()`` in its transaction, with ``old`` and ``new``, the names, and ``using``.

An error that a receiver raises undoes the renaming.
"""
