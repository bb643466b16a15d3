"""Strategies for who takes part in a block: the profitability gate, and what a block will pay."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from libs.kale.reward import BlockStats, block_reward, weights
from pooler.strategies.model import GateFacts, GateStrategy


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is expected of one farmer's part in the next block."""

    #: Ledgers between its plant and its work.
    gap: int
    #: Stroops of KALE.
    stake: int
    #: Mean zeros of its work.
    zeros: float
    #: Stroops of XLM that its plant, work and harvest cost.
    fees: int


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of one KALE and of one XLM, in the same currency; None where they are not known."""

    kale: Decimal | None = None
    xlm: Decimal | None = None


def always(_facts: GateFacts) -> bool:
    """Take part in every block."""
    return True


def profitable(facts: GateFacts) -> bool:
    """Take part unless the expected reward is worth less than the fees.

    Without both prices nobody can tell, and the farmer takes part.
    """
    if facts.kale_price is None or facts.xlm_price is None:
        return True
    return facts.reward * facts.kale_price >= facts.fees * facts.xlm_price


def who_takes_part(
    gate: GateStrategy,
    closed: BlockStats,
    *,
    index: int,
    ours: int,
    outlooks: Sequence[Outlook],
    prices: Prices,
) -> list[bool]:
    """Ask the gate about each farmer: what will block `index` pay it, were it like the closed one?

    `closed` is the last block whose works are all counted, and `ours` the weight of our farmers'
    works in it. Farmers share the pot with each other, too: they are asked in the order of their
    weights, and each is reckoned beside those who take part already. Else all would leave a block
    at once that pays for some, and all come back to the next one.
    """
    pot = block_reward(index) + closed.staked_total
    weight_of = [_expected_weight(closed, one) for one in outlooks]
    total = closed.normalized_total - ours
    taking_part = [False] * len(outlooks)
    for number in sorted(range(len(outlooks)), key=lambda number: -weight_of[number]):
        weight = weight_of[number]
        facts = GateFacts(
            reward=weight * pot // max(1, total + weight),
            fees=outlooks[number].fees,
            kale_price=prices.kale,
            xlm_price=prices.xlm,
        )
        taking_part[number] = gate(facts)
        total += weight if taking_part[number] else 0
    return taking_part


def weight_in(block: BlockStats, works: Iterable[tuple[int, int, int]]) -> int:
    """Return the weight of works, each a gap, a stake in stroops and zeros, in a block."""
    return sum(
        weights(block, gap=gap, stake=stake, zeros=zeros).total for gap, stake, zeros in works
    )


def _expected_weight(block: BlockStats, outlook: Outlook) -> int:
    """Return a weight between those of the two numbers of zeros beside the mean."""
    fewer = int(outlook.zeros)
    low, high = (
        weights(block, gap=outlook.gap, stake=outlook.stake, zeros=zeros).total
        for zeros in (fewer, fewer + 1)
    )
    return low + int((outlook.zeros - fewer) * (high - low))
