"""Writes shares down, many at a time: a share is acknowledged once it is on the disk.

A commit costs some milliseconds, whatever is in it. What arrives meanwhile goes together into the
next one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from pooler.shares.domain.model import Best, Share
from pooler.shares.store.store import Credited, Store

log = get_logger(__name__)
#: Shares of one commit at most: what came first does not wait for what comes after.
_MOST = 4000


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """What one request wants to have written down."""

    shares: Sequence[Share]
    bests: Sequence[Best]
    done: "asyncio.Future[Credited]"


class Crediting:
    """The one place from which shares are written."""

    def __init__(self, store: Store) -> None:
        """Take the store; `run` has to run."""
        self._store = store
        self._waiting: list[_Waiting] = []
        self._writing: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._held: asyncio.Future[Any] | None = None

    def hold_until(self, done: "asyncio.Future[Any]") -> None:
        """Write nothing before something else is written, which shares stand on.

        Where that fails, what is brought meanwhile fails by the same error.
        """
        self._held = done

    def bring(self, shares: Sequence[Share], bests: Sequence[Best]) -> "asyncio.Future[Credited]":
        """Have shares and best nonces written down; return what will become of them.

        It fails with UnavailableError when the database is away: nothing of it is written then.
        """
        done: asyncio.Future[Credited] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(shares=shares, bests=bests, done=done))
        self._wake.set()
        return done

    async def settled(self) -> None:
        """Wait until all that was brought so far is written, or was refused."""
        pending = [item.done for item in (*self._writing, *self._waiting)]
        await asyncio.gather(*pending, return_exceptions=True)

    async def run(self) -> None:
        """Write what arrives, until the task is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._writing = self._taken()
                await self._write(self._writing)
                self._writing = []

    def _taken(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        for item in self._waiting:
            if taken and size + len(item.shares) > _MOST:
                break
            taken.append(item)
            size += len(item.shares)
        del self._waiting[: len(taken)]
        return taken

    async def _write(self, items: Sequence[_Waiting]) -> None:
        try:
            if self._held is not None:
                await asyncio.shield(self._held)
            await failpoint("shares.credit.brought")
            credited = await self._store.credit(
                [share for item in items for share in item.shares],
                [best for item in items for best in item.bests],
            )
            await failpoint("shares.credit.written")
        except asyncio.CancelledError:
            for item in items:
                item.done.cancel()
            raise
        except Exception as error:  # told to those who wait
            log.warning("shares not written", requests=len(items), error=str(error))
            for item in items:
                if not item.done.done():
                    item.done.set_exception(error)
            return
        for item in items:
            if not item.done.done():
                item.done.set_result(credited)


@asynccontextmanager
async def open_crediting(store: Store) -> AsyncIterator[Crediting]:
    """Write shares while the block runs; at its end, all that was brought is written."""
    crediting = Crediting(store)
    running = asyncio.create_task(crediting.run())
    try:
        yield crediting
    finally:
        await crediting.settled()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
