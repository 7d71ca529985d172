"""Numbering rows when Django stores them.

``hooks`` wraps the methods of Django that load and store rows: ``inserts``, ``bulk_inserts`` and
``updates`` number the rows, each with a ``Numbers`` of ``numbering``, and ``rollbacks`` takes
numbers back. ``memory`` recognizes rows that are copies of other rows.
"""
