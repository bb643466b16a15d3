"""Typed access to work's tables."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from libs.batches.listing import EventFilter
from libs.batches.model import Chunk
from libs.batches.store import BatchTables
from libs.common.db.pool import Session
from libs.common.ids import BatchId, FarmerId, PoolerId, new_id
from libs.kale.reward import BlockStats
from services.work.domain.model import (
    Block,
    FarmerState,
    Judged,
    PlannedWork,
    Verdict,
    Work,
    WorkRequest,
)

QUERIES = Path(__file__).parent / "queries.sql"


class Store(BatchTables):
    """All of it; satisfies libs.batches.model.BatchStore."""

    async def pooler_exists(self, pooler_id: PoolerId) -> bool:
        """Whether there is such a pooler."""
        return await self.database.one("pooler_exists", pooler_id) is not None

    async def block(self, index: int) -> Block | None:
        """A block as wallet last saw it."""
        row = await self.database.one("block", index)
        if row is None:
            return None
        numbers = {name: int(row[name]) for name in BlockStats.__dataclass_fields__}
        return Block(
            index=row["index"],
            opened_at=row["opened_at"],
            entropy=row["entropy"],
            stats=BlockStats(**numbers),
        )

    async def farmers(
        self,
        pooler_id: PoolerId,
        block_index: int,
        farmers: Sequence[FarmerId],
        session: Session | None = None,
    ) -> dict[FarmerId, FarmerState]:
        """What is known of a pooler's farmers in a block; strangers are absent."""
        source = session or self.database
        rows = await source.many("farmers", pooler_id, block_index, list(farmers))
        return {
            row["farmer_id"]: FarmerState(
                **{**row, "nonces": frozenset(int(nonce) for nonce in row["nonces"])}
            )
            for row in rows
        }

    async def insert_batch(
        self,
        session: Session,
        request: WorkRequest,
        judged: Sequence[Judged],
        plan: Sequence[PlannedWork],
        chunk_size: int,
    ) -> BatchId:
        """Makes judgements and plan durable."""
        batch_id = BatchId(new_id())
        await session.execute(
            "insert_batch",
            batch_id,
            request.request_id,
            request.pooler_id,
            request.block_index,
            request.digest,
        )
        await session.execute(
            "insert_submissions",
            batch_id,
            list(range(len(judged))),
            [one.submission.farmer_id for one in judged],
            [one.submission.nonce for one in judged],
            [one.digest for one in judged],
            [one.zeros for one in judged],
            [one.judgement for one in judged],
            [one.reason for one in judged],
            [one.message for one in judged],
        )
        await session.execute(
            "insert_items",
            batch_id,
            [item.farmer_id for item in plan],
            [new_id() for _ in plan],
            [position // chunk_size for position in range(len(plan))],
            [item.address for item in plan],
            [item.nonce for item in plan],
            [item.digest for item in plan],
            [item.zeros for item in plan],
        )
        return batch_id

    async def chunks(self, batch_id: BatchId) -> list[Chunk[tuple[FarmerId, int, bytes]]]:
        """What is still to be settled, as calls of wallet."""
        batch = await self.batch(batch_id)
        rows = await self.database.many("items", batch_id)
        return [
            Chunk(
                request_id=f"work-{batch_id}-{number}",
                block_index=batch.block_index,
                number=number,
                items=tuple((row["farmer_id"], int(row["nonce"]), row["hash"]) for row in items),
            )
            for number, items in groupby(rows, key=lambda row: row["chunk"])
        ]

    async def verdicts(self, batch_id: BatchId) -> tuple[Verdict, ...]:
        """One per submission of a completed batch, in order."""
        rows = await self.database.many("verdicts", batch_id)
        return tuple(Verdict(**{**row, "nonce": int(row["nonce"])}) for row in rows)

    async def list_works(self, chosen: EventFilter) -> list[Work]:
        """Recorded works, newest block first."""
        rows = await self.database.many("list_works", *chosen.arguments())
        return [
            Work(**{**row, "nonce": int(row["nonce"] or 0), "hash": row["hash"] or b""})
            for row in rows
        ]
