"""Comparison of the records with the chain, for farmers without any operation on its way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, unique

from libs.common.ids import FarmerId, PoolerId, WalletId
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.model import OperationKind


@unique
class Difference(Enum):
    """Kinds of differences between records and chain."""

    #: The chain has a plant that is not recorded as done.
    PLANT_WITHOUT_RECORD = "plant_without_record"
    #: A plant is recorded as done, and there is neither its pail nor a harvest.
    RECORD_WITHOUT_PLANT = "record_without_plant"
    #: The chain has another stake than is recorded.
    STAKE_DIFFERS = "stake_differs"
    #: The pail was worked better than is recorded.
    WORK_WITHOUT_RECORD = "work_without_record"
    #: A work is recorded that the pail does not show.
    RECORD_WITHOUT_WORK = "record_without_work"
    #: A harvest is recorded, and the pail is still there.
    RECORD_WITHOUT_HARVEST = "record_without_harvest"
    #: The pail was harvested, and no harvest is recorded.
    HARVEST_WITHOUT_RECORD = "harvest_without_record"
    # The same differences for events, which plant, work and harvest write.
    PLANT_WITHOUT_EVENT = "plant_without_event"
    EVENT_WITHOUT_PLANT = "event_without_plant"
    EVENT_STAKE_DIFFERS = "event_stake_differs"
    WORK_WITHOUT_EVENT = "work_without_event"
    EVENT_WITHOUT_WORK = "event_without_work"
    EVENT_WITHOUT_HARVEST = "event_without_harvest"
    HARVEST_WITHOUT_EVENT = "harvest_without_event"
    #: The account has more or less KALE than the operations since the last look explain.
    BALANCE_DIFFERS = "balance_differs"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Settled records of a farmer in a block."""

    #: The farmer's wallet.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: The block.
    block_index: int
    #: Stroops planted; None when no plant succeeded.
    stake: int | None
    #: Zeros of the best work that succeeded; None without one.
    zeros: int | None
    #: A harvest succeeded.
    is_harvested: bool
    #: Some operation for this block is on its way: nothing can be said yet.
    is_moving: bool
    #: Newest ledger that settled any of it; 0 for none.
    ledger: int
    #: Ledger of the plant; 0 when no plant succeeded.
    planted_ledger: int = 0


