"""Typed access to work's tables."""

from collections.abc import Sequence
from pathlib import Path

from libs.batches.store import QUERIES as BATCH_QUERIES
from libs.batches.store import BatchTables
from libs.common.db.pool import Record, Session
from libs.common.ids import BatchId, FarmerId, PoolerId
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

#: Queries: those of work, and those that all services with batches share.
QUERIES = (BATCH_QUERIES, Path(__file__).parent / "queries.sql")
MIGRATIONS = Path(__file__).parent / "migrations"


class Store(BatchTables[tuple[FarmerId, int, bytes], Work]):
    """All tables of work; the items sent to wallet are (farmer, nonce, hash)."""

    def item_of(self, row: Record) -> tuple[FarmerId, int, bytes]:
        """See BatchTables."""
        return row["farmer_id"], int(row["nonce"]), row["hash"]

    def event_of(self, row: Record) -> Work:
        """See BatchTables."""
        return Work(**{**row, "nonce": int(row["nonce"] or 0), "hash": row["hash"] or b""})

    async def block(self, index: int) -> Block | None:
        """Return a block as wallet last saw it; None when there is none."""
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
        """Return the known facts of a pooler's farmers in a block; farmers of others are absent."""
        source = session or self.database
        rows = await source.many("farmers", pooler_id, block_index, list(farmers))
        return {
            row["farmer_id"]: FarmerState(
                **{**row, "nonces": frozenset(int(nonce) for nonce in row["nonces"])}
            )
            for row in rows
        }

    async def insert_judged(
        self,
        session: Session,
        request: WorkRequest,
        judged: Sequence[Judged],
        plan: Sequence[PlannedWork],
        chunk_size: int,
    ) -> BatchId:
        """Make judgements and plan durable."""
        batch_id = await self.insert_batch(
            session,
            request,
            plan,
            chunk_size,
            [item.nonce for item in plan],
            [item.digest for item in plan],
            [item.zeros for item in plan],
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
        return batch_id

    async def verdicts(self, batch_id: BatchId) -> tuple[Verdict, ...]:
        """Return one verdict per submission of a completed batch, in order."""
        rows = await self.database.many("verdicts", batch_id)
        return tuple(Verdict(**{**row, "nonce": int(row["nonce"])}) for row in rows)
