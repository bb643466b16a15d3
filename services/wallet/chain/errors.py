"""Errors between the wallet and the network."""

from collections.abc import Mapping

from libs.common.errors import FailedPreconditionError, InternalError, UnavailableError
from services.wallet.domain.chain_facts import ContractError


class RpcUnavailableError(UnavailableError):
    """A node gave no usable answer. If something was sent, its outcome is unknown."""

    default_reason = "STELLAR_UNAVAILABLE"


class RpcTooLargeError(RpcUnavailableError):
    """The answer is larger than answers may be. A smaller question may have a usable answer."""


class RpcBusyError(RpcUnavailableError):
    """The node asked not to be called for a while (`retry_after`).

    This is no failure of the node.
    """


class RpcRejectedError(InternalError):
    """The node refused a request as malformed (JSON-RPC error): a defect of the pool's code."""

    default_reason = "STELLAR_REJECTED"


class RpcNoMethodError(RpcRejectedError):
    """The node does not have the method (any more)."""


class StaleAnswerError(UnavailableError):
    """The node's answer is of an older ledger than one seen before, so it is not to be trusted."""

    default_reason = "STELLAR_STALE"


class DisagreementError(UnavailableError):
    """Nodes contradict each other and none is known to be right, or a needed second one is away.

    In the latter case, there is no second node at the moment.
    """

    default_reason = "STELLAR_DISAGREEMENT"


class NetworkMismatchError(FailedPreconditionError):
    """The node is on another network, or the farm on it is not the configured farm."""

    default_reason = "NETWORK_MISMATCH"


class FeeCapExceededError(FailedPreconditionError):
    """The network asks for a higher fee than the operator allows for one transaction."""

    default_reason = "FEE_CAP"

    def __init__(
        self,
        message: str = "",
        *,
        bid: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Store the bid: the fee that the network asks for (stroops)."""
        super().__init__(message, metadata=metadata)
        self.bid = bid


class UnknownAnswerError(UnavailableError):
    """The answer is of a network that is newer than this version of wallet.

    Nothing follows from the answer, and it is no failure of the node.
    """

    default_reason = "UNKNOWN_ANSWER"


class SimulationError(Exception):
    """A simulation said that the call would fail: nothing was sent."""

    def __init__(self, error: ContractError, message: str, *, position: int | None = None) -> None:
        """Store the error and the position of the call that fails.

        `error` tells the reason and who raised the error. `message` has the node's words.
        `position` is the position of the call of a multicall that fails.
        """
        super().__init__(f"{error}: {message}")
        self.error = error
        self.position = position


#: Errors of the farm (KALE_CONTRACT section 8).
FARM_ERRORS = {
    1: "HomesteadExists",
    2: "HomesteadMissing",
    3: "FarmBlockMissing",
    4: "FarmPaused",
    5: "FarmNotPaused",
    6: "PlantAmountTooLow",
    7: "ZeroCountTooLow",
    8: "PailExists",
    9: "PailMissing",
    10: "WorkMissing",
    11: "BlockMissing",
    12: "BlockInvalid",
    13: "HashInvalid",
    14: "HarvestNotReady",
    15: "GapCountTooLow",
}

#: Errors of the token (the Stellar Asset Contract); the numbers overlap with the farm's.
TOKEN_ERRORS = {
    1: "InternalError",
    2: "OperationNotSupportedError",
    3: "AlreadyInitializedError",
    6: "AccountMissingError",
    8: "NegativeAmountError",
    9: "AllowanceError",
    10: "BalanceError",
    11: "BalanceDeauthorizedError",
    12: "OverflowError",
    13: "TrustlineMissingError",
}


def error_name(raiser: str, number: int) -> str:
    """Return the name of a contract error, or its number when the error has no known name."""
    table = {"farm": FARM_ERRORS, "token": TOKEN_ERRORS}.get(raiser, {})
    return table.get(number, str(number))
