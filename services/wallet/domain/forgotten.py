"""Operations whose ledger no node remembers: settlement by the chain's state."""

from dataclasses import dataclass, replace
from typing import assert_never

from libs.kale.reward import BlockStats, reward
from services.wallet.domain.chain_facts import BlockState, PailState
from services.wallet.domain.model import CarriedOperation, ChainHead, OperationKind, Settlement
from services.wallet.domain.settling import excluded, planted_already, succeeded


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A farmer's pail in a block before it was harvested, by the records."""

    #: Stroops staked.
    stake: int
    #: Ledgers between plant and best work.
    gap: int
    #: Leading zeros of the best work.
    zeros: int


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Traces of one operation in the chain's state and in the records."""

    #: The farmer's pail in the operation's block.
    pail: PailState | None
    #: That block; None when it is gone.
    block: BlockState | None
    #: The pail before a harvest; None when the records do not say.
    grown: Grown | None


#: Message for a payment that counts as made without having been seen.
NOT_REMEMBERED = "no node remembers the ledger that took it: it counts as made, the balance tells"


def settled_by_state(
    operation: CarriedOperation, trace: Trace, head: ChainHead, *, ledger: int, fee: int
) -> Settlement:
    """Settle an operation whose envelope a ledger took, while nobody knows with which result.

    An operation that the state does not show as done has failed there, and may be tried again: the
    sequence number is used, so that envelope is never taken another time. Accounts, and the data
    entry, are looked at before they are made (again), or closed. A payment counts as made rather
    than be made twice. A payment of a payer account never comes here, as the payer's number tells.
    """
    done = _done(operation, trace, ledger=ledger, fee=fee)
    if done is not None:
        return done
    return replace(excluded(operation, head, last_answer=""), fee=fee, is_unproven=True)


def _done(operation: CarriedOperation, trace: Trace, *, ledger: int, fee: int) -> Settlement | None:
    """Settle an operation that the state shows to be done; return None for others."""
    pail = trace.pail
    match operation.kind:
        case OperationKind.PLANT:
            return None if pail is None else planted_already(operation, pail, fee=fee)
        case OperationKind.WORK:
            return None if pail is None else _worked(operation, pail, fee=fee)
        case OperationKind.HARVEST:
            if pail is not None or trace.block is None:
                return None
            value = reward_of(trace.block, trace.grown)
            return succeeded(operation, value=value, ledger=ledger, fee=fee)
        case (
            OperationKind.WITHDRAW
            | OperationKind.TOP_UP
            | OperationKind.PAYOUT
            | OperationKind.POOL_PAYMENT
        ):
            # The transaction was signed before there were payers.
            made = succeeded(operation, value=None, ledger=ledger, fee=fee)
            return replace(made, message=NOT_REMEMBERED)
        case (
            OperationKind.DATA_ENTRY
            | OperationKind.CLOSE_ACCOUNT
            | OperationKind.ONBOARD
            | OperationKind.OPEN_CHANNEL
            | OperationKind.OPEN_PAYER
        ):
            return None
    assert_never(operation.kind)


def _worked(operation: CarriedOperation, pail: PailState, *, fee: int) -> Settlement | None:
    if pail.zeros is None or pail.zeros != operation.zeros:
        return None
    at = pail.sequence + (pail.gap or 0)
    return succeeded(operation, value=pail.gap, ledger=at, fee=fee)


def reward_of(block: BlockState | None, grown: Grown | None) -> int:
    """Return the reward by the contract's formula; 0 without the block or the pail.

    A closed block's totals no longer change.
    """
    if block is None or grown is None:
        return 0
    stats = BlockStats(
        min_gap=block.min_gap,
        max_gap=block.max_gap,
        min_stake=block.min_stake,
        max_stake=block.max_stake,
        min_zeros=block.min_zeros,
        max_zeros=block.max_zeros,
        staked_total=block.staked_total,
        normalized_total=block.normalized_total,
    )
    return reward(stats, index=block.index, gap=grown.gap, stake=grown.stake, zeros=grown.zeros)
