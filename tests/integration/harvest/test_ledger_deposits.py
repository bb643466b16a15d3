"""KALE from outside is booked once, when nothing else explains what an account holds."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from libs.common import failpoints
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.bookkeeping import Holding
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.usecases.bookkeeping import Deposits
from tests.support.database import DatabaseAccess
from tests.support.ledger_world import BLOCK, LedgerWorld, open_ledger
from tests.support.pool_world import Person

#: Later than all that is booked here.
NOW = 1_000


@dataclass(kw_only=True)
class Chain:
    """What accounts hold, as wallet tells it: one farmer a page."""

    pool: LedgerWorld
    held: dict[Person, int] = field(default_factory=dict)
    ledger: int = NOW

    async def holdings(self, token: str) -> tuple[list[Holding], str]:
        """See services.harvest.usecases.bookkeeping.Accounts."""
        place = int(token or 0)
        self.ledger += not token
        people = list(self.held.items())
        page = [
            Holding(
                farmer_id=FarmerId(person.farmer_id),
                pooler_id=PoolerId(self.pool.pooler),
                kale=kale,
                ledger=self.ledger,
            )
            for person, kale in people[place : place + 1]
        ]
        return page, str(place + 1) if place + 1 < len(people) else ""

    def deposits(self, *, settled_after: float = 0) -> Deposits:
        """Return a process that has just started."""
        ledger = BookkeepingStore(self.pool.database)
        return Deposits(ledger=ledger, wallet=self, settled_after=settled_after)

    async def unexplained(self) -> dict[str, int]:
        """What the ledger does not explain, by the look at all of it."""
        found = (await self.pool.ledger.check()).unexplained
        return {str(one.farmer_id): one.amount for one in found}


@pytest.fixture
async def chain(database: DatabaseAccess) -> AsyncIterator[Chain]:
    """A chain and an empty ledger."""
    async with open_ledger(database) as pool:
        yield Chain(pool=pool)


async def age(chain: Chain, seconds: float) -> None:
    """Let time pass."""
    await chain.pool.admin.execute(
        "UPDATE harvest.unexplained SET since = since - make_interval(secs => $1)", seconds
    )


async def test_what_came_from_outside_is_booked_once_it_stays(chain: Chain) -> None:
    pool = chain.pool
    one, two = [await pool.person() for _ in range(2)]
    chain.held = {one: 100, two: 0}
    deposits = chain.deposits(settled_after=60)
    assert [await deposits.step() for _ in range(2)] == [0, 0]
    assert await chain.unexplained() == {str(one.farmer_id): 100}
    await age(chain, 59)
    assert await deposits.step() == 0
    await age(chain, 1)
    assert await deposits.step() == 1
    assert await pool.balances(one.farmer_id) == {"farmer:available": 100}
    assert await pool.balances() == {"chain:out": -100}
    assert (await deposits.step(), await chain.unexplained()) == (0, {})
    # More comes, and it is staked: the account is explained by both.
    await pool.book("plant", one, 30, block=BLOCK)
    chain.held[one] = 170 + 5
    assert await chain.deposits().step() == 1
    assert await pool.balances(one.farmer_id) == {"farmer:available": 175, "farmer:staked": 30}
    assert await pool.journals() == {"deposit": 2, "plant": 1}
    assert (await pool.ledger.check()).differences == []


async def test_what_changes_or_is_explained_meanwhile_is_not_booked(chain: Chain) -> None:
    pool = chain.pool
    person = await pool.person()
    chain.held = {person: 50}
    deposits = chain.deposits(settled_after=60)
    await deposits.step()
    await age(chain, 100)
    chain.held[person] = 55
    assert await deposits.step() == 0
    await age(chain, 100)
    # It was a harvest, whose event came late.
    await pool.harvested(person, reward_amount=50, stake_returned=5)
    assert (await deposits.step(), await chain.unexplained()) == (0, {})
    assert await pool.journals() == {"harvest": 1}


async def test_nothing_is_told_while_something_is_not_booked(chain: Chain) -> None:
    chain.held = {await chain.pool.person(): 50}
    ledger, current = BookkeepingStore(chain.pool.database), False
    deposits = Deposits(ledger=ledger, wallet=chain, settled_after=0, is_current=lambda: current)
    assert (await deposits.step(), await chain.unexplained()) == (0, {})
    current = True
    assert await deposits.step() == 1


async def test_an_account_that_was_read_before_what_is_booked_says_nothing(chain: Chain) -> None:
    pool = chain.pool
    person = await pool.person()
    chain.held, chain.ledger = {person: 7}, 7
    await pool.book("deposit", person, 3)  # in ledger 9
    assert (await chain.deposits().step(), await chain.unexplained()) == (0, {})
    assert await chain.deposits().step() == 1


async def test_a_deposit_that_was_none_is_taken_back_and_less_is_told(chain: Chain) -> None:
    pool = chain.pool
    person = await pool.person()
    await pool.harvested(person, reward_amount=30, stake_returned=0)
    chain.held = {person: 130}
    assert await chain.deposits().step() == 1
    chain.held = {person: 40}
    deposits = chain.deposits()
    assert await deposits.step() == 1
    assert await pool.balances(person.farmer_id) == {"farmer:available": 40}
    assert deposits.warnings == []
    # Nothing came from outside that would explain this.
    chain.held = {person: 25}
    assert await deposits.step() == 0
    assert await chain.unexplained() == {str(person.farmer_id): -15}
    assert deposits.warnings == [
        "1 farmers' accounts hold less KALE than the ledger says: kalepool ledger check"
    ]
    assert await pool.journals() == {"harvest": 1, "deposit": 1, "deposit_return": 1}
    assert (await pool.ledger.check()).differences == []


async def test_fees_that_nobody_has_paid_lie_in_the_account(chain: Chain) -> None:
    pool = chain.pool
    await pool.agree(1000, 500, 3000)
    person = await pool.person()
    await pool.harvested(person, reward_amount=1_000, stake_returned=10)
    await pool.book("withdrawal", person, 100, key="w")
    chain.held = {person: 1_010}
    assert await chain.deposits().step() == 0
    await pool.book("payout", person, 100, key="w")
    chain.held = {person: 910}
    assert await chain.deposits().step() == 0
    assert await pool.journals() == {"harvest": 1, "withdrawal": 1, "payout": 1}


@pytest.mark.parametrize("edge", ["read", "booked"])
async def test_a_process_that_dies_books_nothing_twice(chain: Chain, edge: str) -> None:
    pool = chain.pool
    chain.held = {await pool.person(): 10 + number for number in range(3)}
    failpoints.arm(f"harvest.deposits.{edge}@2=raise")
    try:
        with pytest.raises(failpoints.FailpointError):
            await chain.deposits().step()
    finally:
        failpoints.arm("")
    await chain.deposits().step()
    assert await pool.journals() == {"deposit": 3}
    assert await chain.deposits().step() == 0
