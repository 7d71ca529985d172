"""Signals for code that stores the names of sequences in tables of its own."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["sequence_renamed"]

sequence_renamed = Signal()
"""Sent by ``rename()`` in its transaction, with the names ``old`` and ``new`` and ``using``.

If a receiver raises an exception, the sequence keeps its old name.
"""
