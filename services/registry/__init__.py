"""registry: poolers, farmers, and their agreement.

Owns the schema `registry`. Invariant: a pooler never has more farmers than it takes, and a request
id registers one farmer, whoever crashed in between.
"""
