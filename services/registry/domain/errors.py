"""Errors that registry's callers see."""

from libs.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
)


class PoolerNotFoundError(NotFoundError):
    """No such pooler."""

    default_reason = "POOLER_NOT_FOUND"


class FarmerNotFoundError(NotFoundError):
    """No such farmer."""

    default_reason = "FARMER_NOT_FOUND"


class PoolerExistsError(AlreadyExistsError):
    """The public key belongs to another pooler."""

    default_reason = "POOLER_EXISTS"


class PoolerSuspendedError(FailedPreconditionError):
    """A suspended pooler takes no new farmers."""

    default_reason = "POOLER_SUSPENDED"


class PoolFullError(ResourceExhaustedError):
    """The pooler has as many farmers as it takes."""

    default_reason = "POOL_FULL"


class MaxFarmersTooLowError(FailedPreconditionError):
    """The pooler has more farmers than that."""

    default_reason = "MAX_FARMERS_TOO_LOW"


class FarmerStatusError(FailedPreconditionError):
    """A farmer in this status cannot do that."""

    default_reason = "FARMER_STATUS"


class RequestIdReusedError(FailedPreconditionError):
    """The request id stands for another request."""

    default_reason = "REQUEST_ID_REUSED"
