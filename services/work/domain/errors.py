"""Errors that work's callers see: the errors of all services with batches, and none of its own."""

from libs.batches.model import PoolerNotFoundError, RequestIdReusedError, WrongBlockError

__all__ = ["PoolerNotFoundError", "RequestIdReusedError", "WrongBlockError"]
