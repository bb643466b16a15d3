"""Statements: what a farmer's accounts went through, and the proof that nobody changed it.

`lines.py` says what a line is and what its digest covers, `sums_tree.py` how all claims of a day
make one root, `roots.py` how roots follow each other. `document.py` reads and writes the file that
a farmer keeps, `checking.py` finds what is wrong with it, and `tables.py` makes CSV of it. All of
it is pure: a file is checked without the pool.
"""
