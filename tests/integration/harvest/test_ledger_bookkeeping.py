"""The bookkeeper reads wallet's movements in order and books each once, whoever dies meanwhile."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common import failpoints
from libs.common.ids import FarmerId, PoolerId, new_id
from services.harvest.domain.bookkeeping import (
    ASKED,
    FAILED,
    SUCCEEDED,
    Movement,
    Position,
)
from services.harvest.domain.errors import BookingRefusedError
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.store.store import Store
from services.harvest.usecases.bookkeeping import AGAIN_EVERY, Bookkeeper
from tests.support.database import DatabaseAccess
from tests.support.ends import Ends
from tests.support.ledger_world import BLOCK, LedgerWorld, open_ledger
from tests.support.pool_world import Person


@dataclass(kw_only=True)
class Wallet:
    """A wallet that tells what a test lets happen."""

    pool: LedgerWorld
    told: list[Movement] = field(default_factory=list)
    #: Places that were asked for.
    asked: list[Position] = field(default_factory=list)

    async def after(
        self, position: Position, limit: int
    ) -> tuple[list[Movement], Sequence[Position]]:
        """See services.harvest.usecases.bookkeeping.Movements."""
        self.asked.append(position)
        found = sorted(self.told, key=_place)
        page = [one for one in found if _place(one) > (position.at, position.operation_id)][:limit]
        return page, [Position(at=one.at, operation_id=one.operation_id) for one in page]

    def happens(
        self, kind: str, end: str, person: Person, amount: int = 7, *, ago: float = 0, **more: Any
    ) -> Movement:
        """Let something happen, so many seconds ago."""
        one = Movement(
            operation_id=more.pop("operation_id", None) or new_id(),
            kind=kind,
            end=end,
            farmer_id=FarmerId(person.farmer_id),
            pooler_id=PoolerId(self.pool.pooler),
            block_index=BLOCK,
            ledger=9,
            transaction_hash="ab",
            at=datetime.now(UTC) - timedelta(seconds=ago),
            amount=0 if kind == "withdraw" else amount,
            withdrawn_kale=amount if kind == "withdraw" else 0,
            fee=more.pop("fee", 0),
        )
        self.told.append(one)
        return one

    def bookkeeper(self, *, page: int = 2) -> Bookkeeper:
        """Return a process that has just started."""
        return Bookkeeper(
            store=Store(self.pool.database, Ends()),
            ledger=BookkeepingStore(self.pool.database),
            wallet=self,
            page=page,
        )


def _place(movement: Movement) -> tuple[datetime, UUID]:
    return movement.at, movement.operation_id


@pytest.fixture
async def wallet(database: DatabaseAccess) -> AsyncIterator[Wallet]:
    """A wallet of which nothing is booked yet, in a pool whose chain was seen."""
    async with open_ledger(database) as pool:
        await pool.world.head(current=BLOCK + 1)
        yield Wallet(pool=pool)


async def test_everything_is_booked_in_pages_and_once(wallet: Wallet) -> None:
    one, two = [await wallet.pool.person() for _ in range(2)]
    for place, person in enumerate([one, two, one, two, one]):
        wallet.happens("plant", SUCCEEDED, person, ago=1000 - place, fee=3)
    keeper = wallet.bookkeeper()
    assert not keeper.is_current
    assert await keeper.step() == 10
    assert keeper.is_current
    assert await keeper.step() == 0
    assert await wallet.bookkeeper().step() == 0
    assert await wallet.pool.balances(one.farmer_id) == {
        "farmer:available": -21,
        "farmer:staked": 21,
    }
    assert await wallet.pool.costs() == 15
    assert (await wallet.pool.ledger.check()).differences == []


async def test_what_was_written_late_is_read_again(wallet: Wallet) -> None:
    person = await wallet.pool.person()
    old = wallet.happens("plant", SUCCEEDED, person, ago=1000)
    young = wallet.happens("plant", SUCCEEDED, person, ago=10)
    keeper = wallet.bookkeeper()
    await keeper.step()
    state = await BookkeepingStore(wallet.pool.database).state()
    # From here on nothing can come any more; of what is younger nobody knows.
    assert state.read == Position(at=old.at, operation_id=old.operation_id)
    wallet.happens("plant", SUCCEEDED, person, ago=20)
    booked = [await keeper.step() for _ in range(AGAIN_EVERY)]
    assert booked == [0] * (AGAIN_EVERY - 1) + [1]
    assert wallet.asked[2] == Position(at=young.at, operation_id=young.operation_id)
    assert await wallet.pool.journals() == {"plant": 3}


async def test_a_withdrawal_is_booked_as_it_goes(wallet: Wallet) -> None:
    person = await wallet.pool.person()
    await wallet.pool.book("deposit", person, 100)
    asked = wallet.happens("withdraw", ASKED, person, 30, ago=50)
    keeper = wallet.bookkeeper()
    assert await keeper.step() == 1
    pending = {"farmer:available": 70, "farmer:pending_out": 30}
    assert await wallet.pool.balances(person.farmer_id) == pending
    name = asked.operation_id
    failed = wallet.happens("withdraw", FAILED, person, 30, ago=40, operation_id=name, fee=2)
    assert await keeper.step() == 2
    assert await wallet.pool.balances(person.farmer_id) == {"farmer:available": 100}
    # It turned out to have been paid.
    wallet.told.remove(failed)
    wallet.happens("withdraw", SUCCEEDED, person, 30, ago=30, operation_id=name, fee=2)
    assert await keeper.step() == 1
    assert await wallet.pool.balances(person.farmer_id) == {"farmer:available": 70}
    assert await wallet.bookkeeper().step() == 0
    assert await wallet.pool.costs() == 2


async def test_a_plant_that_did_not_happen_is_taken_back(wallet: Wallet) -> None:
    person = await wallet.pool.person()
    one = wallet.happens("plant", SUCCEEDED, person, ago=50)
    keeper = wallet.bookkeeper()
    await keeper.step()
    wallet.told[0] = replace(one, end=FAILED, at=datetime.now(UTC))
    assert await keeper.step() == 1
    assert await wallet.pool.balances(person.farmer_id) == {}
    assert await wallet.pool.journals() == {"plant": 1, "denial": 1}


@pytest.mark.parametrize("edge", ["read", "booked"])
async def test_a_process_that_dies_loses_nothing(wallet: Wallet, edge: str) -> None:
    person = await wallet.pool.person()
    for place in range(5):
        wallet.happens("plant", SUCCEEDED, person, ago=1000 - place)
    failpoints.arm(f"harvest.bookkeeping.{edge}@2=raise")
    try:
        with pytest.raises(Exception, match=r"harvest\.bookkeeping"):
            await wallet.bookkeeper().step()
    finally:
        failpoints.arm("")
    await wallet.bookkeeper().step()
    assert await wallet.pool.journals() == {"plant": 5}


async def test_stakes_of_blocks_that_are_over_are_lost(wallet: Wallet) -> None:
    person = await wallet.pool.person()
    wallet.happens("plant", SUCCEEDED, person, ago=1000)
    assert await wallet.bookkeeper().step() == 1
    await wallet.pool.admin.execute("UPDATE chain.head SET current_block = $1", BLOCK + 601)
    assert await wallet.bookkeeper().step() == 1
    assert await wallet.bookkeeper().step() == 0
    assert await wallet.pool.balances() == {"chain:burn": 7}
    state = await BookkeepingStore(wallet.pool.database).state()
    assert state.lost_before == BLOCK + 1


async def test_what_cannot_be_booked_is_told_and_holds_up_the_rest(wallet: Wallet) -> None:
    person = await wallet.pool.person()
    one = wallet.happens("withdraw", SUCCEEDED, person, 30, ago=50)
    keeper = wallet.bookkeeper()
    assert keeper.warnings == []
    await wallet.pool.admin.execute(
        "ALTER TABLE harvest.journals ADD CONSTRAINT refused CHECK (kind <> 'payout')"
    )
    with pytest.raises(BookingRefusedError):
        await keeper.step()
    assert len(keeper.warnings) == 1
    assert not keeper.is_current
    assert await wallet.pool.journals() == {}
    await wallet.pool.admin.execute("ALTER TABLE harvest.journals DROP CONSTRAINT refused")
    assert await keeper.step() == 2
    assert (keeper.warnings, one.fee) == ([], 0)
