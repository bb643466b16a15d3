"""Errors that harvest's callers see."""

from libs.common.errors import FailedPreconditionError, NotFoundError


class PoolerNotFoundError(NotFoundError):
    """No such pooler."""

    default_reason = "POOLER_NOT_FOUND"


class FarmerNotFoundError(NotFoundError):
    """No such farmer."""

    default_reason = "FARMER_NOT_FOUND"


class BlockNotClosedError(FailedPreconditionError):
    """Nobody has planted in the next block yet: the contract pays nothing before."""

    default_reason = "BLOCK_NOT_CLOSED"
