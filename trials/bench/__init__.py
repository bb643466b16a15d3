"""Benchmark of what the wallet can do and costs: figures from the chain itself (`make bench`)."""
