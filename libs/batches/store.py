"""The tables that plant, work and harvest have alike: batches, and where the chain is.

The queries of these names are in each service's queries.sql, over its own schema.
"""

from libs.batches.listing import EventFilter
from libs.batches.model import Batch, ChainHead, FarmerNotFoundError, PoolerNotFoundError
from libs.common.db.pool import Database, Session
from libs.common.errors import UnavailableError
from libs.common.ids import BatchId, PoolerId


class BatchTables:
    """Base of a service's store; with `chunks` it satisfies libs.batches.model.BatchStore."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def head(self) -> ChainHead:
        """Where the chain is; UnavailableError before wallet has seen it."""
        row = await self.database.one("head")
        if row is None:
            raise UnavailableError("the chain has not been seen yet", reason="CHAIN_UNKNOWN")
        return ChainHead(**row)

    async def batch(self, batch_id: BatchId) -> Batch:
        """A batch that exists."""
        row = await self.database.one("batch", batch_id)
        if row is None:
            raise LookupError(f"no batch {batch_id}")
        return Batch(**row)

    async def batch_by_request(
        self, pooler_id: PoolerId, request_id: str, session: Session | None = None
    ) -> Batch | None:
        """The batch that a request id stands for."""
        source = session or self.database
        row = await source.one("batch_by_request", pooler_id, request_id)
        return None if row is None else Batch(**row)

    async def open_batches(self) -> list[BatchId]:
        """Batches that are not completed, oldest first."""
        return [row["id"] for row in await self.database.many("open_batches")]

    async def check_filter(self, chosen: EventFilter) -> None:
        """Raises PoolerNotFoundError or FarmerNotFoundError for an id that nobody has."""
        known = await self.database.one("known", chosen.pooler_id, chosen.farmer_id)
        if known is None or not known["pooler"]:
            raise PoolerNotFoundError(f"no pooler {chosen.pooler_id}")
        if not known["farmer"]:
            raise FarmerNotFoundError(f"no farmer {chosen.farmer_id}")

    async def ensure_partition(self, block_index: int) -> None:
        """Makes the events' partition of a block, before the transaction that plans it.

        In a transaction that has read the table already, it would wait for another one that waits
        to do the same.
        """
        await self.database.execute("ensure_partition", block_index)

    async def lock_pooler(self, session: Session, pooler_id: PoolerId) -> None:
        """Waits until no other transaction plans a batch of the pooler, whatever its block."""
        await session.execute("lock_pooler", str(pooler_id))

    async def refuse(self, batch_id: BatchId, number: int, reason: str, message: str) -> None:
        """Marks the items of a chunk that wallet refused as a whole."""
        await self.database.execute("refuse_chunk", batch_id, number, reason, message)

    async def record(self, batch_id: BatchId) -> bool:
        """Writes events for all that is settled; True once the batch is complete."""
        async with self.database.transaction() as session:
            await session.execute("record", batch_id)
            await session.one("complete", batch_id)
        return (await self.batch(batch_id)).completed_at is not None

    async def record_found(self, first_block: int) -> int:
        """Writes events for what reconciliation recorded in the blocks from one on; how many.

        One statement for a block: several processes at once write each event once.
        """
        recorded = 0
        for row in await self.database.many("found_blocks", first_block):
            await self.ensure_partition(row["block_index"])
            told = await self.database.one("record_found", row["block_index"])
            recorded += 0 if told is None else int(told["recorded"])
        return recorded
