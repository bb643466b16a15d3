"""How often the keeper of channel accounts looks at what."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import MAX_PAYMENTS
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.channels import ChannelTerms
from services.wallet.domain.model import OperationKind
from services.wallet.domain.trust import Decision
from services.wallet.engine.alarms import Alarms
from services.wallet.engine.treasury.channels import ChannelKeeper, LowChannels
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.store.channels import ChannelTotals, TopUps


class World:
    """A database and a chain that show what a test says; nothing can be done in it."""

    def __init__(self) -> None:
        self.ledger, self.count = 100, 2
        self.made, self.ready, self.low = 2, 2, 0
        #: Addresses that have enough on the chain, and top-ups that no budget allows.
        self.rich: set[str] = set()
        self.refused = 0
        self.queued = 0
        #: Keys that are recorded, and whether an account is made.
        self.inserted, self.is_made = 0, False
        self.changes = Wakeup()
        self.accounts = SimpleNamespace(can_pay=True)
        self.alarms = Alarms()
        #: What was looked for since the last step.
        self.looked: list[str] = []

    async def totals(self, *, low: int) -> ChannelTotals:
        """As the store's."""
        assert low == 5
        return ChannelTotals(made=self.made, ready=self.ready, busy=0, low=self.low, xlm=100)

    async def insert(self, made: Any, *, most: int) -> int:
        """As the store's; another process was faster."""
        assert len(made) == min(50, most - self.made)
        self.looked.append(f"{most - self.made} keys")
        return self.inserted

    async def poor(self, *, below: int, limit: int) -> dict[WalletId, str]:
        """As the store's; the account row of each says that it is low."""
        assert (below, limit) == (5, MAX_PAYMENTS)
        self.looked.append("poor")
        return {WalletId(new_id()): f"G{number}" for number in range(self.low)}

    async def among(self, addresses: list[str]) -> tuple[int, set[str]]:
        """As LowChannels."""
        return self.ledger - 1, set(addresses) - self.rich

    async def queue_top_ups(self, wanted: Mapping[WalletId, OperationId], **terms: int) -> TopUps:
        """As the store's."""
        assert terms == {"amount": 10, "ledger": self.ledger - 1, "budget": 30}
        queued = len(wanted) - self.refused
        self.queued += queued
        return TopUps(queued=queued, refused=self.refused)

    async def topped_up(self) -> int:
        """As the store's."""
        return 10 * self.queued

    async def create(self, kind: OperationKind, *, funding: int) -> bool:
        """As NewAccounts."""
        assert funding == 10
        self.looked.append(kind.value)
        return self.is_made

    def keeper(self) -> ChannelKeeper:
        """One that looks at this."""
        self.chain_view = SimpleNamespace(
            is_fresh=True,
            current=SimpleNamespace(ledger=SimpleNamespace(sequence=self.ledger)),
        )
        world = cast(Any, self)
        return ChannelKeeper(
            world,
            LocalKeyProvider(bytes(32)),
            ChannelTerms(count=self.count, funding=10, low=5, daily=30),
            chain_view=cast(Any, self.chain_view),
            accounts=cast(Any, self.accounts),
            new_accounts=world,
            low_channels=world,
            alarms=self.alarms,
            changes=self.changes,
        )

    async def looks(self, keeper: ChannelKeeper, ledgers: int) -> list[list[str]]:
        """What it looks for in each of the next ledgers, beside the totals."""
        found = []
        for _ in range(ledgers):
            self.looked = []
            await keeper.step()
            found.append(self.looked)
            self.ledger += 1
            self.chain_view.current.ledger.sequence = self.ledger
        return found


ALL = ["poor", "open_channel"]


async def test_where_nothing_is_wanting_all_is_looked_at_now_and_then() -> None:
    world = World()
    looks = await world.looks(world.keeper(), 25)
    assert [place for place, look in enumerate(looks) if look] == [0, 12, 24]
    assert looks[0] == looks[12] == ALL


