"""Ways to break things, each a context: broken inside, on its way back to normal outside.

Each context gives a counter of how often the breakage has struck so far (strikes.py).
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from random import Random
from typing import Any

from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from trials.faults.arena import Arena
from trials.faults.strikes import Kills, Lied, Misdeeds, Strikes, Struck, Waits

#: Most seconds until a process is ended for the first time, while the phase has hardly begun, and
#: until the next time.
_FIRST = 0.1
_BETWEEN = 2.5
#: Ledgers that an entry may live at most.
_LONGEST_LIFE = 3_110_399
#: Seconds between two checks whether the disk is full.
_LOOK = 0.5


Breakage = Callable[[Arena], AbstractAsyncContextManager[Struck]]


def nothing() -> Breakage:
    """Break nothing: the other rows are compared with this one."""

    @asynccontextmanager
    async def broken(_arena: Arena) -> AsyncIterator[Struck]:
        yield Strikes(count=1)  # there is nothing that could fail to happen

    return broken


def crowd() -> Breakage:
    """Call more operations than a ledger takes: the calls alone are the breakage."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        yield Waits(arena=arena, before=await arena.records.count("count_ledgers"))

    return broken


def node(**faults: Any) -> Breakage:
    """Let the node misbehave in one of its ways (localnet/rpc/faults.py)."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        await arena.misbehave(**faults)
        try:
            yield Misdeeds(arena=arena, faults=list(faults))
        finally:
            await arena.behave()

    return broken


def lying(nodes: Sequence[int], body: Mapping[str, Any]) -> Breakage:
    """Let nodes lie (localnet/rpc/lies), all in the same way; the chain's own node stays honest.

    The wallet is restarted first, so that it asks nodes again that it has set aside for an earlier
    lie.
    """

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        await _begin_anew(arena)
        async with _telling(arena, nodes, body) as struck:
            yield struck

    return broken


def lied(nodes: Sequence[int], body: Mapping[str, Any], *, seconds: float) -> Breakage:
    """Let nodes lie for some seconds only; from then on all nodes are honest."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        strikes = Strikes()

        async def tell() -> None:
            async with _telling(arena, nodes, body) as struck:
                await asyncio.sleep(seconds)
                strikes.count = await struck.so_far()

        await _begin_anew(arena)
        async with _beside(tell()):
            yield strikes

    return broken


async def _begin_anew(arena: Arena) -> None:
    for wallet in arena.wallets:
        await arena.world.stack.restart(wallet)


@asynccontextmanager
async def _telling(
    arena: Arena, nodes: Sequence[int], body: Mapping[str, Any]
) -> AsyncIterator[Struck]:
    for number in nodes:
        await arena.misbehave(number, **body)
    try:
        yield Lied(arena=arena, nodes=nodes)
    finally:
        await arena.behave()


def due(**remaining: int) -> Breakage:
    """Give the farm's code or instance so few ledgers to live that calls renew it.

    Afterwards the entry has the most ledgers that are possible.
    """

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        await arena.misbehave(lives=remaining)
        try:
            yield Strikes(count=1)
        finally:
            await arena.misbehave(lives=dict.fromkeys(remaining, _LONGEST_LIFE))

    return broken


def kill_at(failpoint: str, *, name: str = "wallet") -> Breakage:
    """Let a process die at a commit edge, and start it again without the failpoint."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        deaths = Kills(arena=arena, before=arena.kills)
        await arena.arm(failpoint, name=name)
        async with _beside(arena.revive_dead([*arena.wallets, name])):
            yield deaths
        if not await deaths.so_far():  # nothing of it may be left for the next cell
            await arena.world.stack.end(name)

    return broken


def kill_at_raise(failpoint: str, *, skip_ledgers: int) -> Breakage:
    """Let the wallet die at a failpoint while ledgers skip everything, so that bids are raised."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        async with (
            kill_at(failpoint)(arena) as deaths,
            node(skip_ledgers=skip_ledgers)(arena),
        ):
            yield deaths

    return broken


def random_kills(most: int, *, first: float, life: float) -> Breakage:
    """Kill the wallet within `first` seconds, then again and again, also while it starts.

    `life` is the most seconds that the wallet lives.
    """

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        deaths = Kills(arena=arena, before=arena.kills)

        async def strike() -> None:
            for number in range(most):
                await asyncio.sleep(arena.random.uniform(0, life if number else first))
                await arena.kill(arena.random.choice(arena.wallets))

        async with _beside(strike()):
            yield deaths

    return broken


