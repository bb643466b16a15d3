"""Harvests as the chain shows them, whoever made them, and what each harvest paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.wallet.domain.chain_facts import BlockState, PailState
from services.wallet.domain.forgotten import Grown, reward_of


@dataclass(frozen=True, kw_only=True)
class ForeignHarvest:
    """Effect of one transaction on one farmer."""

    #: strkey G... of the farmer.
    address: str
    #: Stroops of KALE that were minted to it, each mint for itself. Nothing but harvests mints.
    minted: tuple[int, ...]
    #: The pails that the transaction removed, as they were before, by block.
    pails: Mapping[int, PailState]
    #: Ledger that has the transaction.
    ledger: int
    #: Its hash (hex).
    transaction_hash: str


@dataclass(frozen=True, kw_only=True)
class PaidHarvest:
    """One harvest."""

    #: KALE block.
    block_index: int
    #: Stroops of KALE paid, without the stake.
    reward: int
    #: Stroops of KALE that came back as stake.
    stake: int


def paid_harvests(
    foreign_harvest: ForeignHarvest, blocks: Mapping[int, BlockState]
) -> Sequence[PaidHarvest]:
    """Return the harvests of a transaction; none when the minted amounts do not add up to them.

    One mint for one pail belongs to that pail. With several mints or pails, the contract's formula
    tells which mint belongs to which pail; `blocks` are the blocks that are still alive.
    """
    if len(foreign_harvest.pails) == 1 and len(foreign_harvest.minted) == 1:
        ((index, pail),) = foreign_harvest.pails.items()
        reward = foreign_harvest.minted[0] - pail.stake
        return (
            [PaidHarvest(block_index=index, reward=reward, stake=pail.stake)] if reward >= 0 else []
        )
    found = [
        PaidHarvest(
            block_index=index, reward=reward_of(blocks.get(index), _grown(pail)), stake=pail.stake
        )
        for index, pail in foreign_harvest.pails.items()
    ]
    paid = sorted(item.reward + item.stake for item in found if item.reward + item.stake)
    return found if paid == sorted(foreign_harvest.minted) else []


def _grown(pail: PailState) -> Grown | None:
    if pail.gap is None or pail.zeros is None:
        return None
    return Grown(stake=pail.stake, gap=pail.gap, zeros=pail.zeros)
