"""When farmers whose account or line has gone are brought back."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import structlog

from libs.common.ids import WalletId, new_id
from services.wallet.chain import MAX_FARMERS
from services.wallet.domain.trust import Decision
from services.wallet.engine.treasury.lost_farmers import LostFarmers
from services.wallet.engine.wakeup import Wakeup

FIRST, SECOND, THIRD = (WalletId(new_id()) for _ in range(3))


class World:
    """A database and a chain that show what a test says."""

    def __init__(self) -> None:
        self.ledger = 100
        self.chain_view = SimpleNamespace(is_fresh=True)
        self.accounts_read = SimpleNamespace(can_pay=True)
        self.changes = Wakeup()
        self.seeming: dict[WalletId, str] = {}
        #: Addresses whose account, and whose line, is on the chain.
        self.funded: set[str] = set()
        self.lines: set[str] = set()
        #: What is on the way already.
        self.known: set[WalletId] = set()
        self.brought: list[tuple[WalletId, int]] = []
        self.looks = 0
        self.steps = LostFarmers(
            store=cast("Any", self),
            chain=cast("Any", self),
            chain_view=cast("Any", self.chain_view),
            accounts=cast("Any", self.accounts_read),
            changes=self.changes,
        )

    async def find(self, *, limit: int) -> dict[WalletId, str]:
        """As the store's."""
        assert limit == MAX_FARMERS
        self.looks += 1
        return self.seeming

    async def bring_back(self, wallets: Sequence[WalletId], *, ledger: int) -> int:
        """As the store's."""
        new = [wallet for wallet in wallets if wallet not in self.known]
        self.brought += [(wallet, ledger) for wallet in new]
        return len(new)

    def trusted(self, decision: Decision) -> "World":
        """As the chain's."""
        assert decision is Decision.BRING_BACK
        return self

    async def accounts(self, addresses: list[str]) -> tuple[int, list[Any]]:
        """As the chain's, of the ledger before."""
        return self.ledger - 1, [
            SimpleNamespace(address=one, exists=one in self.funded, has_trustline=one in self.lines)
            for one in addresses
        ]

    async def step(self) -> bool:
        """Do one step at the ledger as it is now."""
        self.chain_view.current = SimpleNamespace(ledger=SimpleNamespace(sequence=self.ledger))
        return await self.steps.step()


async def test_who_has_no_account_or_no_line_is_brought_back_and_nobody_else() -> None:
    world = World()
    world.seeming = {FIRST: "GONE", SECOND: "NOLINE", THIRD: "THERE"}
    world.funded, world.lines = {"NOLINE", "THERE"}, {"THERE"}
    seen = world.changes.count
    with structlog.testing.capture_logs() as lines:
        assert await world.step()
    assert world.brought == [(FIRST, 99), (SECOND, 99)]
    assert world.changes.count == seen + 1
    (line,) = lines
    assert (line["count"], line["wallets"]) == (2, [str(FIRST), str(SECOND)])


async def test_what_agrees_with_the_chain_asks_for_nothing() -> None:
    world = World()
    assert not await world.step()
    world.seeming, world.funded, world.lines = {FIRST: "THERE"}, {"THERE"}, {"THERE"}
    world.ledger += 12
    seen = world.changes.count
    assert not await world.step()
    assert (world.looks, world.brought, world.changes.count) == (2, [], seen)


async def test_who_is_on_the_way_already_is_told_once() -> None:
    world = World()
    world.seeming, world.known = {FIRST: "GONE"}, {FIRST}
    with structlog.testing.capture_logs() as lines:
        assert not await world.step()
    assert lines == []


async def test_it_looks_every_twelfth_ledger() -> None:
    world = World()
    await world.step()
    for _ in range(11):
        world.ledger += 1
        await world.step()
    assert world.looks == 1
    world.ledger += 1
    await world.step()
    assert world.looks == 2


async def test_it_waits_for_the_chain_and_for_a_treasury_that_can_pay() -> None:
    world = World()
    world.chain_view.is_fresh = False
    assert not await world.step()
    world.chain_view.is_fresh, world.accounts_read.can_pay = True, False
    assert not await world.step()
    assert world.looks == 0
