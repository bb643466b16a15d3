"""The events that a pooler reports while it runs, for the code that shows them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from client import BatchSummary, Enrolled, PoolerId, PoolError, SweepSummary
from pooler.strategies.choice import StrategyNames


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Pooler and farmers are known to the pool."""

    #: The pooler's id.
    pooler_id: PoolerId
    #: Active farmers.
    farmers: int
    #: Active farmers that have their account on the chain.
    funded: int


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Nothing can be done until something happens."""

    #: In words, what the pooler waits for.
    what: str


@dataclass(frozen=True, kw_only=True)
class SatOut:
    """Farmers whose reward would be worth less than their fees are not planted in a block."""

    #: Index of the block.
    block_index: int
    #: How many sit out, of how many.
    farmers: int
    of: int
    #: Stroops of XLM that a farmer's plant, work and harvest cost.
    fees: int


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A Plant call is answered."""

    #: The result of the call.
    summary: BatchSummary


@dataclass(frozen=True, kw_only=True)
class Mining:
    """The progress of the search; comes about twice a second."""

    #: Index of the block.
    block_index: int
    #: Seconds since it began, and those from then on until somebody may open the next block.
    seconds: float
    budget: float
    #: Hashes over all engines.
    hashes: int
    #: Hashes a second since it began, by engine.
    rates: Mapping[str, float]
    #: Farmers with a nonce, by its zeros.
    zeros: Mapping[int, int]
    #: Whether it is over: all works are sent, or the next block is open.
    is_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Worked:
    """A SubmitWork call is answered."""

    #: The result of the call.
    summary: BatchSummary


@dataclass(frozen=True, kw_only=True)
class Harvested:
    """A Harvest call is answered."""

    #: The result of the call.
    summary: BatchSummary


@dataclass(frozen=True, kw_only=True)
class Swept:
    """A HarvestPending call is answered."""

    #: The result of the call.
    summary: SweepSummary


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something failed; the pooler goes on."""

    #: The attempt that failed, such as "plant block 7".
    what: str
    #: The error in words.
    error: str
    #: Seconds until the next try; None when it is given up.
    retry_in: float | None


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """The pooler begins, and decides by these strategies."""

    #: Their names.
    strategies: StrategyNames


@dataclass(frozen=True, kw_only=True)
class ServingMiners:
    """Miners can connect."""

    #: Where.
    host: str
    port: int


Event = (
    Deciding
    | ServingMiners
    | Registered
    | Waiting
    | SatOut
    | Planted
    | Mining
    | Worked
    | Harvested
    | Swept
    | Trouble
)
Observer = Callable[[Event], None]


def trouble(what: str, error: PoolError) -> Trouble:
    """Return the event of a call that failed for good."""
    return Trouble(what=what, error=f"{error.reason}: {error}", retry_in=None)


def registered(enrolled: Enrolled) -> Registered:
    """Return the event of an enrolment that has come so far."""
    return Registered(
        pooler_id=enrolled.pooler_id, farmers=enrolled.farmers, funded=enrolled.funded
    )
