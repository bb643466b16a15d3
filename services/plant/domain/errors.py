"""Errors that plant's callers see."""

from libs.common.errors import FailedPreconditionError


class PoolerSuspendedError(FailedPreconditionError):
    """The pooler is suspended: its farmers are not planted."""

    default_reason = "POOLER_SUSPENDED"
