"""registry: poolers, farmers, and their agreement.

Owns the schema `registry`. Invariants: a pooler never has more farmers than its maximum, and a
request id registers one farmer, even when a process crashes in between.
"""
