"""Errors that work's callers see."""

from libs.common.errors import NotFoundError


class PoolerNotFoundError(NotFoundError):
    """No such pooler."""

    default_reason = "POOLER_NOT_FOUND"
