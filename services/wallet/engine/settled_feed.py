"""Gives operations to all who wait for them, by one look for everybody."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from libs.common.ids import OperationId
from services.wallet.domain.model import Operation
from services.wallet.engine.wakeup import Wakeup
from services.wallet.store.operations import OperationStore

#: Seconds after which settled operations are looked for even if nobody rang: other processes settle
#: them, too.
_POLL = 1.0

#: What a waiter is given: those of its operations that one look found, or why the look failed.
_News = asyncio.Queue[list[Operation] | Exception]


class SettledFeed:
    """A thousand operations are waited for by many calls; each ring costs one query."""

    def __init__(self, operations: OperationStore, settled: Wakeup) -> None:
        """`settled` rings when operations were settled here."""
        self._operations = operations
        self._settled = settled
        self._waiting: dict[OperationId, set[_News]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def of(self, ids: Sequence[OperationId]) -> AsyncIterator[list[Operation]]:
        """Each operation once, when it is settled, with those that settled along with it, by
        whichever wallet process; ends after the last.

        Raises UnavailableError when the database is away.
        """
        news, missing = _News(), set(ids)
        self._join(news, missing)
        try:
            # Those that are settled already; nothing is lost in between, as we wait for all.
            found: list[Operation] | Exception = await self._operations.settled_among(missing)
            while True:
                if isinstance(found, Exception):
                    raise found
                # The first look, and the one for everybody, may have found the same.
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
        """An operation, once it is settled. UnavailableError as above."""
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
        """Until nobody waits any more; a failure is everybody's."""
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
