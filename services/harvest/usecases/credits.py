"""Use cases of miners' credits: a pooler tells who mined a block, and the pool divides its pot."""

from collections.abc import Sequence

from libs.common.errors import InvalidArgumentError
from libs.common.failpoints import failpoint
from libs.common.ids import PoolerId
from libs.common.log import get_logger
from services.harvest.domain.credits import Chunk, Credit, Miner, Pot
from services.harvest.domain.errors import (
    BlockNotClosedError,
    BlockNotFarmedError,
    MinerUnknownError,
)
from services.harvest.store.credits import CreditStore
from services.harvest.store.store import Store

log = get_logger(__name__)

#: Pots that are looked up at once.
_PAGE = 100


class MinerCredits:
    """The use cases; any number of processes do no harm."""

    def __init__(self, store: Store, credit_store: CreditStore) -> None:
        self._store = store
        self._credits = credit_store

    async def tell(self, chunk: Chunk) -> Pot:
        """Note what miners did in a block; return how far the block is.

        Raises BlockNotClosedError, BlockNotFarmedError or MinersToldError.
        """
        if chunk.number > chunk.chunks:
            raise InvalidArgumentError.of("chunk", "is more than there are chunks")
        pooler_id, block = chunk.pooler_id, chunk.block_index
        head = await self._store.head()
        if head.current_block is None or block >= head.current_block:
            raise BlockNotClosedError(
                f"block {block} is not closed: nobody has planted in the next one",
                metadata=head.metadata(),
            )
        if not await self._credits.is_farmed(pooler_id, block):
            raise BlockNotFarmedError(f"no farmer of the pooler took part in block {block}")
        await failpoint("harvest.credits.told")
        is_new = await self._credits.tell(chunk)
        await failpoint("harvest.credits.noted")
        pot = await self._credits.pot(pooler_id, block)
        if is_new and pot.is_complete:
            log.info("miners credited", block=block, pooler=str(pooler_id), pot=pot.divided)
        return pot

    async def divide(self) -> int:
        """Divide the pots that have changed since their miners were told; return how many."""
        divided = 0
        while due := await self._credits.due(_PAGE):
            for block, pooler_id in due:
                divided += await self._credits.divide(block, pooler_id)
            await failpoint("harvest.credits.divided")
        return divided

    async def miner(self, pooler_id: PoolerId, address: str) -> Miner:
        """Return a miner. Raises MinerUnknownError."""
        found = await self._credits.miner(pooler_id, address)
        if found is None:
            raise MinerUnknownError(f"no miner of pooler {pooler_id} is paid at {address}")
        return found

    async def credits(self, miner: Miner, *, before: int | None, limit: int) -> Sequence[Credit]:
        """Return a miner's credits, newest block first."""
        return await self._credits.credits(miner, before=before, limit=limit)
