"""Gives operations to all who wait for them, by one look for everybody."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from libs.common.ids import OperationId
from services.wallet.domain.model import Operation
from services.wallet.engine.bell import Bell
from services.wallet.store.operations import OperationStore

#: Seconds after which settled operations are looked for even if nobody rang: other processes settle
#: them, too.
_POLL = 1.0

#: What a waiter is given: an operation, or why the look failed.
_News = asyncio.Queue[Operation | Exception]


class Results:
    """A thousand operations are waited for by many calls; each ring costs one query."""

    def __init__(self, operations: OperationStore, settled: Bell) -> None:
        """`settled` rings when operations were settled here."""
        self._operations = operations
        self._settled = settled
        self._waiting: dict[OperationId, set[_News]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def of(self, ids: Sequence[OperationId]) -> AsyncIterator[Operation]:
        """Each operation when it is settled, by whichever wallet process; ends after the last.

        Raises UnavailableError when the database is away.
        """
        news, missing = _News(), set(ids)
        self._join(news, missing)
        try:
            # Those that are settled already; nothing is lost in between, as we wait for all.
            for operation in await self._operations.settled_among(missing):
                missing.discard(operation.id)
                yield operation
            while missing:
                found = await news.get()
                if isinstance(found, Exception):
                    raise found
                if found.id in missing:
                    missing.discard(found.id)
                    yield found
        finally:
            self._leave(news, ids)

    async def one(self, operation_id: OperationId) -> Operation:
        """An operation, once it is settled. UnavailableError as above."""
        (found,) = [operation async for operation in self.of([operation_id])]
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
                seen = self._settled.rings
                for operation in await self._operations.settled_among(list(self._waiting)):
                    for news in self._waiting.pop(operation.id, set()):
                        news.put_nowait(operation)
                if self._waiting:
                    await self._settled.wait(seen, _POLL)
        except Exception as error:
            waiters, self._waiting = set().union(*self._waiting.values()), {}
            for news in waiters:
                news.put_nowait(error)
