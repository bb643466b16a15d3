"""The keeper of payer accounts: how many it makes, with how much, and when it stops looking."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.wallet.domain.model import OperationKind
from services.wallet.engine.treasury.payers import PayerKeeper
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.store.payers import PayerTotals


class World:
    """A keeper of three payers over stand-ins."""

    def __init__(self, *, made: int, ready: int) -> None:
        self.made, self.ready = made, ready
        self.view = SimpleNamespace(is_fresh=True)
        self.accounts = SimpleNamespace(can_pay=True)
        self.inserted: list[tuple[int, int]] = []
        self.created: list[tuple[OperationKind, int]] = []
        me = cast(Any, self)
        self.keeper = PayerKeeper(
            me,
            LocalKeyProvider(bytes(32)),
            count=3,
            chain_view=cast(Any, self.view),
            accounts=cast(Any, self.accounts),
            new_accounts=me,
        )

    async def totals(self) -> PayerTotals:
        """As the store's."""
        return PayerTotals(made=self.made, ready=self.ready, busy=0, stopped=0)

    async def insert(self, made: list[Any], *, most: int) -> int:
        """As the store's."""
        self.inserted.append((len(made), most))
        return len(made)

    async def create(self, kind: OperationKind, *, funding: int) -> bool:
        """As NewAccounts."""
        self.created.append((kind, funding))
        return True


async def test_missing_payers_are_made_each_with_its_reserve_and_nothing_else() -> None:
    world = World(made=1, ready=1)
    await world.keeper.step()
    assert world.inserted == [(2, 3)]
    assert world.created == [(OperationKind.OPEN_PAYER, 10_000_000)]


@pytest.mark.parametrize(
    ("made", "ready", "looks"), [(3, 3, 1), (3, 2, 2), (2, 2, 2), (4, 3, 2), (4, 4, 1)]
)
async def test_nothing_is_looked_at_once_all_payers_are_there(
    made: int, ready: int, looks: int
) -> None:
    world = World(made=made, ready=ready)
    await world.keeper.step()
    await world.keeper.step()
    assert len(world.created) == looks
    assert (world.inserted == []) is (made >= 3)


@pytest.mark.parametrize(("is_fresh", "can_pay"), [(False, True), (True, False)])
async def test_nothing_is_made_by_an_old_head_or_a_treasury_that_cannot_pay(
    is_fresh: bool, can_pay: bool
) -> None:
    world = World(made=0, ready=0)
    world.view.is_fresh, world.accounts.can_pay = is_fresh, can_pay
    await world.keeper.step()
    assert (world.inserted, world.created) == ([], [])
