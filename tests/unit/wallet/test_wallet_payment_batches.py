"""Many payouts of one request: recorded a part at a time, within what accounts have room for."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.budget import SponsorTerms
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.fees_due import Fees
from services.wallet.domain.payouts import (
    FarmerAccount,
    PoolerAccount,
    Refusal,
    WantedPayout,
    planned,
)
from services.wallet.domain.payouts import Room as DailyRoom
from services.wallet.domain.withdrawals import DailyLimit, Destination
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.payouts import AT_ONCE
from services.wallet.usecases.payouts import Payouts

POOLER, OPERATOR = PoolerId(new_id()), "GOPERATOR"
FEES = Fees(pooler=4, operator=3, miners=2)


class World:
    """Farmers who owe fees, on a chain and in tables that are there in memory."""

    def __init__(self, count: int) -> None:
        self.amounts = {FarmerId(new_id()): 10 for _ in range(count)}
        #: Room for KALE, by account.
        self.room = {OPERATOR: 10**9, "GPOOL": 10**9}
        #: Of each time that the chain was asked, for how many accounts.
        self.looks: list[int] = []
        #: How often it answers.
        self.answers = 100
        self.recorded: list[tuple[WantedPayout, Fees]] = []
        self.use_cases = Payouts(
            payouts=cast(Any, self),
            pool_payments=cast(Any, None),
            marks=cast(Any, self),
            wallets=cast(Any, None),
            payers=cast(Any, self),
            chain=cast(Any, self),
            provider=cast(Any, None),
            treasury=cast(Any, None),
            limit=DailyLimit(farmer=10**9, pool=10**9),
            sponsored=SponsorTerms(),
            operator_address=OPERATOR,
            wakeup=Wakeup(),
            settled=cast(Any, SimpleNamespace(of=self._settled)),
        )

    async def pay(self) -> None:
        """Ask for all of them, and hear what becomes of them."""
        async for _ in self.use_cases.pay_farmers("one", self.amounts, actor="harvest"):
            pass

    async def farmers(self, ids: Sequence[FarmerId]) -> dict[FarmerId, FarmerAccount]:
        """As the store's."""
        return {
            one: FarmerAccount(
                farmer_id=one,
                pooler_id=POOLER,
                wallet_id=WalletId(one),
                address=f"G{one}",
                outside="",
                hindrance=None,
            )
            for one in ids
        }

    async def poolers(self, _ids: object) -> dict[PoolerId, PoolerAccount]:
        """As the store's."""
        account = PoolerAccount(
            pooler_id=POOLER,
            wallet_id=WalletId(new_id()),
            address="GPOOL",
            is_ready=True,
            hindrance=None,
        )
        return {POOLER: account}

    async def of_request(self, *_args: object) -> dict[WalletId, OperationId]:
        """As the store's."""
        return {}

    async def accrued(self, ids: Sequence[WalletId]) -> dict[WalletId, Fees]:
        """As the marks'."""
        return dict.fromkeys(ids, FEES)

    async def totals(self) -> Any:
        """As the payers'."""
        return SimpleNamespace(stopped=0)

    def trusted(self, _decision: object) -> "World":
        """As the chain's."""
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """As the chain's."""
        if len(self.looks) == self.answers:
            raise UnavailableError("the chain is away")
        self.looks.append(len(addresses))
        return 1, [
            AccountState(address=one, exists=True, has_trustline=True, kale=100)
            for one in addresses
        ]

    async def destinations(self, addresses: Sequence[str]) -> dict[str, Destination]:
        """As the chain's."""
        return {
            one: Destination(
                account=AccountState(
                    address=one, exists=True, has_trustline=True, kale_room=self.room[one]
                ),
                wants_memo=False,
            )
            for one in addresses
        }

    async def record(
        self,
        _request_id: str,
        wanted: Sequence[WantedPayout],
        *,
        limit: DailyLimit,
        actor: str,
        taken: Counter[str],
    ) -> dict[OperationId, OperationId | Refusal]:
        """As the store's, within the room that is left."""
        assert (actor, len(wanted) <= AT_ONCE) == ("harvest", True)
        room = DailyRoom(farmer=limit.farmer, pool=limit.pool)
        for item in wanted:
            places = item.fee_accounts.less(taken)
            fees = planned(_with(item, places), FEES, room, owed=FEES.all)
            assert isinstance(fees, Fees)
            taken[places.pooler] += fees.of_pooler
            taken[places.operator] += fees.operator
            self.recorded.append((item, fees))
        return {item.id: item.id for item in wanted}

    async def _settled(self, _ids: object) -> Any:
        for one in list[object]():
            yield one


def _with(item: WantedPayout, places: Any) -> WantedPayout:
    return WantedPayout(**{**vars(item), "fee_accounts": places})


async def test_a_line_with_little_room_holds_up_no_farmer() -> None:
    world = World(AT_ONCE + 5)
    # For the operator's part of a hundred payouts there is no room, and one after the other takes
    # what there is, whichever part of them is recorded first.
    world.room = {OPERATOR: 3 * AT_ONCE + 7, "GPOOL": 13}
    await world.pay()
    parts = [fees for _, fees in world.recorded]
    assert len(parts) == AT_ONCE + 5
    assert sum(one.operator for one in parts) == 3 * AT_ONCE + 7
    assert [one.operator for one in parts[-5:]] == [3, 3, 1, 0, 0]
    assert [one.of_pooler for one in parts[:4]] == [6, 6, 1, 0]


async def test_what_was_looked_at_is_recorded_before_more_is_looked_at() -> None:
    world = World(2 * AT_ONCE + 5)
    world.answers = 2
    with pytest.raises(UnavailableError):
        await world.pay()
    # A caller whose time is short gets further each time that it asks.
    assert world.looks == [AT_ONCE, AT_ONCE]
    assert len(world.recorded) == 2 * AT_ONCE
