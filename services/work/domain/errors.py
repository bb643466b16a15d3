"""Errors that work's callers see: those that all batches have, and none of its own."""

from libs.batches.model import PoolerNotFoundError, RequestIdReusedError, WrongBlockError

__all__ = ["PoolerNotFoundError", "RequestIdReusedError", "WrongBlockError"]
