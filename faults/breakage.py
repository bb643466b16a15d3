"""Ways to break things. Each is a context: broken inside, on its way back to normal outside."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from faults.arena import Arena

Breakage = Callable[[Arena], AbstractAsyncContextManager[None]]


def nothing() -> Breakage:
    """All is well: what the other rows are compared with."""

    @asynccontextmanager
    async def broken(_arena: Arena) -> AsyncIterator[None]:
        yield

    return broken


def node(**faults: Any) -> Breakage:
    """The node misbehaves in one of its ways (localnet/rpc/faults.py)."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        await arena.misbehave(**faults)
        try:
            yield
        finally:
            await arena.behave()

    return broken


def kill_at(failpoint: str) -> Breakage:
    """The wallet dies at a commit edge, and is started again without the failpoint."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        kills = arena.kills
        await arena.arm(failpoint)
        async with _beside(arena.revive_dead()):
            yield
        if arena.kills == kills:  # not reached: nothing of it may be left for the next cell
            await arena.world.stack.end("wallet")

    return broken


def random_kills(most: int, *, first: float, life: float) -> Breakage:
    """The wallet is killed within `first` seconds, then again and again, also while it starts.

    `life` is how long it lives at most, in seconds.
    """

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        async def strike() -> None:
            for number in range(most):
                await asyncio.sleep(arena.random.uniform(0, life if number else first))
                await arena.kill(arena.random.choice(arena.wallets))

        async with _beside(strike()):
            yield

    return broken


def cut_database(every: float) -> Breakage:
    """All of the wallet's sessions with PostgreSQL end, again and again."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        async def strike() -> None:
            while True:
                await arena.cut_connections()
                await asyncio.sleep(arena.random.uniform(0, 2 * every))

        async with _beside(strike()):
            yield

    return broken


def frozen_wallet(seconds: float, after: float) -> Breakage:
    """The wallet's process stands still, as on a machine that is moved, and then goes on."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        async def strike() -> None:
            await asyncio.sleep(after)
            pid = arena.world.stack.pids()["wallet"]
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

        async with _beside(strike()):
            yield

    return broken


def forgotten_history(after: float) -> Breakage:
    """Lookups fail while ledgers take everything; then the node starts again without history."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        await arena.misbehave(failures={"getTransaction": 10**6, "getTransactions": 10**6})

        async def strike() -> None:
            await asyncio.sleep(after)
            await arena.behave()
            await arena.forget_history()

        async with _beside(strike()):
            yield

    return broken


def restarted_node(after: float) -> Breakage:
    """The node is killed and comes back with its chain, its queue gone."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        async def strike() -> None:
            await asyncio.sleep(after)
            await arena.world.stack.restart("localnet")

        async with _beside(strike()):
            yield

    return broken


def stale_replica(seconds: float, after: float) -> Breakage:
    """The node answers from an old ledger for a while and calls itself healthy."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[None]:
        async def strike() -> None:
            await asyncio.sleep(after)
            await arena.misbehave(stale=True)
            try:
                await asyncio.sleep(seconds)
            finally:
                await arena.misbehave(stale=False)

        async with _beside(strike()):
            yield

    return broken


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs beside the block; a failure of it fails the cell, what it was about to do is dropped."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
