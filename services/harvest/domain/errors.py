"""Errors that harvest's callers see."""

from libs.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
    PermissionDeniedError,
)


class BlockNotClosedError(FailedPreconditionError):
    """Nobody has planted in the next block yet: the contract pays nothing before."""

    default_reason = "BLOCK_NOT_CLOSED"


class BlockNotFarmedError(NotFoundError):
    """The pool took no part in this block."""

    default_reason = "BLOCK_NOT_FARMED"


class MinersToldError(AlreadyExistsError):
    """The pooler told something else of the miners of this block before: that stands."""

    default_reason = "MINERS_TOLD"


class MinerUnknownError(NotFoundError):
    """No miner of the pooler is paid at this address."""

    default_reason = "MINER_UNKNOWN"


class FarmerPagesClosedError(PermissionDeniedError):
    """The operator shows farmers' figures to operators and to their own poolers only."""

    default_reason = "FARMER_PAGES_CLOSED"


class BookingRefusedError(InternalError):
    """The database refuses a journal that what wallet tells would make: a person has to look."""

    default_reason = "BOOKING_REFUSED"
