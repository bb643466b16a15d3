"""How often the keeper of channel accounts looks at what."""

from types import SimpleNamespace
from typing import Any, cast

from services.wallet.domain.model import OperationKind
from services.wallet.engine.treasury.channels import ChannelKeeper, ChannelTerms
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.store.channels import ChannelTotals


class World:
    """A database and a chain that show what a test says; nothing can be done in it."""

    def __init__(self) -> None:
        self.ledger = 100
        self.made, self.ready, self.low = 2, 2, 0
        #: What was looked for since the last step.
        self.looked: list[str] = []

    async def totals(self, *, low: int) -> ChannelTotals:
        """As the store's."""
        assert low == 5
        return ChannelTotals(made=self.made, ready=self.ready, busy=0, low=self.low, xlm=100)

    async def insert(self, made: Any, *, most: int) -> int:
        """As the store's; another process was faster."""
        self.looked.append(f"{most - self.made} keys")
        return 0

    async def queue_top_ups(self, _ids: Any, **_terms: int) -> int:
        """As the store's."""
        self.looked.append("poor")
        return self.low

    async def create(self, kind: OperationKind, *, funding: int) -> bool:
        """As NewAccounts."""
        assert funding == 10
        self.looked.append(kind.value)
        return False

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
            ChannelTerms(count=2, funding=10, low=5),
            chain_view=cast(Any, self.chain_view),
            accounts=cast(Any, SimpleNamespace(can_pay=True)),
            new_accounts=world,
            changes=Wakeup(),
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
