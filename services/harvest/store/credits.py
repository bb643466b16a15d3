"""Typed access to miners' credits."""

from pathlib import Path

import asyncpg

from libs.common.db.pool import Database
from libs.common.ids import PoolerId
from services.harvest.domain.credits import Chunk, Credit, Miner, Pot, miner_id
from services.harvest.domain.errors import MinersToldError

QUERIES = Path(__file__).parent / "queries_credits.sql"


class CreditStore:
    """The miners of poolers, what they proved, and what they were given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_farmed(self, pooler_id: PoolerId, block: int) -> bool:
        """Tell whether farmers of a pooler took part in a block."""
        row = await self._database.one("block_is_farmed", pooler_id, block)
        return row is not None and row["is_farmed"]

    async def tell(self, chunk: Chunk) -> bool:
        """Note a chunk, and divide the pot when it is the last one; tell whether it is new.

        Raises MinersToldError when something else was told before.
        """
        addresses = [one.address for one in chunk.miners]
        try:
            async with self._database.transaction() as session:
                row = await session.one(
                    "tell_miners",
                    chunk.pooler_id,
                    chunk.block_index,
                    chunk.number,
                    chunk.chunks,
                    chunk.own_points,
                    chunk.digest,
                    [miner_id(chunk.pooler_id, address) for address in addresses],
                    addresses,
                    [one.points for one in chunk.miners],
                )
                await session.one("divide_pot", chunk.block_index, chunk.pooler_id)
        except asyncpg.UniqueViolationError as error:
            raise MinersToldError(
                f"the miners of block {chunk.block_index} were told otherwise before"
            ) from error
        return row is not None and row["is_new"]

    async def due(self, limit: int) -> list[tuple[int, PoolerId]]:
        """Return blocks and poolers whose pot has changed since it was divided."""
        rows = await self._database.many("due_pots", limit)
        return [(row["block_index"], row["pooler_id"]) for row in rows]

    async def divide(self, block: int, pooler_id: PoolerId) -> bool:
        """Divide a pot as it is now; tell whether there was something to divide."""
        async with self._database.transaction() as session:
            row = await session.one("divide_pot", block, pooler_id)
        return row is not None and row["is_divided"]

    async def pot(self, pooler_id: PoolerId, block: int) -> Pot:
        """Return the miners' part of a block."""
        row = await self._database.one("miner_pot", pooler_id, block)
        if row is None:
            return Pot(is_complete=False, pot=0, divided=0)
        return Pot(is_complete=row["is_complete"], pot=int(row["pot"]), divided=int(row["divided"]))

    async def miner(self, pooler_id: PoolerId, address: str) -> Miner | None:
        """Return a miner by its address."""
        row = await self._database.one("miner", pooler_id, address)
        return None if row is None else Miner(**{**row, "unpaid": int(row["unpaid"])})

    async def credits(self, miner: Miner, *, before: int | None, limit: int) -> list[Credit]:
        """Return a miner's credits, newest block first."""
        rows = await self._database.many("miner_credits", miner.miner_id, before, limit)
        return [
            Credit(
                **{
                    **row,
                    "block_points": int(row["block_points"]),
                    "pot": int(row["pot"]),
                    "amount": int(row["amount"]),
                }
            )
            for row in rows
        ]
