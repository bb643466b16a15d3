"""python -m trials.books.writer: books the story by harvest's own code, until all of it is booked.

It is killed at any instant, and begins again where the database says.
"""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from libs.batches.model import Judge
from libs.common.clock import micros_of, moment_of
from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.bookkeeping import Movement, Position
from services.harvest.domain.credits import Chunk, Proven
from services.harvest.store.credits import CreditStore
from services.harvest.store.ledger import BookkeepingStore
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.harvest.store.store import Store
from services.harvest.usecases.bookkeeping import Bookkeeper
from services.harvest.usecases.credits import MinerCredits

STORY = Path(__file__).with_name("story.sql")
#: Miners of a block, and miners that there are.
MINERS, ALL_MINERS = 5, 40
#: Blocks that are gone back: the last one may have been left in the middle.
_BACK = 2


class Nobody:
    """A judge of ends that is never asked; satisfies libs.batches.model.Judge."""

    async def ends(self, settled: Mapping[UUID, str]) -> Mapping[UUID, str]:
        """See Judge."""
        return settled


class Told:
    """wallet's movements, by the story; satisfies services.harvest's Movements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(
        self, position: Position, limit: int
    ) -> tuple[list[Movement], Sequence[Position]]:
        """See Movements."""
        rows = await self._database.many(
            "told", micros_of(position.at), position.operation_id, limit
        )
        found = [
            Movement(
                operation_id=row["id"],
                kind=row["kind"],
                end=row["ending"],
                farmer_id=FarmerId(row["farmer_id"]),
                pooler_id=POOLER,
                block_index=row["block_index"],
                ledger=9,
                transaction_hash="",
                at=moment_of(row["at_micros"]),
                amount=0 if row["kind"] == "withdraw" else row["amount"],
                withdrawn_kale=row["amount"] if row["kind"] == "withdraw" else 0,
                fee=0 if row["kind"] == "harvest" else row["fee"],
            )
            for row in rows
        ]
        return found, [Position(at=one.at, operation_id=one.operation_id) for one in found]


#: The pooler, as history.sql names it.
POOLER = PoolerId(UUID("00000000-0000-7000-8001-c4ca4238a0b9"))


def proven(block: int) -> Mapping[str, int]:
    """Return what miners proved in a block, by address: always the same."""
    chance = random.Random(block)
    miners = chance.sample(range(ALL_MINERS), MINERS)
    return {f"G{number:055d}": chance.randint(1, 10**9) for number in miners}


def own(block: int) -> int:
    """Return the pooler's own hashes in a block."""
    return 0 if block % 3 == 0 else 10**6 * block


async def book(database: Database) -> None:
    """Book what wallet tells until nothing is left."""
    store, ledger = Store(database, _judge()), BookkeepingStore(database)
    keeper = Bookkeeper(store=store, ledger=ledger, wallet=Told(database))
    while True:
        await keeper.step()
        place = (await ledger.state()).read
        row = await database.one("left", micros_of(place.at), place.operation_id)
        if row is not None and row["movements"] == 0:
            return
        await asyncio.sleep(0.01)


async def record(database: Database) -> None:
    """Record the harvests, half a block at a time."""
    last = await _number(database, "last_block")
    first = await _number(database, "recorded_until")
    for block in range(max(700, first - _BACK), last + 1):
        for half in random.sample((0, 1), 2):
            await database.execute("record_half", block, half)


async def credit(database: Database) -> None:
    """Tell who mined each block, in two chunks, before or after it is harvested."""
    store = CreditStore(database)
    last = await _number(database, "last_block")
    first = await _number(database, "credited_until")
    for block in range(max(700, first - _BACK), last + 1):
        miners = list(proven(block).items())
        for number, part in ((2, miners[2:]), (1, miners[:2])):
            await store.tell(
                Chunk(
                    pooler_id=POOLER,
                    block_index=block,
                    number=number,
                    chunks=2,
                    own_points=own(block),
                    miners=[Proven(address=one, points=points) for one, points in part],
                )
            )


async def write(database: Database) -> None:
    """Book everything; whatever is divided once more at the end is divided as it ended."""
    dividing = MinerCredits(Store(database, _judge()), CreditStore(database))

    async def divide() -> None:
        while True:
            await dividing.divide()
            await asyncio.sleep(0.2)

    background = asyncio.create_task(divide())
    await asyncio.gather(book(database), record(database), credit(database))
    background.cancel()
    await asyncio.gather(background, return_exceptions=True)
    await dividing.divide()


def _judge() -> Judge:
    return Nobody()


async def _number(database: Database, query: str) -> int:
    row = await database.one(query)
    return 0 if row is None or row["block_index"] is None else int(row["block_index"])


async def main() -> None:
    """Run until all is booked."""
    address = DatabaseAddress(dsn=os.environ["DATABASE_URL"])
    async with open_database(
        address,
        queries=(*HARVEST_QUERIES, STORY),
        pool_size=5,
        timeout_ms=120_000,
        lock_timeout_ms=60_000,
        name="books",
    ) as database:
        await write(database)


if __name__ == "__main__":
    asyncio.run(main())
