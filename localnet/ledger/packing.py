"""The choice of pending transactions for a ledger, and the price of inclusion.

The highest bids go first. A ledger that had to leave a transaction out for lack of space charges
every included transaction the lowest included bid (surge pricing). Classic and Soroban transactions
are priced separately.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from localnet.ledger.settings import BASE_FEE, MAX_TX_SET_SIZE, NetworkSettings, Usage
from localnet.ledger.transaction import Transaction


def bid(tx: Transaction) -> Fraction:
    """Return the inclusion fee per operation."""
    return Fraction(tx.inclusion_fee, tx.fee_operations)


def better_fee(tx: Transaction, other: Transaction) -> int:
    """Return the lowest fee with which `tx` would outbid `other`."""
    return tx.resource_fee + int(bid(other) * tx.fee_operations) + 1


@dataclass(frozen=True, kw_only=True)
class TransactionSet:
    """The transactions of a ledger and their base fees."""

    #: Classic transactions.
    classic: tuple[Transaction, ...]
    #: Stroops per operation that classic inclusion costs.
    classic_base_fee: int
    #: Soroban transactions, in clusters that could run side by side.
    clusters: tuple[tuple[Transaction, ...], ...]
    #: Stroops per operation that Soroban inclusion costs.
    soroban_base_fee: int

    @property
    def soroban(self) -> tuple[Transaction, ...]:
        """All Soroban transactions."""
        return tuple(tx for cluster in self.clusters for tx in cluster)


class Clusters:
    """Groups of transactions that touch each other's written entries.

    Dependent transactions run one after another. Each group must therefore fit the instructions of
    one cluster, and all groups together must fit the clusters that a ledger has.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self._capacity = settings.ledger_limit.instructions
        self._bins = settings.clusters
        #: Members and instructions of each group.
        self._groups: dict[int, tuple[list[Transaction], int]] = {}
        #: The group that writes a key.
        self._writers: dict[bytes, int] = {}
        #: The groups that only read a key.
        self._readers: dict[bytes, set[int]] = {}

    def add(self, tx: Transaction) -> bool:
        """Add the transaction; when it does not fit, change nothing and return False."""
        assert tx.soroban is not None  # noqa: S101  (only Soroban transactions have clusters)
        reads, writes = tx.soroban.read_only, tx.soroban.read_write
        joined = {self._writers[k] for k in reads + writes if k in self._writers}
        joined.update(g for k in writes for g in self._readers.get(k, ()))
        members, instructions = [tx], tx.soroban.usage.instructions
        for group in joined:
            members = self._groups[group][0] + members
            instructions += self._groups[group][1]
        apart = [size for g, (_, size) in self._groups.items() if g not in joined]
        if self._pack([*apart, instructions]) is None:
            return False
        self._merge(joined, members, instructions)
        return True

    def _merge(self, joined: set[int], members: list[Transaction], instructions: int) -> None:
        """Make one group of the joined ones; the largest keeps its number."""
        group = max(joined, key=lambda g: len(self._groups[g][0]), default=self._unused())
        moved = members if len(joined) > 1 else members[-1:]
        for group_id in joined:
            del self._groups[group_id]
        self._groups[group] = (members, instructions)
        for tx in moved:
            assert tx.soroban is not None  # noqa: S101  (as above)
            self._writers.update(dict.fromkeys(tx.soroban.read_write, group))
            for key in tx.soroban.read_only:
                readers = self._readers.setdefault(key, set())
                readers -= joined
                readers.add(group)

    def _unused(self) -> int:
        return max(self._groups, default=-1) + 1

    def packed(self) -> tuple[tuple[Transaction, ...], ...]:
        """Return the clusters as they will run."""
        groups = list(self._groups.values())
        places = self._pack([size for _, size in groups]) or []
        bins: list[list[Transaction]] = [[] for _ in range(self._bins)]
        for place, (members, _) in zip(places, groups, strict=True):
            bins[place] += members
        return tuple(tuple(b) for b in bins if b)

    def _pack(self, sizes: Sequence[int]) -> list[int] | None:
        """Return the bin of each size, or None when the sizes do not fit.

        The method is first fit, largest first.
        """
        left = [self._capacity] * self._bins
        places = [0] * len(sizes)
        if sum(sizes) <= self._capacity:
            return places
        for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            place = next((b for b, room in enumerate(left) if room >= sizes[index]), None)
            if place is None:
                return None
            left[place] -= sizes[index]
            places[index] = place
        return places


def total_limit(settings: NetworkSettings) -> Usage:
    """Return a ledger's limit with the instructions of all clusters together."""
    limit = settings.ledger_limit
    more = limit.instructions * (settings.clusters - 1)
    return limit + Usage(instructions=more)


def build_set(candidates: Iterable[Transaction], settings: NetworkSettings) -> TransactionSet:
    """Choose the transactions of a ledger from the candidates."""
    ordered = sorted(candidates, key=lambda tx: (-bid(tx), tx.hash))
    classic, classic_fee = _fill_classic([tx for tx in ordered if not tx.is_soroban])
    clusters, soroban_fee = _fill_soroban([tx for tx in ordered if tx.is_soroban], settings)
    return TransactionSet(
        classic=classic,
        classic_base_fee=classic_fee,
        clusters=clusters,
        soroban_base_fee=soroban_fee,
    )


def _base_fee(included: Sequence[Transaction], left_out: bool) -> int:
    return int(bid(included[-1])) if included and left_out else BASE_FEE


def _fill_classic(ordered: list[Transaction]) -> tuple[tuple[Transaction, ...], int]:
    room, included = MAX_TX_SET_SIZE, []
    for tx in ordered:
        if tx.fee_operations <= room:
            room -= tx.fee_operations
            included.append(tx)
    return tuple(included), _base_fee(included, len(included) < len(ordered))


def _fill_soroban(
    ordered: list[Transaction], settings: NetworkSettings
) -> tuple[tuple[tuple[Transaction, ...], ...], int]:
    limit, used, clusters = total_limit(settings), Usage(), Clusters(settings)
    included = []
    for tx in ordered:
        assert tx.soroban is not None  # noqa: S101  (the queue holds valid ones only)
        if (used + tx.soroban.usage).fits(limit) and clusters.add(tx):
            used += tx.soroban.usage
            included.append(tx)
    return clusters.packed(), _base_fee(included, len(included) < len(ordered))
