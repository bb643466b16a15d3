"""A pool's ledger for tests: what is booked, and what the accounts have by then."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from libs.common.db.pool import Database
from libs.common.ids import PoolerId, new_id
from services.harvest.domain.credits import Chunk, Proven, miner_id
from services.harvest.store.credits import CreditStore
from services.harvest.store.ledger import LedgerStore
from services.harvest.store.store import QUERIES, Store
from services.harvest.usecases.credits import MinerCredits
from services.harvest.usecases.ledger import Ledger
from tests.support.database import DatabaseAccess
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld, open_tables_of
from tests.support.table_rows import insert_event

BLOCK = 700


@dataclass(frozen=True, kw_only=True)
class LedgerWorld:
    """harvest's tables by its own role, and all rights besides."""

    world: PoolWorld
    #: By harvest's own role.
    database: Database
    pooler: UUID

    @property
    def admin(self) -> "asyncpg.Connection[Any]":
        """A connection that may do everything."""
        return self.world.connection

    @property
    def ledger(self) -> Ledger:
        """The use cases, with ranges of a few journals."""
        store = Store(self.database, Ends())
        return Ledger(store=store, ledger=LedgerStore(self.database), journals=3)

    async def person(self) -> Person:
        """Make a farmer of the pooler."""
        return await self.world.farmer(self.pooler)

    async def harvested(
        self, person: Person, *, block: int = BLOCK, reason: str = "", **values: object
    ) -> UUID:
        """Write a harvest; it failed when there is a reason."""
        return await insert_event(
            self.admin,
            "harvest.harvests",
            farmer=person.farmer_id,
            pooler=self.pooler,
            block=block,
            reason=reason,
            **values,
        )

    async def book(
        self, kind: str, person: Person, amount: int, *, key: str = "", block: int | None = None
    ) -> int:
        """Book one transfer by harvest's own role; return how many journals that made."""
        async with self.database.session() as session:
            return await book(session.connection, [(kind, person, amount, key, block)])

    async def credit(
        self,
        proven: Mapping[str, int],
        *,
        own: int = 0,
        block: int = BLOCK,
        chunk: tuple[int, int] = (1, 1),
    ) -> bool:
        """Tell what miners proved in a block, by address; return whether that is new."""
        number, chunks = chunk
        told = Chunk(
            pooler_id=PoolerId(self.pooler),
            block_index=block,
            number=number,
            chunks=chunks,
            own_points=own,
            miners=[Proven(address=one, points=points) for one, points in proven.items()],
        )
        return await CreditStore(self.database).tell(told)

    async def divide(self) -> int:
        """Divide all pots that have changed, as harvest's loop does it."""
        store = Store(self.database, Ends())
        return await MinerCredits(store, CreditStore(self.database)).divide()

    async def credited(self, addresses: Iterable[str]) -> dict[str, int]:
        """Return what miners' accounts have, by address."""
        found = {}
        for address in addresses:
            owner = miner_id(PoolerId(self.pooler), address)
            found[address] = (await self.balances(owner)).get("miner:earned", 0)
        return found

    async def deny(self, *keys: str) -> int:
        """Book that the chain has no trace of these operations."""
        async with self.database.session() as session:
            return int(
                await session.connection.fetchval("SELECT harvest.book_denials($1)", list(keys))
            )

    async def lose(self, before: int) -> int:
        """Book the stakes of blocks before this one that are lost."""
        async with self.database.session() as session:
            return int(await session.connection.fetchval("SELECT harvest.book_losses($1)", before))

    async def balances(self, owner: UUID | None = None) -> dict[str, int]:
        """Return what accounts have by role; the pool's own without an owner."""
        rows = await self.admin.fetch(
            "SELECT a.role::text, b.amount FROM harvest.accounts AS a "
            "INNER JOIN harvest.account_balances AS b ON b.account_id = a.id "
            "WHERE a.owner_id = $1 AND a.asset = 'kale' AND b.amount <> 0",
            owner or UUID(int=0),
        )
        return {row["role"]: int(row["amount"]) for row in rows}

    async def costs(self) -> int:
        """Return the stroops of XLM that were booked as costs."""
        found = await self.admin.fetchval(
            "SELECT coalesce(sum(-b.amount), 0) FROM harvest.accounts AS a "
            "INNER JOIN harvest.account_balances AS b ON b.account_id = a.id "
            "WHERE a.role = 'treasury:network_cost'"
        )
        return int(found)

    async def journals(self) -> Counter[str]:
        """Return how many journals there are, by kind."""
        rows = await self.admin.fetch("SELECT kind::text FROM harvest.journals")
        return Counter(row["kind"] for row in rows)

    async def earned(self, person: Person) -> tuple[int, int, int]:
        """Return what a farmer has earned, as it is told: net, gross and how often."""
        row = await self.admin.fetchrow(
            "SELECT current_balance, total_rewards, harvests FROM harvest.balances "
            "WHERE farmer_id = $1",
            person.farmer_id,
        )
        return (0, 0, 0) if row is None else tuple(row)

    async def agree(self, pooler: int, operator: int, miners: int) -> None:
        """Let every farmer's terms be these, in ten-thousandths."""
        await self.admin.execute(
            "CREATE OR REPLACE FUNCTION harvest.terms(farmer_id uuid, block_index int) "  # noqa: S608
            "RETURNS TABLE (pooler_bps int, operator_bps int, miners_bps int) LANGUAGE sql STABLE "
            f"BEGIN ATOMIC VALUES ({pooler:d}, {operator:d}, {miners:d}); END"
        )


#: Kind, farmer, stroops, key and block of a transfer.
Wanted = tuple[str, Person, int, str, int | None]


async def book(connection: Any, wanted: Sequence[Wanted]) -> int:
    """Book transfers in one statement; return how many journals that made."""
    kinds, people, amounts, keys, blocks = zip(*wanted, strict=True)
    found = await connection.fetchval(
        "SELECT harvest.book_transfers($1::text[]::harvest.journal_kind[], $2, $3, $4, $5, $6, $7, "
        "$8, $9)",
        list(kinds),
        [key or str(new_id()) for key in keys],
        [person.farmer_id for person in people],
        [None for _ in wanted],
        list(blocks),
        [9 for _ in wanted],
        ["" for _ in wanted],
        [datetime.now(UTC) for _ in wanted],
        list(amounts),
    )
    return int(found)


@asynccontextmanager
async def open_ledger(database: DatabaseAccess) -> AsyncIterator[LedgerWorld]:
    """Open a ledger in which nothing is booked yet."""
    async with open_tables_of(database, "harvest", QUERIES) as (world, opened):
        yield LedgerWorld(world=world, database=opened, pooler=await world.pooler())
