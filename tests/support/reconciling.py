"""Stand-ins for reconciliation: records that may change while they are compared, and a chain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from libs.common.ids import WalletId
from services.wallet.chain import Place
from services.wallet.domain.chain_facts import AccountState, BlockState, LedgerHead, PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest
from services.wallet.domain.reconciling import Balance, Difference, Finding, Kept, Told
from services.wallet.domain.trust import Decision
from services.wallet.engine.reconcile.reconciler import Reconciler, Report
from services.wallet.engine.wakeup import Wakeup

#: The ledger that is read, the open block, and the ledger in which all here was planted.
LEDGER, CURRENT, PLANTED = 200, 7, 150
#: More often nobody looks for harvests who comes to an end.
_MOST_SEARCHES = 50

BLOCK = BlockState(
    index=0,
    timestamp=1,
    entropy=bytes(32),
    min_gap=1,
    max_gap=20,
    min_stake=0,
    max_stake=1000,
    min_zeros=1,
    max_zeros=9,
    staked_total=5000,
    normalized_total=50_000,
    live_until=10**6,
    modified=PLANTED,
)


def wallet(number: int) -> WalletId:
    """Return the id of a farmer's wallet; ids are in the order of the numbers."""
    return WalletId(UUID(int=number))


def kept(number: int = 1, *, block: int = CURRENT, **fields: Any) -> Kept:
    """Return a farmer's records in a block: nothing, unless told otherwise."""
    values: dict[str, Any] = {
        "stake": None,
        "zeros": None,
        "is_harvested": False,
        "is_moving": False,
        "ledger": PLANTED,
        "planted_ledger": PLANTED,
    }
    return Kept(
        wallet_id=wallet(number), address=f"G{number}", block_index=block, **{**values, **fields}
    )


def pail(stake: int = 5, zeros: int | None = None) -> PailState:
    """Return a pail."""
    gap = None if zeros is None else 3
    return PailState(sequence=PLANTED, stake=stake, gap=gap, zeros=zeros, live_until=10**6)


def balance(number: int = 1, **fields: Any) -> Balance:
    """Return a farmer's balance at the last look: 50 at ledger 100, nothing since."""
    values: dict[str, Any] = {
        "since": 100,
        "kale": 50,
        "moved": 0,
        "is_moving": False,
        "ledger": 0,
    }
    return Balance(wallet_id=wallet(number), address=f"G{number}", **{**values, **fields})


class Chain:
    """A node, and what several nodes agree on where that is something else."""

    def __init__(self) -> None:
        self.configured = 1
        self.ledger, self.oldest = LEDGER, 1
        self.pails_shown: dict[Place, PailState] = {}
        self.kale: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.expired: set[int] = set()
        self.foreign: list[ForeignHarvest] | Exception = []
        #: What several nodes say; None: the same.
        self.agreed: Chain | None = None
        self.decisions: list[Decision] = []
        #: The first ledgers from which harvests were asked for, and of whom.
        self.searches: list[tuple[int, list[str]]] = []
        self.blocks_read: list[int] = []
        self.account_reads = 0

    def trusted(self, decision: Decision) -> "Chain":
        """As the chain's."""
        self.decisions.append(decision)
        return self.agreed or self

    async def head(self) -> LedgerHead:
        """As the chain's."""
        return LedgerHead(sequence=self.ledger, close_time=1, oldest=self.oldest)

    async def block(self, index: int) -> BlockState | None:
        """As the chain's."""
        self.blocks_read.append(index)
        return None if index in self.expired else replace(BLOCK, index=index)

    async def pails(self, places: Sequence[Place]) -> dict[Place, PailState]:
        """As the chain's."""
        return {place: self.pails_shown[place] for place in places if place in self.pails_shown}

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's: 50 stroops each, unless told otherwise."""
        self.account_reads += 1
        return self.ledger, [
            AccountState(address=item, exists=True, kale=self.kale.get(item, 50))
            for item in addresses
        ]

    async def sequences(self, addresses: Sequence[str]) -> tuple[int, dict[str, int]]:
        """As the chain's."""
        return self.ledger, {item: self.numbers[item] for item in addresses}

    async def foreign_harvests(
        self, addresses: Sequence[str], *, first: int
    ) -> list[ForeignHarvest]:
        """As the chain's."""
        assert len(self.searches) < _MOST_SEARCHES
        self.searches.append((first, list(addresses)))
        if isinstance(self.foreign, Exception):
            raise self.foreign
        return self.foreign


