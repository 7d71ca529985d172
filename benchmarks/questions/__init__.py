"""What the suite asks: each module is a question, and its tests are the cells of the answer.

A test has a ``cell``, which says what is measured, and a ``turn``. Cells take turns in alternation,
and the turns of a cell are taken together.
"""
