"""The tables of plant, work and harvest: their common queries are tested with each service."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from libs.batches.listing import EventFilter
from libs.batches.model import BatchRequest, Event
from libs.batches.store import BatchTables
from libs.common.ids import BatchId, PoolerId, new_id
from services.harvest.domain.model import Harvest
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.harvest.store.store import Store as HarvestStore
from services.plant.domain.model import Planting
from services.plant.store.store import QUERIES as PLANT_QUERIES
from services.plant.store.store import Store as PlantStore
from services.work.domain.model import Work
from services.work.store.store import QUERIES as WORK_QUERIES
from services.work.store.store import Store as WorkStore
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.ends import Ends
from tests.support.pool_world import Person, PoolWorld

BLOCK = 41


@dataclass(frozen=True, kw_only=True)
class Service:
    """The differences between the services."""

    #: Name of the service, of its schema, and of the wallet's kind of operation.
    name: str
    store: type[BatchTables[Any, Any]]
    queries: Sequence[Path]
    event: type[Event]
    #: Table of the service's events.
    events: str
    #: Values that only this service's items have, in the order of the columns.
    columns: tuple[object, ...] = ()
    #: Fields that only this service's operations have.
    values: dict[str, Any] = field(default_factory=dict)


SERVICES = (
    Service(
        name="plant",
        store=PlantStore,
        queries=PLANT_QUERIES,
        event=Planting,
        events="plant.plantings",
        columns=(7,),
        values={"amount": 7},
    ),
    Service(
        name="work",
        store=WorkStore,
        queries=WORK_QUERIES,
        event=Work,
        events="work.works",
        columns=(5, bytes(32), 4),
        values={"nonce": 5, "hash": bytes(32), "zeros": 4},
    ),
    Service(
        name="harvest",
        store=HarvestStore,
        queries=HARVEST_QUERIES,
        event=Harvest,
        events="harvest.harvests",
        values={"amount": 3, "stake_returned": 7},
    ),
)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """An item of a plan."""

    farmer_id: Any
    address: str


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A service's tables, accessed by its own role, and the pool around them."""

    service: Service
    store: BatchTables[Any, Any]
    world: PoolWorld
    pooler: PoolerId
    database: DatabaseAccess
    #: What wallet would say of how operations ended.
    ends: Ends

    async def people(self, count: int, pooler: UUID | None = None) -> list[Person]:
        """Return farmers in the order of their ids, as batches list them."""
        return [await self.world.farmer(pooler or self.pooler) for _ in range(count)]

    async def stranger(self) -> Person:
        """Return a farmer of whom wallet has rows and registry has none."""
        person = await self.world.farmer(self.pooler)
        await self.world.connection.execute("SET session_replication_role = replica")
        await self.world.connection.execute(
            "DELETE FROM registry.farmers WHERE id = $1", person.farmer_id
        )
        await self.world.connection.execute("RESET session_replication_role")
        return person

    async def batch(
        self,
        people: Sequence[Person],
        *,
        request_id: str = "",
        pooler: PoolerId | None = None,
        block: int = BLOCK,
    ) -> BatchId:
        """Make a batch whose chunks have two farmers each."""
        request = BatchRequest(
            pooler_id=pooler or self.pooler,
            block_index=block,
            request_id=request_id or str(new_id()),
            digest=b"x",
        )
        items = [Planned(farmer_id=one.farmer_id, address=one.address) for one in people]
        await self.store.ensure_partition(block)
        async with self.store.database.transaction() as session:
            return await self.store.insert_batch(
                session,
                request,
                items,
                2,
                *([value] * len(items) for value in self.service.columns),
            )

    async def operation(
        self, person: Person, *, block: int = BLOCK, reason: str = "", is_found: bool = False
    ) -> UUID:
        """Make a settled operation of the wallet; the operation failed when there is a reason."""
        return await self.world.settled(
            person,
            block,
            self.service.name,
            reason=reason or None,
            is_found=is_found,
            **self.service.values,
        )

    async def joins(self, batch_id: BatchId, number: int, *operations: UUID) -> None:
        """Record that the wallet has these operations in a chunk of the batch."""
        name = f"{self.service.name}-{batch_id}-{number}"
        await self.world.connection.execute(
            "INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash) "
            "VALUES ($1, $2::wallet.operation_kind, $3, $4) ON CONFLICT DO NOTHING",
            name,
            self.service.name,
            BLOCK,
            bytes(32),
        )
        for operation in operations:
            await self.world.connection.execute(
                "INSERT INTO wallet.batch_operations VALUES ($1, $2)", name, operation
            )

    async def done(self, people: Sequence[Person], **given: Any) -> BatchId:
        """Make a batch that has ended successfully."""
        batch_id = await self.batch(people, **given)
        for position, person in enumerate(people):
            operation = await self.operation(person, block=given.get("block", BLOCK))
            await self.joins(batch_id, position // 2, operation)
        assert await self.store.record(batch_id)
        return batch_id

    async def listed(
        self,
        *,
        pooler: PoolerId | None = None,
        block: int | None = None,
        farmer: UUID | None = None,
        before: tuple[int, UUID] | None = None,
        limit: int = 100,
    ) -> list[tuple[int, UUID]]:
        """Return blocks and farmers of a page."""
        chosen = EventFilter(
            pooler_id=pooler or self.pooler,
            block_index=block,
            farmer_id=farmer,
            before=before,
            limit=limit,
        )
        page = await self.store.page(chosen)
        return [(one.block_index, one.farmer_id) for one in page.events]


@asynccontextmanager
async def open_tables(service: Service, database: DatabaseAccess) -> AsyncIterator[Tables]:
    """Open the tables of a pool in which nothing has happened yet."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connect(database.admin_dsn))
        opened = await stack.enter_async_context(
            open_as(database, service.name, service.queries, pool_size=4)
        )
        world, ends = PoolWorld(connection), Ends()
        yield Tables(
            service=service,
            ends=ends,
            store=service.store(opened, ends),
            world=world,
            pooler=PoolerId(await world.pooler()),
            database=database,
        )
