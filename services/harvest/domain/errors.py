"""Errors that harvest's callers see."""

from libs.common.errors import FailedPreconditionError


class BlockNotClosedError(FailedPreconditionError):
    """Nobody has planted in the next block yet: the contract pays nothing before."""

    default_reason = "BLOCK_NOT_CLOSED"
