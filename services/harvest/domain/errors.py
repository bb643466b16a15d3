"""Errors that harvest's callers see."""

from libs.common.errors import (
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


class FarmerPagesClosedError(PermissionDeniedError):
    """The operator shows farmers' figures to operators and to their own poolers only."""

    default_reason = "FARMER_PAGES_CLOSED"


class StatementNotReadyError(NotFoundError):
    """No day of the month is closed yet, or the farmer had no account by then."""

    default_reason = "STATEMENT_NOT_READY"


class NothingBookedError(FailedPreconditionError):
    """Nothing was ever booked: there is nothing to make a tree of."""

    default_reason = "NOTHING_BOOKED"


class BookingRefusedError(InternalError):
    """The database refuses a journal that what wallet tells would make: a person has to look."""

    default_reason = "BOOKING_REFUSED"
