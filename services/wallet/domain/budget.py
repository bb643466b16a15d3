"""Fee budgets: what may be bid within a day, and what must be left for works and harvests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.ids import PoolerId


@dataclass(frozen=True, kw_only=True)
class FeeTerms:
    """The operator's limits, in stroops of XLM."""

    #: For all transactions within 24 hours; 0: no limit.
    daily: int = 0
    #: For those of one pooler's farmers within 24 hours; 0: no limit.
    daily_per_pooler: int = 0
    #: What is kept back for each work and harvest that is still to follow a plant.
    reserve: int = 0
    #: For longer lives of the entries that calls need, within 24 hours, apart from all others; 0:
    #: nothing.
    rent_daily: int = 0

    @property
    def has_caps(self) -> bool:
        """Whether anything but the treasury's balance limits a bid."""
        return bool(self.daily or self.daily_per_pooler)


@dataclass(frozen=True, kw_only=True)
class Books:
    """What is spent, or may be, by pooler; None stands for the pool itself."""

    #: Stroops charged within 24 hours, or bid by what is in flight.
    committed: Mapping[PoolerId | None, int]
    #: Works and harvests that are to follow.
    obligations: Mapping[PoolerId | None, int]
    #: Stroops that the treasury can spend; bids in flight are not taken off.
    treasury: int


#: A work and a harvest for each plant.
_FOLLOWING = 2
#: Bids by pooler.
Costs = Mapping[PoolerId | None, int]


def shared_costs(bid: int, poolers: Sequence[PoolerId | None]) -> Costs:
    """What a transaction may cost each pooler, one entry of `poolers` for each operation in it.

    Rounded up for each operation, so the sum is never below the bid.
    """
    each = -(-bid // max(1, len(poolers)))
    costs: Counter[PoolerId | None] = Counter()
    for pooler in poolers or [None]:
        costs[pooler] += each
    return costs


class Purse:
    """Says of one envelope after the other whether it may be signed, and keeps count."""

    def __init__(self, terms: FeeTerms, books: Books) -> None:
        self._terms = terms
        self._spent = Counter(books.committed)
        self._obligations = Counter(books.obligations)
        # What is in flight is not taken off the balance before a ledger takes it.
        self._treasury = books.treasury

    def exceeded(
        self, costs: Costs, *, plants: Sequence[PoolerId | None] = ()
    ) -> frozenset[PoolerId | None]:
        """Whose bids among these do not fit; nobody's: they count from now on. `plants` has the
        pooler of each plant that the envelope carries.

        Works and harvests may use a budget up to its last stroop, plants only what is not needed
        for those that follow. The treasury's balance stops plants alone: what was planted is worth
        trying to harvest until the network itself refuses.
        """
        keeps = bool(plants)
        beyond = [who for who, cost in costs.items() if not self._fits(who, cost, keeps=keeps)]
        if beyond:
            return frozenset(beyond)
        cost = sum(costs.values())
        kept = self._kept(sum(self._obligations.values())) if plants else 0
        if self._terms.daily and sum(self._spent.values()) + cost + kept > self._terms.daily:
            return frozenset(costs)
        if plants and cost + kept > self._treasury:
            return frozenset(costs)
        for pooler, part in costs.items():
            self._spent[pooler] += part
        for pooler in plants:
            self._obligations[pooler] += _FOLLOWING
        self._treasury -= cost
        return frozenset()

    def _fits(self, pooler: PoolerId | None, cost: int, *, keeps: bool) -> bool:
        limit = self._terms.daily_per_pooler
        if not limit or pooler is None:
            return True
        kept = self._kept(self._obligations[pooler]) if keeps else 0
        return self._spent[pooler] + cost + kept <= limit

    def _kept(self, operations: int) -> int:
        return operations * self._terms.reserve
