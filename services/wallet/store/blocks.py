"""Head and blocks as seen on the chain, for everybody who may read them."""

from datetime import datetime

from libs.common.db.pool import Database, Record, Session
from services.wallet.domain.model import Block, ChainHead
from services.wallet.domain.orders import block_opening_bytes
from services.wallet.store.orders import Orders


async def kept_head(source: Database | Session) -> ChainHead | None:
    """Return the newest head that any process has kept; None before the first."""
    row = await source.one("head")
    return None if row is None else ChainHead(**dict(row))


class BlockStore:
    """The tables chain.head and chain.blocks."""

    def __init__(self, database: Database, orders: Orders) -> None:
        self._database = database
        self._orders = orders
        #: The opening that was sealed last.
        self._sealed: tuple[int, datetime] | None = None

    async def save_head(self, head: ChainHead) -> bool:
        """Keep the head, unless a newer one is kept; tell whether it is the newest."""
        saved = await self._database.execute(
            "save_head",
            head.ledger,
            head.close_time,
            head.current_block,
            head.plantable_block,
            head.paused,
            head.block_seconds,
        )
        return saved > 0

    async def save_block(self, block: Block, *, updated_ledger: int) -> int:
        """Keep a block's record as of the ledger that changed the block last.

        Return the ledger that the block was first seen in, by any process.
        """
        row = await self._database.one(
            "save_block",
            block.index,
            block.opened_ledger,
            block.opened_at,
            block.closes_at,
            block.entropy,
            block.min_gap,
            block.max_gap,
            block.min_zeros,
            block.max_zeros,
            block.min_stake,
            block.max_stake,
            block.staked_total,
            block.normalized_total,
            block.expires_ledger,
            updated_ledger,
        )
        await self._seal_opening(block)
        # None: a newer record is kept.
        row = row or await self._database.one("block", block.index)
        return block.opened_ledger if row is None else int(row["opened_ledger"])

    async def _seal_opening(self, block: Block) -> None:
        """Keep when a block opened, with an authenticator, once the keys of rows are open.

        By that moment its rewards go by one agreement or another.
        """
        opening = (block.index, block.opened_at)
        if opening == self._sealed or not self._orders.are_open:
            return
        data = block_opening_bytes(block_index=block.index, opened_at=block.opened_at)
        await self._database.execute("save_opening", *opening, self._orders.mac(data))
        self._sealed = opening

    async def head(self) -> ChainHead | None:
        """Return the newest head kept; None before the first."""
        return await kept_head(self._database)

    async def block(self, index: int) -> Block | None:
        """Return a block; None when it was not seen."""
        row = await self._database.one("block", index)
        return None if row is None else _block(row)

    async def between(self, after: int, before: int) -> list[Block]:
        """Return the blocks that were seen with after < index < before, in order."""
        return [_block(row) for row in await self._database.many("blocks_between", after, before)]

    async def newest_index(self) -> int | None:
        """Return the greatest index that was seen; None before the first block."""
        row = await self._database.one("newest_block")
        return None if row is None else row["index"]


def _block(row: Record) -> Block:
    fields = dict(row)
    del fields["updated_ledger"]
    fields["staked_total"] = int(fields["staked_total"])
    fields["normalized_total"] = int(fields["normalized_total"])
    return Block(**fields)
