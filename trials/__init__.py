"""Trials of the pool with real processes, each in a room of its own and judged by the chain.

bench: what the submission engine can do and costs; faults: one thing broken at a time; day: a day
of blocks with kills; history: a block's statements beside months of history; security: attacks.
All tell what they found by report.py, with machine and commit, in trials/results.
"""
