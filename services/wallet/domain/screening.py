"""Judgement of an operation by the farmer's pail, before anything is paid for the operation."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import assert_never

from libs.kale.hash import leading_zeros, work_hash
from services.wallet.domain.chain_facts import PailState
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
            OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
            | OperationKind.TOP_UP
            | OperationKind.WITHDRAW
        ):
            raise ValueError(f"operation {operation.id} is no call of the farm")
    assert_never(operation.kind)


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
