"""Plans by which a pool farms, what the network charges, and what plans come to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pooler.strategies import harvests, stake, timing, works, zeros
from pooler.strategies.model import (
    EarlyStrategy,
    HarvestStrategy,
    Learned,
    SendFacts,
    SendStrategy,
    StakeStrategy,
    ZerosStrategy,
)
from trials.yields.hashes import Sharing, fewest_first
from trials.yields.world import Scene

#: Works that are sent, by the ledger after which they are.
Sends = Mapping[int, int]
#: Picks them for a scene, knowing all of it and what strategies are told.
Sender = Callable[[Scene, SendFacts], Sends]


@dataclass(frozen=True, kw_only=True)
class Fees:
    """Stroops of XLM that the network charges, as measured by `make bench` with multicalls."""

    #: A plant with a stake, and one without.
    plant_staked: int = 24_972
    plant: int = 18_695
    #: A work, and a harvest.
    work: int = 4_976
    harvest: int = 9_989
    #: What a further harvest of the same farmer costs less in the same transaction, which reads and
    #: writes the farmer's trustline once: as measured with three blocks of a farmer together.
    harvest_saved: int = 4_287


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the pool farms."""

    #: What it is called.
    name: str
    #: The strategies.
    stake: StakeStrategy = stake.full
    zeros: ZerosStrategy = zeros.cap
    send: SendStrategy = timing.late
    early: EarlyStrategy = works.once
    #: How hashes are shared.
    sharing: Sharing = fewest_first
    #: Zeros that end mining for a farmer whatever the strategy says.
    enough: int = 64
    #: Part of works that may come too late, with a stake and without.
    risk: float = 1e-5
    reward_risk: float = 1e-2
    #: Part of the block for `share`.
    share: float = 0.8
    #: What is known of the world from the start and for good, in place of what is learned.
    known: Learned | None = None
    #: Picks the ledgers itself, in place of the strategy.
    sender: Sender | None = None
    #: When blocks are harvested, and how many together at most.
    harvests: HarvestStrategy = harvests.each
    group: int = 1


@dataclass(kw_only=True)
class Outcome:
    """What a plan came to in a world; yields after the warm-up, losses of all blocks."""

    #: The plan.
    plan: Plan
    #: Blocks of farmers that were planted, and those of them that no work reached in time.
    planted: int = 0
    lost: int = 0
    #: How many of them were to be expected when their works were sent, by the world's true chances.
    expected_lost: float = 0.0
    #: Blocks of farmers after the warm-up.
    farmer_blocks: int = 0
    #: Stroops of KALE paid without stakes, and of stakes that were lost.
    rewards: int = 0
    stakes_lost: int = 0
    #: Stroops of XLM.
    fees: int = 0
    #: Sums over farmers: gaps, zeros, stroops staked, stroops that waited for a later harvest.
    gaps: int = 0
    zeros: int = 0
    stakes: int = 0
    idle: int = 0
    #: Blocks harvested, and in how many goes.
    harvested: int = 0
    harvests: int = 0

    @property
    def kale_each(self) -> float:
        """Return the stroops of KALE per farmer and block, lost stakes taken off."""
        return (self.rewards - self.stakes_lost) / max(1, self.farmer_blocks)

    @property
    def xlm_per_kale(self) -> float:
        """Return the XLM that a KALE cost."""
        return self.fees / max(1, self.rewards - self.stakes_lost)

    @property
    def lost_share(self) -> float:
        """Return the part of farmer-blocks that was expected to be lost.

        It says more than the part that was lost: what happens once in 100,000 blocks need not
        happen in a thousand.
        """
        return self.expected_lost / max(1, self.planted)
