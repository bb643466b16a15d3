"""Use cases of callers: one file per noun."""
