"""Random journals with repeats and crashes: whatever happens, sums are 0 and nothing is twice.

LEDGER_JOURNALS says how many are tried: a million takes some minutes.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg
import pytest

from libs.common.ids import new_id
from tests.support.database import DatabaseAccess, connect
from tests.support.ledger_world import BLOCK, LedgerWorld, Wanted, book, open_ledger
from tests.support.pool_world import Person

JOURNALS = int(os.environ.get("LEDGER_JOURNALS", "600"))
_AT_ONCE, _WRITERS = 40, 3


@dataclass(kw_only=True)
class Story:
    """What happened to some farmers, as it is told again and again."""

    chance: random.Random
    people: list[Person]
    #: What ever happened, each with all of its journals.
    happened: list[list[Wanted]] = field(default_factory=list)

    def more(self) -> list[Wanted]:
        """Return something new, and something that was told before."""
        fresh = [self._happening() for _ in range(_AT_ONCE // 2)]
        again = self.chance.choices(self.happened, k=_AT_ONCE // 2) if self.happened else []
        self.happened += fresh
        return once([*fresh, *again])

    def _happening(self) -> list[Wanted]:
        person, amount = self.chance.choice(self.people), self.chance.randint(1, 10**9)
        key = str(new_id())
        what = self.chance.choice(["plant", "deposit", "withdrawal", "payout", "return", "cost"])
        if what in {"plant", "deposit", "cost"}:
            block = BLOCK + self.chance.randint(0, 3) if what == "plant" else None
            return [(what, person, amount, key, block)]
        asked: Wanted = ("withdrawal", person, amount, key, None)
        if what == "withdrawal":
            return [asked]
        ended = "payout" if what == "payout" else "withdrawal_return"
        return [asked, (ended, person, amount, key, None)]


def once(happened: Iterable[list[Wanted]]) -> list[Wanted]:
    """Return the journals of what happened; what wallet tells at once has each of them once."""
    return list({(one[0], one[3]): one for some in happened for one in some}.values())


async def tell(pool: LedgerWorld, dsn: str, story: Story) -> None:
    """Tell some of the story; the process may die before, in, or right after its transaction."""
    end = story.chance.choice(["commit", "commit", "commit", "roll back", "kill", "kill after"])
    wanted = story.more()
    async with connect(dsn) as own:
        transaction = own.transaction()
        await transaction.start()
        await own.execute("SELECT 1 FROM harvest.bookkeeping FOR NO KEY UPDATE")
        await book(own, wanted)
        if end in {"kill", "kill after"}:
            if end == "kill after":
                await transaction.commit()
            await pool.admin.fetchval("SELECT pg_terminate_backend($1)", own.get_server_pid())
            return
        await (transaction.commit() if end == "commit" else transaction.rollback())


async def test_whatever_is_repeated_or_killed_is_booked_once(database: DatabaseAccess) -> None:
    async with open_ledger(database) as pool:
        people = [await pool.person() for _ in range(12)]
        stories = [Story(chance=random.Random(n), people=people) for n in range(_WRITERS)]
        dsn = database.dsn("harvest")
        while sum(len(story.happened) for story in stories) < JOURNALS:
            await asyncio.gather(*(tell(pool, dsn, story) for story in stories))
        # In the end everything was told by somebody who lived.
        happened = [one for story in stories for one in story.happened]
        for start in range(0, len(happened), _AT_ONCE):
            async with connect(dsn) as own:
                await book(own, once(happened[start : start + _AT_ONCE]))
        wanted = {(one[0], one[3]): one for one in once(happened)}
        rows = await pool.admin.fetch("SELECT kind::text, source_key FROM harvest.journals")
        assert Counter((row["kind"], row["source_key"]) for row in rows) == Counter(wanted.keys())
        found = await pool.ledger.check()
        assert (found.differences, found.journals) == ([], len(wanted))
        for person in people:
            assert await pool.balances(person.farmer_id) == _expected(person, wanted.values())


def _expected(person: Person, wanted: Iterable[Wanted]) -> dict[str, int]:
    """Return what a farmer's accounts have once each thing is booked once."""
    moves = {
        "plant": ("farmer:available", "farmer:staked"),
        "deposit": ("", "farmer:available"),
        "withdrawal": ("farmer:available", "farmer:pending_out"),
        "withdrawal_return": ("farmer:pending_out", "farmer:available"),
        "payout": ("farmer:pending_out", ""),
        "cost": ("", ""),
    }
    have: Counter[str] = Counter()
    for kind, whose, amount, _, _ in wanted:
        if whose == person:
            taken, given = moves[kind]
            have[taken] -= amount
            have[given] += amount
    return {role: amount for role, amount in have.items() if role and amount}


async def test_harvests_are_booked_with_their_events_or_not_at_all(
    database: DatabaseAccess,
) -> None:
    async with open_ledger(database) as pool:
        person = await pool.person()
        async with connect(database.admin_dsn) as own:
            world = LedgerWorld(
                world=type(pool.world)(own), database=pool.database, pooler=pool.pooler
            )
            transaction = own.transaction()
            await transaction.start()
            await world.harvested(person, reward_amount=3, stake_returned=7)
            await pool.admin.fetchval("SELECT pg_terminate_backend($1)", own.get_server_pid())
        assert await pool.journals() == {}
        assert await pool.world.count("harvest.harvests") == 0
        await pool.harvested(person, reward_amount=3, stake_returned=7)
        with pytest.raises(asyncpg.UniqueViolationError):
            await pool.harvested(person, reward_amount=3, stake_returned=7)
        assert await pool.journals() == {"harvest": 1}
        assert await pool.earned(person) == (3, 3, 1)