def cut_database(role: str, every: float) -> Breakage:
    """End all sessions of the roles that are like `role`, again and again."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        strikes = Strikes()

        async def strike() -> None:
            while True:
                strikes.count += await arena.cut_connections(role)
                await asyncio.sleep(arena.random.uniform(0, 2 * every))

        async with _beside(strike()):
            yield strikes

    return broken


def frozen(name: str, seconds: float, after: float) -> Breakage:
    """Let a process stand still, as on a machine that is moved, and then go on."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        strikes = Strikes()

        async def strike() -> None:
            await asyncio.sleep(after)
            async with arena.world.stack.hung(name):
                strikes.count += 1
                await asyncio.sleep(seconds)

        async with _beside(strike()):
            yield strikes

    return broken


def ended(name: str, number: signal.Signals) -> Breakage:
    """End a process by a signal again and again, and start it at once each time."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        signals = Kills(arena=arena, before=arena.kills)

        async def strike() -> None:
            for wait in _waits(arena.random):
                await asyncio.sleep(wait)
                await arena.kill(name, number=number)

        async with _beside(strike()):
            yield signals

    return broken


def ended_postgres(number: signal.Signals) -> Breakage:
    """End PostgreSQL by a signal, and start it again: SIGQUIT is a crash."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        strikes = Strikes()

        async def strike() -> None:
            for wait in _waits(arena.random):
                await asyncio.sleep(wait)
                strikes.count += 1
                await arena.world.stack.restart_postgres(number=number)

        async with _beside(strike()):
            yield strikes

    return broken


def full_disk() -> Breakage:
    """Let PostgreSQL write nothing more to its disk; then give it room again."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        if arena.disk is None:
            raise ValueError("this pool's disk cannot be filled")
        strikes = Strikes()

        async def look() -> None:
            while True:
                strikes.count += await arena.refuses_writes()
                await asyncio.sleep(_LOOK)

        arena.disk.fill()
        try:
            async with _beside(look()):
                yield strikes
        finally:
            arena.disk.free()

    return broken


def wrong_clock(seconds: int, *, after: float, hold: float) -> Breakage:
    """Set the wall clock of services and PostgreSQL wrong while they work, and right at the end.

    The node fails until `hold` seconds after the clock is set wrong, so that everything is in
    progress, waits and leases too.
    """

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        clock = arena.clock
        if clock is None:
            raise ValueError("this pool's clock cannot be set")

        strikes = Strikes()

        async def strike() -> None:
            await asyncio.sleep(after)
            clock.set(seconds)
            strikes.count += 1
            await asyncio.sleep(hold)
            await arena.behave()

        await arena.misbehave(failures={"*": 10**6})
        try:
            async with _beside(strike()):
                yield strikes
        finally:
            clock.set(0)

    return broken


def flooded(name: str, callers: int) -> Breakage:
    """Send a process more calls than its event loop can answer."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        stack = arena.world.stack
        async with open_channel(stack.target(name), stack.operator(), name=name) as channel:
            strikes = Strikes()

            async def ask() -> None:
                while True:
                    await is_serving(channel)
                    strikes.count += 1

            async with AsyncExitStack() as all_of_them:
                for _ in range(callers):
                    await all_of_them.enter_async_context(_beside(ask()))
                yield strikes

    return broken


def forgotten_history(after: float) -> Breakage:
    """Let lookups fail while ledgers take everything; then start the node again without history."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        await arena.misbehave(failures={"getTransaction": 10**6, "getTransactions": 10**6})
        strikes = Strikes()

        async def strike() -> None:
            await asyncio.sleep(after)
            # The witness has to read what is to be forgotten, and the wallet must not.
            async with arena.world.stack.hung("wallet"):
                await arena.behave()
                await arena.forget_history()
            strikes.count += 1

        async with _beside(strike()):
            yield strikes

    return broken


def restarted_node(after: float) -> Breakage:
    """Kill the node and start it again with its chain, but without its queue."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        strikes = Strikes()

        async def strike() -> None:
            await asyncio.sleep(after)
            strikes.count += 1
            await arena.world.stack.restart("localnet")

        async with _beside(strike()):
            yield strikes

    return broken


def stale_replica(seconds: float, after: float) -> Breakage:
    """Let the node answer from an old ledger for a while and call itself healthy."""

    @asynccontextmanager
    async def broken(arena: Arena) -> AsyncIterator[Struck]:
        async def strike() -> None:
            await asyncio.sleep(after)
            await arena.misbehave(stale=True)
            try:
                await asyncio.sleep(seconds)
            finally:
                await arena.misbehave(stale=False)

        async with _beside(strike()):
            yield Misdeeds(arena=arena, faults=["stale"])

    return broken


def _waits(random: Random) -> Iterator[float]:
    """Yield the seconds before each time that a process is ended."""
    yield random.uniform(0, _FIRST)
    while True:
        yield random.uniform(0, _BETWEEN)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work beside the block.

    A failure of the work fails the cell; when the block ends, the rest of the work is dropped.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
