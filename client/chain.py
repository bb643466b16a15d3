"""The chain as a pooler sees it: followed by a stream, checked by reads, timed by its clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from client.model import Block, Head
from client.pool import PoolClient
from client.retry import backoff
from libs.common.errors import FailedPreconditionError, NotFoundError, PoolError

#: Seconds between two looks while the pooler waits for something that no message announces, such as
#: the end of a block's interval.
_LOOK_SECONDS = 1.0


class ChainWatch:
    """The head of the chain, kept fresh by `follow` and by every read."""

    def __init__(
        self,
        client: PoolClient,
        *,
        clock: Callable[[], float] = monotonic,
        listener: Callable[[Head], None] = lambda _head: None,
    ) -> None:
        """Take `listener`, which hears of every head that is newer than all before."""
        self._client = client
        self._clock = clock
        self._listener = listener
        self._head: Head | None = None
        self._seen_at = 0.0
        self._moved = asyncio.Event()

    @property
    def head(self) -> Head:
        """Return where the chain was last seen; `refresh` must have succeeded once."""
        if self._head is None:
            raise FailedPreconditionError("the chain was not looked at yet")
        return self._head

    def now(self) -> float:
        """Return the chain's clock, unix seconds: the latest close time and what has passed since.

        It runs behind by up to a ledger's time, never ahead of a chain that goes on.
        """
        return self.head.close_time + self._clock() - self._seen_at

    async def follow(self) -> None:
        """Follow the stream of blocks until the task is cancelled."""
        delays = backoff()
        while True:
            # The stream is a hint only: every wait below also reads.
            with suppress(PoolError):
                async for view in self._client.watch_blocks():
                    self._take(view.head)
                    delays = backoff()
            await asyncio.sleep(next(delays))

    async def refresh(self) -> Head:
        """Read the head."""
        self._take((await self._client.block()).head)
        return self.head

    async def opened(self, index: int) -> Block:
        """Return the block, as soon as wallet has seen it."""
        while True:
            with suppress(NotFoundError):
                view = await self._client.block(index)
                self._take(view.head)
                if view.block is not None:
                    return view.block
            await self._message()

    async def wait_until(self, reached: Callable[[Head], bool]) -> Head:
        """Wait until `reached` is true of the head.

        Look at once, at every message, and in silence too.
        """
        await self.refresh()
        while not reached(self.head):
            if not await self._message():
                await self.refresh()
        return self.head

    async def look(self, seconds: float = _LOOK_SECONDS) -> None:
        """Wait for a message; read the head where none comes within so many seconds."""
        if not await self._message(seconds):
            await self.refresh()

    async def next_ledger(self) -> None:
        """Wait for the next ledger."""
        seen = self.head.ledger
        await self.wait_until(lambda head: head.ledger > seen)

    async def wait_until_after(self, index: int) -> None:
        """Wait until the block is no longer the current one, by messages alone, without reads."""
        while self.head.current_block <= index:
            await self._moved.wait()

    def _take(self, head: Head) -> None:
        known = -1 if self._head is None else self._head.ledger
        if head.ledger < known:
            return
        if head.ledger > known:
            # A ledger that is seen again must not set the clock back.
            self._seen_at = self._clock()
            self._listener(head)
        self._head = head
        self._moved.set()
        self._moved = asyncio.Event()

    async def _message(self, seconds: float = _LOOK_SECONDS) -> bool:
        """Tell whether the stream has reported something new within so many seconds."""
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def open_watch(
    client: PoolClient, listener: Callable[[Head], None] = lambda _head: None
) -> AsyncIterator[ChainWatch]:
    """Open a watch that follows the chain while the block runs; its head is known at once.

    `listener` hears of every head that is newer than all before.
    """
    watch = ChainWatch(client, listener=listener)
    await watch.refresh()
    following = asyncio.create_task(watch.follow())
    try:
        yield watch
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