class Store:
    """Records, and what was written."""

    def __init__(self) -> None:
        self.rows: list[Kept] = []
        #: What the records are when they are read again.
        self.later: dict[WalletId, Kept | Balance] = {}
        self.events: dict[WalletId, Told] = {}
        self.balance_rows: list[Balance] = []
        self.undone: list[Any] = []
        self.differing: list[int] = []
        self.asked: list[tuple[int, WalletId | None, int]] = []
        self.planted: list[WalletId] = []
        self.worked: list[WalletId] = []
        self.queued: list[WalletId] = []
        self.denials: list[Any] = []
        self.denied_by: list[tuple[int, list[Difference], list[WalletId]]] = []
        self.noted: list[tuple[Difference, WalletId, int]] = []
        self.findings: list[Finding] = []
        self.gone: list[tuple[int, list[WalletId], list[Difference], str]] = []
        self.saved: dict[WalletId, tuple[int, int]] = {}
        self.harvests: list[tuple[WalletId, int]] = []
        self._is_read: set[WalletId] = set()

    async def kept(self, block: int, *, after: WalletId | None, limit: int) -> list[Kept]:
        """As the store's."""
        self.asked.append((block, after, limit))
        found = [
            cast(Kept, self._row(item))
            for item in self.rows
            if item.block_index == block and (after is None or item.wallet_id > after)
        ]
        return found[:limit]

    def _row(self, item: Kept | Balance) -> Kept | Balance:
        first = item.wallet_id not in self._is_read
        self._is_read.add(item.wallet_id)
        return item if first else self.later.get(item.wallet_id, item)

    async def told(self, _block: int, wallets: Sequence[WalletId]) -> dict[WalletId, Told]:
        """As the store's: events as the records, unless told otherwise."""
        same = {
            item.wallet_id: Told(
                wallet_id=item.wallet_id,
                stake=item.stake,
                zeros=item.zeros,
                is_harvested=item.is_harvested,
                is_fresh=any(whose == item.wallet_id for whose, _ in self.harvests),
            )
            for item in self.rows
        }
        return {item: (same | self.events)[item] for item in wallets}

    async def insert_plant(self, item: Kept, _pail: PailState) -> None:
        """As the store's."""
        self.planted.append(item.wallet_id)

    async def insert_work(self, item: Kept, _pail: PailState) -> None:
        """As the store's."""
        self.worked.append(item.wallet_id)

    async def queue_harvest(self, item: Kept) -> None:
        """As the store's."""
        self.queued.append(item.wallet_id)

    async def insert_harvest(
        self, whose: WalletId, block: int, _paid: object, _foreign: ForeignHarvest
    ) -> bool:
        """As the store's."""
        if (whose, block) in self.harvests:
            return False
        self.harvests.append((whose, block))
        return True

    async def denied(
        self, block: int, findings: Sequence[Finding], pails: Mapping[WalletId, PailState]
    ) -> list[Any]:
        """As the store's."""
        self.denied_by.append((block, [item.kind for item in findings], sorted(pails)))
        return self.undone

    async def deny(self, never: Sequence[Any]) -> int:
        """As the store's."""
        self.denials += never
        return len(never)

    async def note(self, findings: Sequence[Finding], *, ledger: int) -> int:
        """As the store's: nothing was known before."""
        self.findings += findings
        self.noted += [(item.kind, item.wallet_id, ledger) for item in findings]
        return len(findings)

    async def settle_gone(
        self, block: int, wallets: Sequence[WalletId], found: Sequence[Finding], *, how: str
    ) -> None:
        """As the store's."""
        self.gone.append((block, list(wallets), [item.kind for item in found], how))

    async def differing_blocks(self, **_: int) -> list[int]:
        """As the store's."""
        return self.differing

    async def balances(self, *, after: WalletId | None, limit: int) -> list[Balance]:
        """As the store's."""
        found = [
            cast(Balance, self._row(item))
            for item in self.balance_rows
            if after is None or item.wallet_id > after
        ]
        return found[:limit]

    async def save_balances(self, kale: Mapping[WalletId, int], *, ledger: int) -> None:
        """As the store's."""
        self.saved |= {item: (stroops, ledger) for item, stroops in kale.items()}


class ReconcileWorld:
    """A reconciler over stand-ins."""

    def __init__(self, *rows: Kept, current: int | None = CURRENT) -> None:
        self.chain, self.store, self.changes = Chain(), Store(), Wakeup()
        self.store.rows = list(rows)
        head = SimpleNamespace(current_block=current)
        self.reconciler = Reconciler(
            cast(Any, self.chain),
            cast(Any, self.store),
            cast(Any, SimpleNamespace(current=SimpleNamespace(head=head))),
            self.changes,
        )

    def show(self, number: int, found: PailState, *, block: int = CURRENT) -> None:
        """Have the chain show a farmer's pail."""
        self.chain.pails_shown[f"G{number}", block] = found

    async def run(self) -> Report:
        """Compare everything once."""
        return await self.reconciler.run()

    @property
    def kinds(self) -> list[tuple[Difference, WalletId]]:
        """Return the differences that were noted."""
        return [(kind, whose) for kind, whose, _ in self.store.noted]


def beside(chain: Chain) -> Chain:
    """Return what several nodes say, for now the same as one of them."""
    agreed = Chain()
    agreed.pails_shown, agreed.kale = dict(chain.pails_shown), dict(chain.kale)
    agreed.decisions = chain.decisions
    chain.agreed, chain.configured = agreed, 2
    return agreed


def moving(item: Kept) -> Kept:
    """Return records of which something is on its way."""
    return replace(item, is_moving=True)
