"""Errors that harvest's callers see."""

from libs.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
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


class StatementNotReadyError(NotFoundError):
    """No day of the month is closed yet, or the owner had no account by then."""

    default_reason = "STATEMENT_NOT_READY"


class NothingBookedError(FailedPreconditionError):
    """Nothing was ever booked: there is nothing to make a tree of."""

    default_reason = "NOTHING_BOOKED"


class BookingRefusedError(InternalError):
    """The database refuses a journal that what wallet tells would make: a person has to look."""

    default_reason = "BOOKING_REFUSED"


class PayoutsOffError(FailedPreconditionError):
    """Payouts are switched off: an operator has to switch them on first."""

    default_reason = "PAYOUTS_OFF"


class PayoutsExceedError(FailedPreconditionError):
    """The run would pay more than whoever asked for it has allowed; `metadata` has the total."""

    default_reason = "PAYOUTS_EXCEED"


class PayoutTooLargeError(FailedPreconditionError):
    """The farmer has less than is to be paid; `metadata` has what it has."""

    default_reason = "PAYOUT_TOO_LARGE"


class PayoutEmptyError(FailedPreconditionError):
    """The farmer has nothing that could be paid."""

    default_reason = "PAYOUT_EMPTY"


class PayoutOnItsWayError(FailedPreconditionError):
    """A payout of the farmer is on its way: the next one can be asked for once it is settled."""

    default_reason = "PAYOUT_ON_ITS_WAY"


class PayoutNeedsApprovalError(FailedPreconditionError):
    """The payout is so large that operators have to make it."""

    default_reason = "PAYOUT_NEEDS_APPROVAL"


class PayoutLimitError(ResourceExhaustedError):
    """What may leave the pool, or to one farmer, within 24 hours has left, or would."""

    default_reason = "PAYOUT_LIMIT"
