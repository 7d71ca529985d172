"""Numbering rows when Django stores them.

``hooks`` wraps the methods of Django that load and store rows. ``inserts``, ``bulk_inserts`` and
``updates`` number the rows, each with a ``Numbers`` of ``numbering``. ``due`` locks the counters of
a row that is stored already. ``memory`` recognizes rows that are copies of other rows.
``rollbacks`` takes numbers back if a ``save()`` fails, and ``uncommitted`` if a block is rolled
back.
"""
