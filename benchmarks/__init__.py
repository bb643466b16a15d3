"""What the pool can do and what it costs: real processes, figures from the chain itself.

`make bench` runs it; results, with machine and commit, are kept in benchmarks/results.
"""
