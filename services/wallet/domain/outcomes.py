"""Decision tables of simulations and results: the meaning of contract errors for operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique

from services.wallet.domain.chain_facts import ContractError
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import FailureReason, OperationKind

#: Envelopes signed for one operation at most; an onboarding is tried for ever, ever more slowly.
MAX_ATTEMPTS = 5
#: Envelopes signed for a payment to somebody at most: what ledgers refuse alone, ever more slowly,
#: for about twenty minutes is given up. A payment that no ledger took is tried for ever.
MAX_REFUSED = 10
#: Longest pause between two attempts of an onboarding, in ledgers.
MAX_PAUSE = 60


@unique
class Action(Enum):
    """Action for an operation that met an error."""

    #: Give it up for the reason told.
    FAIL = "fail"
    #: Look the pail up: it may be done already.
    LOOK_UP_PAIL = "look_up_pail"
    #: Try again with the next ledger; that costs no attempt.
    WAIT = "wait"
    #: Try again with a fresh simulation, as long as attempts are left.
    RETRY = "retry"


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """One row of a decision table."""

    #: What to do.
    action: Action
    #: Why, for FAIL, and for LOOK_UP_PAIL when the pail does not show it done.
    reason: FailureReason | None = None

    @property
    def is_final(self) -> bool:
        """Tell whether the operation is given up, unless it turns out to be done already."""
        return self.action is Action.FAIL or self.reason is not None


def _fail(reason: FailureReason) -> Meaning:
    return Meaning(action=Action.FAIL, reason=reason)


_WAIT = Meaning(action=Action.WAIT)
_RETRY = Meaning(action=Action.RETRY)
_REFUSED = _fail(FailureReason.REFUSED)

# Numbers of farm and token overlap, so a row is found by who raised the error (KALE_CONTRACT
# section 8). Each kind of call has its rows, so that none is forgotten.
_FARM: Mapping[OperationKind, Mapping[str, Meaning]] = {
    OperationKind.PLANT: {
        "FarmPaused": _fail(FailureReason.FARM_PAUSED),
        # The pail is there: by an envelope of ours or by anyone else's. The chain tells its stake.
        "PailExists": Meaning(action=Action.LOOK_UP_PAIL),
    },
    OperationKind.WORK: {
        "BlockMissing": _fail(FailureReason.BLOCK_CLOSED),
        "PailMissing": _fail(FailureReason.NOT_PLANTED),
        # In the ledger of the plant itself; the next ledger is late enough.
        "GapCountTooLow": _WAIT,
        "HashInvalid": _fail(FailureReason.HASH_INVALID),
        # An earlier envelope of its own may have shown as many zeros, which a node denied.
        "ZeroCountTooLow": Meaning(action=Action.LOOK_UP_PAIL, reason=FailureReason.ZEROS_TOO_LOW),
    },
    OperationKind.HARVEST: {
        "BlockMissing": _fail(FailureReason.BLOCK_EXPIRED),
        "PailMissing": _fail(FailureReason.NOT_PLANTED),
        # The head that we saw says that the block is closed; a node may be a ledger behind it.
        "HarvestNotReady": _WAIT,
        "WorkMissing": _fail(FailureReason.NOT_WORKED),
    },
}
_TOKEN: Mapping[OperationKind, Mapping[str, Meaning]] = {
    OperationKind.PLANT: {
        "BalanceError": _fail(FailureReason.INSUFFICIENT_BALANCE),
        "BalanceDeauthorizedError": _fail(FailureReason.LINE_FROZEN),
        "TrustlineMissingError": _fail(FailureReason.NO_TRUSTLINE),
    },
    OperationKind.WORK: {},
    OperationKind.HARVEST: {
        "BalanceError": _fail(FailureReason.LINE_FULL),
        "BalanceDeauthorizedError": _fail(FailureReason.LINE_FROZEN),
        "TrustlineMissingError": _fail(FailureReason.NO_TRUSTLINE),
    },
}
# Errors of the classic operation that pays somebody, which a payer's transaction carries.
_PAYMENT: Mapping[str, Meaning] = {
    "PAYMENT_UNDERFUNDED": _fail(FailureReason.INSUFFICIENT_BALANCE),
    "PAYMENT_SRC_NO_TRUST": _fail(FailureReason.NO_TRUSTLINE),
    "PAYMENT_SRC_NOT_AUTHORIZED": _fail(FailureReason.LINE_FROZEN),
    "PAYMENT_NO_DESTINATION": _fail(FailureReason.DESTINATION_MISSING),
    "PAYMENT_NO_TRUST": _fail(FailureReason.DESTINATION_REFUSES),
    "PAYMENT_NOT_AUTHORIZED": _fail(FailureReason.DESTINATION_REFUSES),
    "PAYMENT_LINE_FULL": _fail(FailureReason.DESTINATION_FULL),
    # The farmer's account was merged away, or its key is no longer its signer.
    "opNO_ACCOUNT": _fail(FailureReason.NOT_FUNDED),
    "opBAD_AUTH": _fail(FailureReason.ACCOUNT_LOCKED),
}


def meaning(kind: OperationKind, error: ContractError) -> Meaning:
    """Return the meaning of an error of a simulation or an included transaction for its operation.

    A host error (stale footprint, resources that no longer suffice) or a transaction code may be
    gone with a fresh simulation. A contract error that no table has is a refusal.
    """
    if OPERATION_KINDS[kind].pays_out:
        return _PAYMENT.get(error.code, _RETRY)
    if not OPERATION_KINDS[kind].has_block:
        return _RETRY
    if error.raiser == "farm":
        return _FARM[kind].get(error.code, _REFUSED)
    if error.raiser == "token":
        return _TOKEN[kind].get(error.code, _REFUSED)
    if error.code == "Auth/InvalidAction":
        return _REFUSED
    return _RETRY


def may_retry(kind: OperationKind, attempts: int) -> bool:
    """Tell whether an operation may get another envelope after `attempts` envelopes."""
    return not OPERATION_KINDS[kind].has_block or attempts < MAX_ATTEMPTS


def keeps_failing(kind: OperationKind, attempts: int) -> bool:
    """Tell whether ledgers have refused a payment so often that it is given up."""
    return OPERATION_KINDS[kind].pays_out and attempts >= MAX_REFUSED


def pause(kind: OperationKind, attempts: int) -> int:
    """Return the ledgers to wait before the next attempt: one, for an onboarding 1, 2, 4 ..."""
    if OPERATION_KINDS[kind].has_block:
        return 1
    return min(MAX_PAUSE, 1 << max(0, min(attempts, 16) - 1))
