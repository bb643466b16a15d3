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


class SelfJoinOffError(FailedPreconditionError):
    """The operator does not let farmers join by themselves (SELF_JOIN_DAILY)."""

    default_reason = "SELF_JOIN_OFF"


class NotOpenToJoinError(FailedPreconditionError):
    """The pooler does not let farmers join by themselves: it registers them."""

    default_reason = "NOT_OPEN_TO_JOIN"


class SelfJoinLimitError(ResourceExhaustedError):
    """As many farmers have joined by themselves within 24 hours as may (SELF_JOIN_DAILY)."""

    default_reason = "SELF_JOIN_LIMIT"


class SelfJoinOwnerLimitError(ResourceExhaustedError):
    """As many farmers of the owner account have joined as may (SELF_JOIN_OWNER_DAILY)."""

    default_reason = "SELF_JOIN_OWNER_LIMIT"


class MaxFarmersTooLowError(FailedPreconditionError):
    """The pooler has more farmers than the new maximum."""

    default_reason = "MAX_FARMERS_TOO_LOW"


class PayoutAddressNotSetError(FailedPreconditionError):
    """Wallet has another payout address of the farmer: its giver has to set it there first."""

    default_reason = "PAYOUT_ADDRESS_NOT_SET"


class StakeNotAgreedError(FailedPreconditionError):
    """Wallet signs smaller stakes of the farmer only: the pooler has to agree to more there."""

    default_reason = "STAKE_NOT_AGREED"


class TermsNotFoundError(NotFoundError):
    """The pooler has published no terms, or no such version."""

    default_reason = "TERMS_NOT_FOUND"


class TermsChangedError(FailedPreconditionError):
    """The pooler offers other terms by now than those that the farmer was shown."""

    default_reason = "TERMS_CHANGED"


class FeeTooHighError(FailedPreconditionError):
    """The fees together are more than the pool allows (MAX_FEE_BPS)."""

    default_reason = "FEE_TOO_HIGH"


class FarmerStatusError(FailedPreconditionError):
    """The farmer's status does not allow the change."""

    default_reason = "FARMER_STATUS"


class PoolerLeavingError(FailedPreconditionError):
    """A pooler that leaves takes no new farmers."""

    default_reason = "POOLER_LEAVING"


class PoolerStageError(FailedPreconditionError):
    """How far the pooler's leaving is does not allow the change."""

    default_reason = "POOLER_STAGE"


class LeavingNotYoursError(FailedPreconditionError):
    """Somebody with a stronger word has the farmer leave: only such a one calls it off."""

    default_reason = "LEAVING_NOT_YOURS"


class RequestIdReusedError(FailedPreconditionError):
    """The request id stands for another request."""

    default_reason = "REQUEST_ID_REUSED"


class WebhookNotFoundError(NotFoundError):
    """No webhook has this id, or it was deleted."""

    default_reason = "WEBHOOK_NOT_FOUND"


class WebhookLimitError(ResourceExhaustedError):
    """The owner has as many webhooks as one may have."""

    default_reason = "WEBHOOK_LIMIT"


class WebhookTestedError(ResourceExhaustedError):
    """The webhook was tested a moment ago."""

    default_reason = "WEBHOOK_TESTED"


class WebhookDisabledError(FailedPreconditionError):
    """Nothing is sent to a webhook that was disabled: mend its receiver and enable it."""

    default_reason = "WEBHOOK_DISABLED"


class WebhooksOffError(FailedPreconditionError):
    """The pool has no key for the webhook's secret, or for any (WEBHOOK_KEY)."""

    default_reason = "WEBHOOKS_OFF"
