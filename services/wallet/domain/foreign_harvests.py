"""Harvests as the chain shows them, by whomever: what each of them paid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.wallet.domain.chain_facts import BlockState, PailState
from services.wallet.domain.forgotten import Grown, reward_of


@dataclass(frozen=True, kw_only=True)
class ForeignHarvest:
    """What one transaction did for one farmer."""

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
    """The harvests of a transaction; none when what was minted does not add up to them.

    One mint for one pail is that pail's. Of several, which is whose follows from the contract's
    formula; `blocks` are those that are still alive.
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
