"""The facts that strategies decide by, and the kinds of strategies.

Rules of the contract that they follow from: a work counts by its gap (ledgers since the farmer's
plant), its stake and its zeros, each only within the extremes of the block before; who never works
loses the stake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal


class StrategyError(Exception):
    """A strategy's name names nothing, or what it names is no function."""


@dataclass(frozen=True, kw_only=True)
class StakeFacts:
    """What decides the stake of one farmer in one block."""

    #: Stroops of KALE that the farmer has on the chain before its plant.
    balance: int
    #: Stroops of its plants in earlier blocks that are not harvested yet. They come back before the
    #: next block's plant, where that plant needs them.
    locked: int
    #: Stroops that this plant may stake by the farmer's agreement.
    agreed: int
    #: The block's max_stake in stroops: more earns nothing in it. None when it is not known.
    max_stake: int | None


@dataclass(frozen=True, kw_only=True)
class ZerosFacts:
    """What decides how many zeros a farmer is mined for."""

    #: The block's min_zeros: fewer weigh as this many.
    min_zeros: int
    #: The block's max_zeros: more weigh as this many.
    max_zeros: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How works reach ledgers, as learned from blocks before."""

    #: Ledgers from the sending to the first one that can have a work; 1 is the very next one.
    delay: int
    #: Works that a ledger takes at least.
    per_ledger: int
    #: Whether ledgers of late were seen to take no more.
    is_full: bool
    #: Chance that a ledger takes none of the pool's transactions, from 0 to 1.
    loss: float


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What earlier ledgers and blocks teach about the end of this one."""

    #: How works reach ledgers.
    pace: Pace
    #: Seconds between two ledgers, with the chance of each; the chances add up to 1.
    spans: tuple[tuple[int, float], ...]
    #: Chance that nobody has opened the next block by a ledger that closes 0, 1, 2 ... seconds
    #: after the interval; 0 beyond the last one.
    still_open: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SendFacts:
    """What decides how many works are sent now; the others wait for the next ledger."""

    #: Works that are not sent yet.
    works: int
    #: Newest ledger.
    ledger: int
    #: Its close time, unix seconds.
    close_time: int
    #: The chain's clock: that close time, and the seconds that have passed since.
    now: float
    #: Close time of the block's first ledger, unix seconds.
    opened_at: int
    #: From this close time on a plant ends the block, unix seconds.
    closes_at: int
    #: Ledger of the plants that these works are for; the last one of them.
    planted: int
    #: The block's min_gap and max_gap in ledgers: less and more weigh as much as these.
    min_gap: int
    max_gap: int
    #: Mean weight of stake and zeros of these works, in parts of the gap's greatest weight: 0 to 2.
    others: float
    #: How much that weight is expected to grow by one more ledger of mining.
    growth: float
    #: What earlier ledgers and blocks teach.
    learned: Learned
    #: Part of these works that may be expected to come too late. The pooler gives one limit for
    #: works whose stake is lost then, and a looser one for those that lose a reward only.
    risk: float
    #: Part of the block after which `share` sends.
    share: float


@dataclass(frozen=True, kw_only=True)
class EarlyFacts:
    """What decides whether a farmer shows a poor nonce soon after its plant."""

    #: Newest ledger.
    ledger: int
    #: Ledger of the farmer's plant.
    planted: int
    #: Stroops of its stake.
    stake: int


@dataclass(frozen=True, kw_only=True)
class HarvestFacts:
    """What decides which blocks are harvested now."""

    #: Closed blocks with works that are not harvested, oldest first.
    closed: tuple[int, ...]
    #: Last ledger in which each of them can be harvested.
    expires: tuple[int, ...]
    #: Newest ledger.
    ledger: int
    #: Stroops by which the next plants would stake less, if nothing were harvested before.
    short: int
    #: Stroops of XLM that each further block of a farmer costs less in the same transaction.
    saved: int
    #: Blocks that are harvested together at most.
    group: int


@dataclass(frozen=True, kw_only=True)
class GateFacts:
    """What decides whether one farmer takes part in the next block."""

    #: Stroops of KALE that the block is expected to pay to it, without the stake.
    reward: int
    #: Stroops of XLM that its plant, work and harvest cost.
    fees: int
    #: Price of one KALE and of one XLM, in the same currency; None when it is not known.
    kale_price: Decimal | None
    xlm_price: Decimal | None


#: Returns the stroops to stake. More than the agreement or the balance allows counts as that much.
StakeStrategy = Callable[[StakeFacts], int]
#: Returns the zeros from which on a farmer is not mined for any more, 0 to 64.
ZerosStrategy = Callable[[ZerosFacts], int]
#: Returns how many works are sent now, 0 to all; it is asked at every ledger until all are sent.
SendStrategy = Callable[[SendFacts], int]
#: Tells whether the farmer's first nonce is sent now, before the best one is known.
EarlyStrategy = Callable[[EarlyFacts], bool]
#: Returns those of the closed blocks that are harvested now.
HarvestStrategy = Callable[[HarvestFacts], tuple[int, ...]]
#: Tells whether the farmer takes part in the next block.
GateStrategy = Callable[[GateFacts], bool]


@dataclass(frozen=True, kw_only=True)
class Strategies:
    """The strategies of one pooler."""

    #: The stake of each farmer.
    stake: StakeStrategy
    #: When a farmer has enough zeros.
    zeros: ZerosStrategy
    #: When works are sent.
    send: SendStrategy
    #: Whether a poor work is shown early.
    early: EarlyStrategy
    #: When blocks are harvested.
    harvests: HarvestStrategy
    #: Who takes part.
    gate: GateStrategy
