"""Fee budgets: the most that may be bid within a day, and the reserve for works and harvests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.common.ids import PoolerId
from services.wallet.domain.chain_facts import BASE_RESERVE


@dataclass(frozen=True, kw_only=True)
class FeeTerms:
    """The operator's limits, in stroops of XLM."""

    #: Limit for all transactions within 24 hours; 0: no limit.
    daily: int = 0
    #: Limit for the transactions of one pooler's farmers within 24 hours; 0: no limit.
    daily_per_pooler: int = 0
    #: Reserve for each work and harvest that is still to follow a plant.
    reserve: int = 0
    #: Limit for extending the lives of the entries that calls need, within 24 hours, apart from all
    #: other limits; 0: nothing may be spent.
    rent_daily: int = 0

    @property
    def has_caps(self) -> bool:
        """Tell whether anything but the treasury's balance limits a bid."""
        return bool(self.daily or self.daily_per_pooler)


#: Stroops of XLM that the treasury sponsors for a farmer: two reserves of its account, and one of
#: its trustline.
SPONSORED = 3 * BASE_RESERVE


@dataclass(frozen=True, kw_only=True)
class SponsorTerms:
    """The operator's limits for reserves of new accounts within 24 hours, in stroops of XLM."""

    #: Limit for the farmers of one pooler; 0: no limit.
    pooler: int = 0
    #: Limit for all farmers, and for poolers' own accounts, together; 0: no limit.
    pool: int = 0


@dataclass(frozen=True, kw_only=True)
class Books:
    """Stroops that are spent or may be spent, by pooler; None stands for the pool itself."""

    #: Stroops charged within 24 hours, or bid by transactions in flight.
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
    """Return what a transaction may cost each pooler.

    `poolers` has one entry for each operation in the transaction. The share of each operation is
    rounded up, so the sum is never below the bid.
    """
    each = -(-bid // max(1, len(poolers)))
    costs: dict[PoolerId | None, int] = {}
    for pooler in poolers or [None]:
        costs[pooler] = costs.get(pooler, 0) + each
    return costs


class Purse:
    """Count of the bids: it decides for one envelope after the other whether it may be signed."""

    def __init__(self, terms: FeeTerms, books: Books) -> None:
        self._terms = terms
        self._spent = Counter(books.committed)
        self._obligations = Counter(books.obligations)
        # Sums over all poolers, as there may be many, and each plant needs the sums.
        self._all_spent = sum(books.committed.values())
        self._all_obligations = sum(books.obligations.values())
        # The bid of a transaction in flight is not taken off the balance before a ledger takes it.
        self._treasury = books.treasury

    def exceeded(
        self, costs: Costs, *, plants: Sequence[PoolerId | None] = ()
    ) -> frozenset[PoolerId | None]:
        """Return the poolers whose bids among these do not fit.

        When all bids fit, the result is empty and the bids count from now on. `plants` has the
        pooler of each plant that the envelope carries.

        Works and harvests may use a budget up to its last stroop. Plants may use only what the
        works and harvests that follow do not need. The treasury's balance stops plants alone: what
        was planted is worth trying to harvest until the network itself refuses.
        """
        keeps = bool(plants)
        beyond = [who for who, cost in costs.items() if not self._fits(who, cost, keeps=keeps)]
        if beyond:
            return frozenset(beyond)
        cost = sum(costs.values())
        kept = self._kept(self._all_obligations) if plants else 0
        if self._terms.daily and self._all_spent + cost + kept > self._terms.daily:
            return frozenset(costs)
        if plants and cost + kept > self._treasury:
            return frozenset(costs)
        for pooler, part in costs.items():
            self._spent[pooler] += part
        for pooler in plants:
            self._obligations[pooler] += _FOLLOWING
        self._all_spent += cost
        self._all_obligations += _FOLLOWING * len(plants)
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