async def test_a_channel_that_is_wanting_is_seen_in_the_next_ledger() -> None:
    for wanting in ({"made": 1, "ready": 1}, {"ready": 1}, {"low": 1}):
        world = World()
        keeper = world.keeper()
        await world.looks(keeper, 3)
        vars(world).update(wanting)
        looks = await world.looks(keeper, 3)
        assert looks == [(["1 keys"] if world.made < 2 else []) + ALL] * 3


async def test_what_was_just_queued_is_looked_for_until_it_is_done() -> None:
    world = World()
    keeper = world.keeper()
    world.low = 1
    await world.looks(keeper, 1)
    world.low = 0
    assert [bool(look) for look in await world.looks(keeper, 3)] == [True, False, False]


async def test_a_channel_that_has_enough_on_the_chain_is_not_topped_up() -> None:
    """Whoever may write the rows of accounts says what they like."""
    world = World()
    keeper = world.keeper()
    world.low, world.rich = 3, {"G0", "G2"}
    await keeper.step()
    assert world.queued == 1
    world.rich = {"G0", "G1", "G2"}
    await keeper.step()
    assert world.queued == 1


@pytest.mark.parametrize(("is_fresh", "can_pay"), [(False, True), (True, False)])
async def test_nothing_is_looked_at_by_an_old_head_or_for_a_treasury_that_cannot_pay(
    is_fresh: bool, can_pay: bool
) -> None:
    world = World()
    world.made = world.ready = 1
    keeper = world.keeper()
    world.chain_view.is_fresh, world.accounts.can_pay = is_fresh, can_pay
    assert not await keeper.step()
    assert world.looked == []


@pytest.mark.parametrize(
    ("inserted", "is_made", "low", "is_busy"),
    [
        (0, False, 0, False),
        (1, False, 0, True),
        (0, True, 0, True),
        (0, False, 1, True),
    ],
)
async def test_a_keeper_that_did_something_looks_again_at_once(
    inserted: int, is_made: bool, low: int, is_busy: bool
) -> None:
    world = World()
    keeper = world.keeper()
    world.made = world.ready = 1
    world.inserted, world.is_made, world.low = inserted, is_made, low
    assert await keeper.step() is is_busy
    # Who pays top-ups is woken when there are any.
    assert world.changes.count == low
    # Nothing is wanting any more: only who did something looks again.
    world.made = world.ready = 2
    world.inserted, world.is_made, world.low, world.looked = 0, False, 0, []
    world.chain_view.current.ledger.sequence += 1
    assert not await keeper.step()
    assert bool(world.looked) is is_busy


async def test_fifty_keys_are_made_at_once() -> None:
    world = World()
    world.count, world.made = 60, 2
    await world.keeper().step()
    assert world.looked[0] == "58 keys"


async def test_top_ups_that_no_budget_allows_wake_nobody() -> None:
    world = World()
    keeper = world.keeper()
    world.low, world.refused = 1, 1
    assert not await keeper.step()
    assert world.changes.count == 0


async def test_a_budget_that_is_used_up_is_an_alarm_until_no_channel_lacks_anything(
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = World()
    keeper = world.keeper()
    world.low, world.refused = 3, 2
    await keeper.step()
    state = await keeper.top_ups()
    assert (state.spent, state.budget) == (10, 30)
    assert state.error == "2 channel accounts are low, and TOP_UP_DAILY_STROOPS is used up"
    assert "cause=TOP_UP_DAILY_STROOPS " in "".join(capfd.readouterr())
    world.refused = 0
    await keeper.step()
    assert (await keeper.top_ups()).error == ""


async def test_low_are_accounts_that_exist_with_less_than_the_mark_by_agreement() -> None:
    class TwoNodes:
        def trusted(self, decision: Decision) -> "TwoNodes":
            assert decision is Decision.TOP_UP
            return self

        async def accounts(self, addresses: list[str]) -> tuple[int, list[AccountState]]:
            xlm = {"poor": 4, "rich": 5, "gone": 0}
            return 7, [
                AccountState(address=item, exists=item != "gone", xlm=xlm[item], sequence=1)
                for item in addresses
            ]

    look = LowChannels(chain=cast(Any, TwoNodes()), low=5)
    assert await look.among(["rich", "poor", "gone"]) == (7, {"poor"})
