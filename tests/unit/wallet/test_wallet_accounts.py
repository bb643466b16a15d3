"""The reader of accounts: whose turn it is, what is saved, and when the treasury is funded."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import WalletId, new_id
from services.wallet.domain.chain_facts import AccountState
from services.wallet.engine.accounts import Accounts

LEDGER = 100
TREASURY = "GTREASURY"


class Chain:
    """Shows accounts, and notes what was asked for in one request."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.xlm: dict[str, int] = {TREASURY: 50}
        self.locked: set[str] = set()
        self.ledger = LEDGER
        #: Addresses without an account, and without a line.
        self.gone: set[str] = set()
        self.lineless: set[str] = set()

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        self.asked.append(list(addresses))
        return self.ledger, [
            AccountState(
                address=item,
                exists=item in self.xlm if item == TREASURY else item not in self.gone,
                has_trustline=item not in self.lineless,
                xlm=self.xlm.get(item, 0),
                obeys=item not in self.locked,
            )
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
        assert ledger >= LEDGER
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
    world = World(farmers=2 * 99 + 1)
    seen: list[str] = []
    for count in (99, 99, 1):
        await world.accounts.refresh()
        assert [len(request) for request in world.chain.asked] == [count + 1]
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
    # What others read tells nothing of the treasury either.
    await world.accounts.read({world.treasury.wallet.id: TREASURY})
    world.chain.asked.clear()
    assert (world.read, world.accounts.can_pay, world.accounts.treasury_state) == ([], False, None)


async def test_many_are_read_in_several_requests_and_all_are_saved() -> None:
    world = World()
    wallets = {WalletId(new_id()): f"G{number}" for number in range(101)}
    found = await world.accounts.read(wallets)
    assert [len(request) for request in world.chain.asked] == [100, 1]
    assert {key: state.address for key, (_, state) in found.items()} == wallets
    assert {ledger for ledger, _ in found.values()} == {LEDGER}
    assert {key: state.address for key, state in world.store.saved.items()} == wallets


@pytest.mark.parametrize(("low", "is_low"), [(50, False), (51, True)])
async def test_the_treasury_is_low_below_its_setting(low: int, is_low: bool) -> None:
    world = World(low=low)
    assert not world.accounts.is_treasury_low
    await world.accounts.refresh()
    assert world.accounts.is_treasury_low is is_low


async def test_a_treasury_is_not_low_where_nobody_says_so() -> None:
    world = World()
    world.chain.xlm = {TREASURY: 0}
    accounts = Accounts(cast(Any, world.chain), cast(Any, world.store), cast(Any, world.treasury))
    await accounts.refresh()
    assert not accounts.is_treasury_low


async def test_a_last_round_that_is_full_begins_anew() -> None:
    world = World(farmers=99)
    await world.accounts.refresh()
    await world.accounts.refresh()
    assert world.read == [TREASURY, *(address for _, address in world.store.farmers), TREASURY]
    await world.accounts.refresh()
    assert world.read[1] == world.store.farmers[0][1]


async def test_a_treasury_that_does_not_obey_cannot_pay_and_that_is_told_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    world.chain.locked = {TREASURY}
    for _ in range(2):
        await world.accounts.refresh()
        assert (world.accounts.can_pay, world.funded) == (False, 0)
    assert "".join(capfd.readouterr()).count("treasury does not obey") == 1
    world.chain.locked = set()
    await world.accounts.refresh()
    assert world.accounts.can_pay
    assert "does not obey" not in "".join(capfd.readouterr())
    world.chain.locked = {TREASURY}
    await world.accounts.refresh()
    assert "".join(capfd.readouterr()).count("treasury does not obey") == 1


async def test_a_treasury_that_was_not_read_is_not_funded() -> None:
    world = World()
    world.treasury.wallet.address = TREASURY

    async def nothing(wallets: object) -> dict[WalletId, Any]:
        return {}

    world.accounts.read = nothing  # type: ignore[method-assign]
    await world.accounts.refresh()
    assert world.funded == 0


@pytest.mark.parametrize("what", ["gone", "lineless"])
async def test_one_answer_that_leaves_an_account_out_is_not_saved(what: str) -> None:
    world, wallet = World(), WalletId(new_id())
    await world.accounts.refresh()
    getattr(world.chain, what).add("GFARMER")
    found = await world.accounts.read({wallet: "GFARMER"})
    assert found[wallet][0] == LEDGER
    assert wallet not in world.store.saved
    # It is read again before the next ledger, and with it; the same ledger tells nothing more.
    await world.accounts.catch_up()
    assert world.read[-1] == "GFARMER"
    assert wallet not in world.store.saved
    getattr(world.chain, what).clear()
    world.chain.ledger += 1
    await world.accounts.refresh()
    assert world.store.saved[wallet].exists
    assert world.store.saved[wallet].has_trustline
    # What was doubted before says nothing later.
    getattr(world.chain, what).add("GFARMER")
    world.chain.ledger += 1
    await world.accounts.read({wallet: "GFARMER"})
    assert world.store.saved[wallet].exists
    assert world.store.saved[wallet].has_trustline


@pytest.mark.parametrize("what", ["gone", "lineless"])
async def test_what_a_later_ledger_shows_too_is_saved_and_asked_for_no_more(what: str) -> None:
    world, wallet = World(), WalletId(new_id())
    await world.accounts.refresh()
    getattr(world.chain, what).add("GFARMER")
    await world.accounts.read({wallet: "GFARMER"})
    world.chain.ledger += 1
    await world.accounts.refresh()
    saved = world.store.saved[wallet]
    assert (saved.exists, saved.has_trustline) == (what != "gone", what != "lineless")
    assert "GFARMER" in world.read
    await world.accounts.refresh()
    assert "GFARMER" not in world.read
