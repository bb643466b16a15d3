"""Divides what a block has earned among those who mined it, once and for ever."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from libs.common.errors import PoolError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from pooler.shares.domain.model import BlockRow, BlockState, PaidPart, Part
from pooler.shares.domain.points import divide
from pooler.shares.store.store import Store

log = get_logger(__name__)
#: Stands for the pool's own hashes among the miners' numbers, which begin at 1.
_OWN = 0
#: Seconds between two looks for blocks to hand on.
_LOOK = 5.0
_DIVIDED = frozenset({BlockState.FINAL, BlockState.HANDED_ON})


class Payer(Protocol):
    """Who credits miners' parts and pays them."""

    async def take(self, block: BlockRow, parts: Sequence[PaidPart]) -> None:
        """Take the parts of a block; to be called again with the same ones changes nothing.

        Raise PoolError when they cannot be taken now.
        """


class Dividing:
    """Miners' parts of blocks."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    async def harvested(self, index: int, rewards: int) -> list[Part]:
        """Divide a block that has earned so many stroops; return the miners' parts.

        The block is closed by now. Nothing happens, and nothing is returned, when it is divided
        already, or unknown.
        """
        row = await self._store.block(index)
        if row is None or row.state in _DIVIDED:
            return []
        pot, parts = parts_of(row, rewards, await self._store.points_of_block(index))
        if not await self._store.divide(index, rewards=rewards, pot=pot, parts=parts):
            return []
        await failpoint("shares.block.divided")
        log.info("block divided", block=index, rewards=rewards, pot=pot, miners=len(parts))
        return parts

    async def hand_on(self, payer: Payer) -> int:
        """Hand on the parts of blocks that are final, the oldest first; return how many blocks.

        What the payer does not take stays for the next time, and so does all that comes after.
        """
        handed = 0
        for row in await self._store.blocks_in(BlockState.FINAL):
            try:
                await payer.take(row, await self._store.paid_parts(row.block))
            except PoolError as error:
                log.warning("parts not handed on", block=row.block, reason=error.reason)
                break
            await failpoint("shares.parts.taken")
            handed += await self._store.hand_on(row.block)
        return handed

    async def keep_handing_on(self, payer: Payer) -> None:
        """Do that again and again, until the task is cancelled."""
        while True:
            try:
                await self.hand_on(payer)
            except PoolError as error:
                log.warning("parts not handed on", reason=error.reason, error=error.message)
            except Exception as error:  # a defect in one round must not end all of them
                log.exception("defect", exc_info=error)
            await asyncio.sleep(_LOOK)


def parts_of(row: BlockRow, rewards: int, points: dict[int, int]) -> tuple[int, list[Part]]:
    """Return the stroops that are divided, and the miners' parts of them, by the block's terms.

    The pool's own part is what is left. Nothing is divided where nobody has proven anything.
    """
    pot = row.pot_of(rewards)
    own = row.own_hashes if row.own_takes_part else 0
    if not points:
        return 0, []
    amounts = divide(pot, {**points, _OWN: own})
    parts = [
        Part(block=row.block, miner=miner, points=proven, amount=amounts[miner])
        for miner, proven in points.items()
    ]
    return pot, parts
