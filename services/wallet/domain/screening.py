"""Judgement of an operation by the farmer's pail and account, before anything is paid for it."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import assert_never

from libs.kale.amounts import WHOLE, stake_amount
from libs.kale.hash import leading_zeros, work_hash
from libs.kale.reward import block_reward
from services.wallet.domain.chain_facts import AccountState, PailState
from services.wallet.domain.model import (
    Block,
    FailureReason,
    OperationKind,
    QueuedOperation,
    Settlement,
)
from services.wallet.domain.settling import given_up, planted_already, worked_already


@unique
class Advice(Enum):
    """Advice on how to go on with an operation."""

    #: As it looks, it will work.
    SEND = "send"
    #: It looks as if it failed: let the network say so, by a simulation of its own.
    SIMULATE = "simulate"
    #: It is settled.
    SETTLED = "settled"


@dataclass(frozen=True, kw_only=True)
class Screening:
    """Result of a screening."""

    #: How to go on.
    advice: Advice
    #: The settlement, with SETTLED.
    settlement: Settlement | None = None


_SEND = Screening(advice=Advice.SEND)
_SIMULATE = Screening(advice=Advice.SIMULATE)


def screen(
    operation: QueuedOperation, pail: PailState | None, *, key: bytes, block: Block | None
) -> Screening:
    """Advise on an operation by its pail as a node shows it (None: there is no pail).

    Only conclusions that stay true are drawn: a pail never goes back in its zeros, and a hash is
    right or wrong. A pail that a lagging node may not show yet is left to a simulation. `key` is
    the farmer's raw key, `block` the running block.
    """
    match operation.kind:
        case OperationKind.PLANT:
            return _SEND if pail is None else _settled(planted_already(operation, pail, fee=0))
        case OperationKind.WORK:
            return _screen_work(operation, pail, key, block)
        case OperationKind.HARVEST:
            return _SIMULATE if pail is None or pail.gap is None else _SEND
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            raise ValueError(f"operation {operation.id} is no call of the farm")
    assert_never(operation.kind)


#: In words, why an account stands in the way.
LOCKED = "the pool's key alone does not suffice for the account any more"
_WORDS = {
    FailureReason.NOT_FUNDED: "the account does not exist",
    FailureReason.ACCOUNT_LOCKED: LOCKED,
    FailureReason.LINE_FROZEN: "the account's KALE trustline is not authorised",
    FailureReason.NO_TRUSTLINE: "the account has no KALE trustline",
    FailureReason.STAKE_NOT_AGREED: "the stake is more than was agreed with the farmer's pooler",
    FailureReason.LINE_FULL: "the account's KALE trustline cannot take what the harvest pays",
}


def barrier(
    operation: QueuedOperation, account: AccountState, *, pail: PailState | None
) -> Screening:
    """Advise on an operation by the farmer's account.

    A plant needs the consent of the farmer's key, and a line to take the stake from. A harvest
    needs a line with room; without a pail its simulation tells more. A work needs neither. Who
    signs for a work or a harvest is decided with its source. What a harvest pays is known from a
    simulation only. One that may be too much is left to a simulation of its own, as a failed
    transaction would cost a fee at every try.
    """
    match operation.kind:
        case OperationKind.PLANT:
            return _refuse(operation, _plant_barrier(operation, account))
        case OperationKind.HARVEST:
            return _SEND if pail is None else _harvest_barrier(operation, account, pail.stake)
        case OperationKind.WORK:
            return _SEND
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            raise ValueError(f"operation {operation.id} is no call of the farm")
    assert_never(operation.kind)


def _plant_barrier(operation: QueuedOperation, account: AccountState) -> FailureReason | None:
    if not account.exists:
        return FailureReason.NOT_FUNDED
    if not account.obeys:
        return FailureReason.ACCOUNT_LOCKED
    if not operation.amount:
        return None
    if _exceeds_agreement(operation, account):
        return FailureReason.STAKE_NOT_AGREED
    return _line_barrier(account)


def _exceeds_agreement(operation: QueuedOperation, account: AccountState) -> bool:
    """Tell whether a plant stakes a greater part of the balance than was agreed.

    What is more than the whole balance, the network refuses with its own reason.
    """
    if operation.stake_bps == WHOLE or operation.amount > account.kale:
        return False
    return operation.amount > stake_amount(account.kale + operation.withdrawn, operation.stake_bps)


def _line_barrier(account: AccountState) -> FailureReason | None:
    if account.is_frozen:
        return FailureReason.LINE_FROZEN
    return None if account.has_trustline else FailureReason.NO_TRUSTLINE


def _harvest_barrier(operation: QueuedOperation, account: AccountState, stake: int) -> Screening:
    # Whether a harvest without a stake pays anything is known from its simulation only.
    if not account.exists or not account.has_trustline:
        reason = _line_barrier(account) if account.exists else FailureReason.NOT_FUNDED
        return _refuse(operation, reason)
    room = account.kale_room
    if room < max(1, stake):
        return _refuse(operation, FailureReason.LINE_FULL)
    return _SEND if room - stake >= block_reward(operation.block_index) else _SIMULATE


def _refuse(operation: QueuedOperation, reason: FailureReason | None) -> Screening:
    return _SEND if reason is None else _settled(given_up(operation, reason, _WORDS[reason]))


def _screen_work(
    operation: QueuedOperation, pail: PailState | None, key: bytes, block: Block | None
) -> Screening:
    if operation.hash is None or operation.nonce is None:
        raise ValueError(f"work {operation.id} has no hash")
    if block is not None and block.index == operation.block_index:
        right = work_hash(
            index=block.index, nonce=operation.nonce, entropy=block.entropy, farmer_key=key
        )
        if right != operation.hash:
            reason = FailureReason.HASH_INVALID
            return _settled(given_up(operation, reason, "the hash is not that of the nonce"))
    if pail is None:
        return _SIMULATE
    done = worked_already(operation, pail, fee=0)
    if done is not None:
        return _settled(done)
    zeros = leading_zeros(operation.hash)
    if pail.zeros is not None and zeros <= pail.zeros:
        message = f"{zeros} zeros, and {pail.zeros} were shown before"
        return _settled(given_up(operation, FailureReason.ZEROS_TOO_LOW, message))
    return _SEND


def _settled(settlement: Settlement) -> Screening:
    return Screening(advice=Advice.SETTLED, settlement=settlement)
