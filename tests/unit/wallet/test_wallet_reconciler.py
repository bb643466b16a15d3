"""Balances that differ are explained later, while nobody tells of harvests; blocks looked at."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from libs.common.ids import WalletId
from services.wallet.chain.errors import StaleAnswerError
from services.wallet.domain.reconciling import Balance, Difference, Finding
from services.wallet.engine.reconcile.reconciler import Reconciler
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.reconcile import ReconcileStore

SOUND, RICHER = WalletId(UUID(int=1)), WalletId(UUID(int=2))


def balance(wallet_id: WalletId) -> Balance:
    return Balance(
        wallet_id=wallet_id,
        address=f"G{wallet_id.int}",
        since=100,
        kale=50,
        moved=0,
        is_moving=False,
        ledger=0,
    )


class Chain:
    """One of the two has more KALE than before."""

    configured = 1

    def __init__(self, *, tells: bool) -> None:
        self._tells = tells

    def trusted(self, _: object) -> "Chain":
        """There is only this one."""
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[SimpleNamespace]]:
        """As they are at ledger 200."""
        kale = {"G1": 50, "G2": 80}
        return 200, [SimpleNamespace(address=one, kale=kale[one]) for one in addresses]

    async def foreign_harvests(self, _: object, *, first: int) -> list[Any]:
        """No harvests, if it tells."""
        assert first == 101
        if not self._tells:
            raise StaleAnswerError("not yet")
        return []


class Store:
    """What was written."""

    def __init__(self) -> None:
        self.noted: list[tuple[Difference, WalletId]] = []
        self.saved: dict[WalletId, int] = {}
        self.settled: list[WalletId] = []

    async def balances(self, *, after: WalletId | None, limit: int) -> list[Balance]:
        """One page."""
        found = [balance(one) for one in (SOUND, RICHER) if after is None or one > after]
        return found[:limit]

    async def note(self, findings: Sequence[Finding], *, ledger: int) -> int:
        """Differences."""
        assert ledger == 200
        self.noted += [(item.kind, item.wallet_id) for item in findings]
        return len(findings)

    async def save_balances(self, kale: Mapping[WalletId, int], *, ledger: int) -> None:
        """From now on told from here."""
        assert ledger == 200
        self.saved |= kale

    async def settle_gone(
        self, block: int, wallets: Sequence[WalletId], _: object, *, how: str
    ) -> None:
        """Closes what was told."""
        assert (block, how) == (0, "counted in")
        self.settled += wallets


@pytest.mark.parametrize("tells", [True, False])
async def test_what_may_still_be_explained_is_not_counted_in(*, tells: bool) -> None:
    chain_view = SimpleNamespace(current=SimpleNamespace(head=SimpleNamespace(current_block=None)))
    chain, store = cast(Any, Chain(tells=tells)), Store()
    reconciler = Reconciler(chain, cast(ReconcileStore, store), cast(Any, chain_view), Wakeup())
    await reconciler.run()
    assert store.noted == [(Difference.BALANCE_DIFFERS, RICHER)]
    assert store.saved == {SOUND: 50} | ({RICHER: 80} if tells else {})
    assert store.settled == [SOUND, RICHER] if tells else [SOUND]


class Visits:
    """A store with open differences, and a chain that has no block: which blocks are looked at."""

    configured = 1

    def __init__(self, *differing: int) -> None:
        self._differing = differing
        self.looked_at: list[int] = []

    async def balances(self, **_: object) -> list[Balance]:
        """None."""
        return []

    async def differing_blocks(self, *, first: int, before: int, limit: int) -> list[int]:
        """As the store's."""
        return [item for item in self._differing if first <= item < before][:limit]

    async def block(self, index: int) -> None:
        """Every block has expired."""
        self.looked_at.append(index)

    async def kept(self, block: int, **_: object) -> list[object]:
        """Nothing is recorded in the next block."""
        return []


@pytest.mark.parametrize(
    ("current", "differing", "expected"),
    [
        (5, (), range(6)),
        (40, (), range(29, 41)),
        (40, (7, 28, 29), [7, 28, *range(29, 41)]),
        # What is older than a day of blocks has no pails any more.
        (400, (111, 112), [112, *range(389, 401)]),
        (400, range(300, 330), [*range(300, 312), *range(389, 401)]),
    ],
)
async def test_older_blocks_are_looked_at_while_something_differs_there(
    current: int, differing: Sequence[int], expected: Sequence[int]
) -> None:
    head = SimpleNamespace(current_block=current)
    chain_view = SimpleNamespace(current=SimpleNamespace(head=head))
    visits = cast(Any, Visits(*differing))
    await Reconciler(visits, visits, cast(Any, chain_view), Wakeup()).run()
    assert visits.looked_at == list(expected)
