"""A feed of settled operations for all callers that wait for them, by one query for all callers."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from libs.common.ids import OperationId
from services.wallet.domain.model import Operation
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.operations import OperationStore

#: Seconds after which settled operations are looked for even without a wakeup: other processes
#: settle operations, too.
_POLL = 1.0

#: A waiter's news: those of its own operations that one query found, or the query's error.
_News = asyncio.Queue[list[Operation] | Exception]


class SettledFeed:
    """A feed with one query per wakeup, although many calls wait for a thousand operations."""

    def __init__(self, operations: OperationStore, settled: Wakeup) -> None:
        """Take `settled`, which rings when operations were settled in this process."""
        self._operations = operations
        self._settled = settled
        self._waiting: dict[OperationId, set[_News]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def of(self, ids: Sequence[OperationId]) -> AsyncIterator[list[Operation]]:
        """Yield each operation once, when it is settled, whichever wallet process settles it.

        Operations that were settled together come in one list. The iterator ends after the last
        operation.

        Raises UnavailableError when the database is away.
        """
        news, missing = _News(), set(ids)
        self._join(news, missing)
        try:
            # Operations that are settled already; none is lost in between, as we wait for all.
            found: list[Operation] | Exception = await self._operations.settled_among(missing)
            while True:
                if isinstance(found, Exception):
                    raise found
                # The first query and the query for all waiters may have found the same operations.
                fresh = [operation for operation in found if operation.id in missing]
                missing.difference_update(operation.id for operation in fresh)
                if fresh:
                    yield fresh
                if not missing:
                    return
                found = await news.get()
        finally:
            self._leave(news, ids)

    async def one(self, operation_id: OperationId) -> Operation:
        """Return an operation once it is settled.

        Raises UnavailableError when the database is away.
        """
        (found,) = [operation async for settled in self.of([operation_id]) for operation in settled]
        return found

    def _join(self, news: _News, ids: set[OperationId]) -> None:
        for item in ids:
            self._waiting.setdefault(item, set()).add(news)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def _leave(self, news: _News, ids: Sequence[OperationId]) -> None:
        for item in ids:
            waiters = self._waiting.get(item)
            if waiters is not None:
                waiters.discard(news)
                if not waiters:
                    del self._waiting[item]

    async def _look(self) -> None:
        """Query until nobody waits any more; give a failure to all waiters."""
        try:
            while self._waiting:
                seen = self._settled.count
                found: dict[_News, list[Operation]] = {}
                for operation in await self._operations.settled_among(list(self._waiting)):
                    for news in self._waiting.pop(operation.id, set()):
                        found.setdefault(news, []).append(operation)
                for news, operations in found.items():
                    news.put_nowait(operations)
                if self._waiting:
                    await self._settled.wait(seen, _POLL)
        except Exception as error:
            waiters, self._waiting = set().union(*self._waiting.values()), {}
            for news in waiters:
                news.put_nowait(error)
