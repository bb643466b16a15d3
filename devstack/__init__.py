"""Whole pools on one machine: PostgreSQL, localnet and the five services as processes.

The ground of `make demo`, `make up`, the trials and the tests. Not part of a deployment.
"""
