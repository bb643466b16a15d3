"""Whole pools on one machine: PostgreSQL, localnet and the five services as processes.

`make demo`, `make up`, the trials and the tests are built on this package. It is not part of a
deployment.
"""
