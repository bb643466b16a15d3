"""A chain whose blocks a test opens, streamed as wallet streams them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kalepool.wallet.v1 import wallet_pb2

from libs.common.errors import OutOfRangeError


class Chain:
    """Streams blocks as wallet does: what was missed, the current one, then each change."""

    def __init__(self) -> None:
        self.index, self.ledger = 5, 100
        self.changed = asyncio.Condition()
        self.steps = 0
        self.error: Exception | None = None
        self.after: list[int | None] = []

    async def watch(self, request: Any) -> AsyncIterator[wallet_pb2.WatchBlocksResponse]:
        after = request.after_index if request.HasField("after_index") else None
        self.after.append(after)
        if after is not None and after < 2:
            raise OutOfRangeError("too old", reason="HISTORY_GONE")
        for missed in range(after + 1, self.index) if after is not None else ():
            yield self._state(missed)
        while True:
            seen = self.steps
            yield self._state(self.index)
            async with self.changed:
                while self.steps == seen:
                    await self.changed.wait()
            if self.error is not None:
                error, self.error = self.error, None
                raise error

    def _state(self, index: int) -> wallet_pb2.WatchBlocksResponse:
        return wallet_pb2.WatchBlocksResponse(
            block=wallet_pb2.Block(index=index, is_current=index == self.index),
            head=wallet_pb2.ChainHead(ledger=self.ledger, current_block=self.index),
        )

    async def step(self, *, blocks: int = 0, error: Exception | None = None) -> None:
        """Close a ledger, and open blocks."""
        self.steps += 1
        self.ledger += 1
        self.index += blocks
        self.error = error
        async with self.changed:
            self.changed.notify_all()
