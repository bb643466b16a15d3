"""Use cases of registry: one file per noun."""