@dataclass(frozen=True, kw_only=True)
class Told:
    """Events of a farmer in a block: successes only."""

    #: The farmer's wallet.
    wallet_id: WalletId
    #: Stroops planted; None without an event.
    stake: int | None
    #: Zeros of the best work; None without an event.
    zeros: int | None
    #: There is a harvest.
    is_harvested: bool
    #: Something was settled a moment ago: its event may be on its way.
    is_fresh: bool


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference."""

    #: Kind of the difference.
    kind: Difference
    #: The farmer's wallet.
    wallet_id: WalletId
    #: The block; 0 for a balance.
    block_index: int
    #: What the records say.
    recorded: str
    #: What the chain says.
    on_chain: str


def compare(kept: Kept, pail: PailState | None, *, ledger: int) -> Iterator[Finding]:
    """Yield the differences of one farmer in one block that is alive on the chain.

    `ledger` is the ledger that the chain was read at: nothing is said about operations that were
    settled later.
    """
    if kept.is_moving or kept.ledger > ledger:
        return

    def found(kind: Difference, recorded: object, on_chain: object) -> Finding:
        return Finding(
            kind=kind,
            wallet_id=kept.wallet_id,
            block_index=kept.block_index,
            recorded=str(recorded),
            on_chain=str(on_chain),
        )

    if pail is None:
        if kept.stake is not None and not kept.is_harvested:
            yield found(Difference.RECORD_WITHOUT_PLANT, kept.stake, "nothing")
        return
    if kept.is_harvested:
        yield found(Difference.RECORD_WITHOUT_HARVEST, "harvested", pail.stake)
        return
    if kept.stake is None:
        yield found(Difference.PLANT_WITHOUT_RECORD, "nothing", pail.stake)
    elif kept.stake != pail.stake:
        yield found(Difference.STAKE_DIFFERS, kept.stake, pail.stake)
    recorded, there = _zeros(kept.zeros), _zeros(pail.zeros)
    if there > recorded:
        yield found(Difference.WORK_WITHOUT_RECORD, kept.zeros, pail.zeros)
    elif recorded > there:
        yield found(Difference.RECORD_WITHOUT_WORK, kept.zeros, pail.zeros)


#: Kinds of operations that a difference denies, once it was found twice: operations of these kinds
#: are recorded as done, and the chain has no trace of them. A pail that was never planted was not
#: worked either.
DENIED: Mapping[Difference, tuple[OperationKind, ...]] = {
    Difference.RECORD_WITHOUT_PLANT: (OperationKind.PLANT, OperationKind.WORK),
    Difference.RECORD_WITHOUT_WORK: (OperationKind.WORK,),
    Difference.RECORD_WITHOUT_HARVEST: (OperationKind.HARVEST,),
}

#: The event's name for each difference of operations.
_OF_EVENTS: Mapping[Difference, Difference] = {
    Difference.PLANT_WITHOUT_RECORD: Difference.PLANT_WITHOUT_EVENT,
    Difference.RECORD_WITHOUT_PLANT: Difference.EVENT_WITHOUT_PLANT,
    Difference.STAKE_DIFFERS: Difference.EVENT_STAKE_DIFFERS,
    Difference.WORK_WITHOUT_RECORD: Difference.WORK_WITHOUT_EVENT,
    Difference.RECORD_WITHOUT_WORK: Difference.EVENT_WITHOUT_WORK,
    Difference.RECORD_WITHOUT_HARVEST: Difference.EVENT_WITHOUT_HARVEST,
}


def compare_events(
    kept: Kept, told: Told, pail: PailState | None, *, ledger: int
) -> Iterator[Finding]:
    """Yield the differences between a farmer's events in a block and the chain.

    This is for a farmer whose operations agree with the chain. Events follow from operations, so
    where operations differ, their differences tell all.
    """
    if told.is_fresh or kept.is_moving:
        return
    events = replace(kept, stake=told.stake, zeros=told.zeros, is_harvested=told.is_harvested)
    if pail is None and kept.is_harvested:
        # The chain has nothing left to compare with; the record keeps what the chain said.
        if not told.is_harvested:
            yield Finding(
                kind=Difference.HARVEST_WITHOUT_EVENT,
                wallet_id=kept.wallet_id,
                block_index=kept.block_index,
                recorded="nothing",
                on_chain="harvested",
            )
        return
    for finding in compare(events, pail, ledger=ledger):
        yield replace(finding, kind=_OF_EVENTS[finding.kind])


def _zeros(zeros: int | None) -> int:
    """Return the zeros as a number to compare, -1 for None: 0 is a worked value."""
    return -1 if zeros is None else zeros


def is_worth_harvesting(kept: Kept, pail: PailState | None, *, current_block: int) -> bool:
    """Tell whether a pail that the records know less of would pay, and nobody may come for it."""
    is_ripe = pail is not None and pail.zeros is not None and kept.block_index < current_block
    return is_ripe and not kept.is_moving and (kept.stake is None or kept.zeros is None)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """A farmer's KALE at the last look, and the recorded changes since then."""

    #: The farmer's wallet.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: Ledger of the last look; None before the first.
    since: int | None
    #: Stroops then.
    kale: int
    #: Stroops that settled operations added (or took, when negative) since then.
    moved: int
    #: Something is on its way: nothing can be said yet.
    is_moving: bool
    #: Newest ledger that settled any of it; 0 for none.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A farmer's account, and whether anything of it is on its way."""

    #: The farmer's wallet.
    wallet_id: WalletId
    #: strkey G...
    address: str
    #: The farmer, and its pooler.
    farmer_id: FarmerId
    pooler_id: PoolerId
    #: Something is on its way: nothing can be said yet.
    is_moving: bool
    #: Newest ledger that settled anything of it; 0 for none.
    ledger: int


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a farmer's account holds."""

    #: The farmer, and its pooler.
    farmer_id: FarmerId
    pooler_id: PoolerId
    #: Stroops of KALE.
    kale: int
    #: Ledger at which it was read; all that is recorded of the farmer happened in it or before.
    ledger: int


def compare_balance(balance: Balance, kale: int, *, ledger: int) -> Finding | None:
    """Return the difference of one account, if it can be told and there is one."""
    if balance.since is None or balance.is_moving or balance.ledger > ledger:
        return None
    expected = balance.kale + balance.moved
    if expected == kale:
        return None
    return Finding(
        kind=Difference.BALANCE_DIFFERS,
        wallet_id=balance.wallet_id,
        block_index=0,
        recorded=str(expected),
        on_chain=str(kale),
    )
