"""The reader of accounts: whose turn it is, what is saved, and when the treasury is funded."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.engine.accounts import CHUNK, ROUND, Accounts

LEDGER = 100
TREASURY = "GTREASURY"


class Chain:
    """Shows accounts, and notes what was asked for in one request."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.xlm: dict[str, int] = {TREASURY: 50}

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        self.asked.append(list(addresses))
        return LEDGER, [
            AccountState(address=item, exists=item in self.xlm, xlm=self.xlm.get(item, 0))
            for item in addresses
        ]


class Store:
    """Has farmers in an order, and keeps what is saved."""

    def __init__(self, count: int) -> None:
        self.farmers = [(WalletId(new_id()), f"G{number}") for number in range(count)]
        self.saved: dict[WalletId, AccountState] = {}

    async def addresses_after(
        self, cursor: WalletId | None, limit: int
    ) -> list[tuple[WalletId, str]]:
        """As the store's."""
        return [item for item in self.farmers if cursor is None or item[0] > cursor][:limit]

    async def save_accounts(self, states: Mapping[WalletId, AccountState], ledger: int) -> None:
        """As the store's."""
        assert ledger == LEDGER
        self.saved |= states


class World:
    """A reader over stand-ins."""

    def __init__(self, *, farmers: int = 0, low: int = 0) -> None:
        self.chain, self.store = Chain(), Store(farmers)
        self.funded = 0

        async def fund() -> None:
            self.funded += 1

        wallet = SimpleNamespace(id=WalletId(new_id()), address=TREASURY)
        self.treasury = SimpleNamespace(is_open=True, wallet=wallet, fund=fund)
        self.accounts = Accounts(
            cast(Any, self.chain), cast(Any, self.store), cast(Any, self.treasury), low=low
        )

    @property
    def read(self) -> list[str]:
        """The addresses that were read, and forget them."""
        found = [item for request in self.chain.asked for item in request]
        self.chain.asked.clear()
        return found


async def test_all_farmers_have_their_turn_with_one_request_a_ledger() -> None:
    world = World(farmers=2 * ROUND + 1)
    seen: list[str] = []
    for _ in range(3):
        await world.accounts.refresh()
        assert len(world.chain.asked) == 1
        seen += world.read
    assert seen.count(TREASURY) == 3
    assert sorted({*seen} - {TREASURY}) == sorted(address for _, address in world.store.farmers)
    await world.accounts.refresh()
    assert world.read[1] == world.store.farmers[0][1]


async def test_touched_accounts_are_read_at_once_and_once() -> None:
    world = World()
    await world.accounts.refresh()
    world.accounts.touch([(WalletId(new_id()), "GTOUCHED")])
    assert world.read == [TREASURY]
    await world.accounts.catch_up()
    assert world.read == ["GTOUCHED"]
    await world.accounts.catch_up()
    assert world.read == []


async def test_a_treasury_that_cannot_pay_is_funded_and_looked_at_before_each_ledger() -> None:
    world = World()
    world.chain.xlm = {}
    await world.accounts.refresh()
    assert (world.accounts.can_pay, world.funded) == (False, 1)
    world.chain.xlm = {TREASURY: 7}
    await world.accounts.catch_up()
    assert (world.accounts.can_pay, world.funded) == (True, 1)
    assert world.accounts.treasury_state is not None


async def test_nothing_is_read_before_the_treasury_is_open() -> None:
    world = World(farmers=3)
    world.treasury.is_open = False
    await world.accounts.refresh()
    assert (world.read, world.accounts.can_pay, world.accounts.treasury_state) == ([], False, None)


async def test_many_are_read_in_several_requests_and_all_are_saved() -> None:
    world = World()
    wallets = {WalletId(new_id()): f"G{number}" for number in range(CHUNK + 1)}
    found = await world.accounts.read(wallets)
    assert [len(request) for request in world.chain.asked] == [CHUNK, 1]
    assert {key: state.address for key, (_, state) in found.items()} == wallets
    assert {ledger for ledger, _ in found.values()} == {LEDGER}
    assert {key: state.address for key, state in world.store.saved.items()} == wallets


@pytest.mark.parametrize(("low", "is_low"), [(50, False), (51, True)])
async def test_the_treasury_is_low_below_its_setting(low: int, is_low: bool) -> None:
    world = World(low=low)
    assert not world.accounts.is_treasury_low
    await world.accounts.refresh()
    assert world.accounts.is_treasury_low is is_low
