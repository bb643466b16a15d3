"""Trials of the pool with real processes, each trial in a package of its own and judged by the
chain.

bench: what the submission engine can do and costs; faults: one thing broken at a time; day: a day
of blocks with kills; history: the statements of a block beside months of history; security:
attacks; mutants: wrong changes that no test notices. All trials report their results through
report.py, with machine and commit, in trials/results.
"""
