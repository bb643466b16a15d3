"""The whole pool on one machine: PostgreSQL, localnet and the five services as processes.

Used by `make demo`, `make up` and the end-to-end tests. Not part of a deployment.
"""
