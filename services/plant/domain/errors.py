"""Errors that plant's callers see."""

from libs.common.errors import FailedPreconditionError, NotFoundError


class PoolerNotFoundError(NotFoundError):
    """No such pooler."""

    default_reason = "POOLER_NOT_FOUND"


class PoolerSuspendedError(FailedPreconditionError):
    """The pooler is suspended: its farmers are not planted."""

    default_reason = "POOLER_SUSPENDED"
