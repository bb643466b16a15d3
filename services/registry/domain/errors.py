"""Errors that registry's callers see."""

from libs.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
)


class PoolerNotFoundError(NotFoundError):
    """No pooler has this id."""

    default_reason = "POOLER_NOT_FOUND"


class FarmerNotFoundError(NotFoundError):
    """No farmer has this id."""

    default_reason = "FARMER_NOT_FOUND"


class PoolerExistsError(AlreadyExistsError):
    """The public key belongs to another pooler."""

    default_reason = "POOLER_EXISTS"


class PoolerSuspendedError(FailedPreconditionError):
    """A suspended pooler takes no new farmers."""

    default_reason = "POOLER_SUSPENDED"


class PoolFullError(ResourceExhaustedError):
    """The pooler has its maximum of farmers."""

    default_reason = "POOL_FULL"


class MaxFarmersTooLowError(FailedPreconditionError):
    """The pooler has more farmers than the new maximum."""

    default_reason = "MAX_FARMERS_TOO_LOW"


class PayoutAddressNotSetError(FailedPreconditionError):
    """Wallet has another payout address of the farmer: its giver has to set it there first."""

    default_reason = "PAYOUT_ADDRESS_NOT_SET"


class StakeNotAgreedError(FailedPreconditionError):
    """Wallet signs smaller stakes of the farmer only: the pooler has to agree to more there."""

    default_reason = "STAKE_NOT_AGREED"


class FarmerStatusError(FailedPreconditionError):
    """The farmer's status does not allow the change."""

    default_reason = "FARMER_STATUS"


class RequestIdReusedError(FailedPreconditionError):
    """The request id stands for another request."""

    default_reason = "REQUEST_ID_REUSED"
