"""A search for the event loop: threads hash, finds arrive as they are made, nothing is waited for.

    async with open_search(work, roster, seconds=270) as search:
        async for find in search.improvements(): ...

Pooler and miner use it alike. What an engine does wrong costs its own hashes only.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from miner.board import Board
from miner.engine import Engine
from miner.model import Find, Rates, Work
from miner.roster import Roster
from miner.runner import Runner

#: Hears in words what is wrong with an engine.
Notice = Callable[[str], None]

#: Seconds that threads get to stop; they take milliseconds, but for a device that hangs.
_STOP_SECONDS = 5.0


class Search:
    """A running search; see open_search."""

    def __init__(self, work: Work, roster: Roster, notice: Notice) -> None:
        """Take the work and the engines; `notice` hears in words what goes wrong."""
        self._roster = roster
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._improved: asyncio.Queue[Find | None] = asyncio.Queue()
        self._over = asyncio.Event()
        self._board = Board(work, self._tell)
        self._runners: set[Runner] = set()
        self._failed: list[Engine] = []
        self._is_stopped = False
        self._ends: asyncio.TimerHandle | None = None

    @property
    def best(self) -> dict[int, Find]:
        """Return the best find of this search for each farmer, by its place in the targets."""
        return self._board.best_finds()

    @property
    def hashes(self) -> int:
        """Return the hashes computed so far, over all engines."""
        return sum(rates.hashes for rates in self._board.rates().values())

    @property
    def seconds(self) -> float:
        """Return the seconds since the search began."""
        return self._board.seconds

    def rates(self) -> dict[str, Rates]:
        """Return what each engine hashed since the search began."""
        return self._board.rates()

    def offer(self, target: int, zeros: int) -> bool:
        """Take that somebody else has a nonce with so many zeros for a farmer.

        Tell whether it is better than all before.
        """
        return self._board.offer(target, zeros)

    async def improvements(self) -> AsyncIterator[Find]:
        """Yield each find that is better than the farmer's best so far, until the search is over.

        To be iterated once.
        """
        while (find := await self._improved.get()) is not None:
            yield find

    async def finish(self) -> dict[int, Find]:
        """Wait until time is over, or every farmer has enough; return the best finds."""
        await self._over.wait()
        return self.best

    def stop(self) -> None:
        """End the search."""
        self._is_stopped = True
        for runner in self._runners:
            runner.stop()
        self._end_when_idle()

    async def begin(self, seconds: float | None) -> None:
        """Give every farmer a nonce, then let the engines search for so long; None: no end."""
        await asyncio.to_thread(self._board.first_nonces)
        if seconds is not None and seconds <= 0:
            self.stop()
            return
        if seconds is not None:
            self._ends = self._loop.call_later(seconds, self.stop)
        for engine in self._roster.usable():
            for _ in range(engine.appetite.threads):
                self._start(Runner(engine, self._board, self._ended))

    async def end(self) -> None:
        """Stop, and wait until no thread searches any more."""
        if self._ends is not None:
            self._ends.cancel()
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._over.wait()

    def _start(self, runner: Runner) -> None:
        self._runners.add(runner)
        runner.start()

    def _tell(self, find: Find) -> None:
        self._call(self._improved.put_nowait, find)

    def _ended(self, runner: Runner, error: Exception | None) -> None:
        self._call(self._remove, runner, error)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function in the event loop; without one any more, nobody waits for the call."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _remove(self, runner: Runner, error: Exception | None) -> None:
        self._runners.discard(runner)
        if error is not None and not self._is_stopped and runner.engine not in self._failed:
            self._give_up(runner.engine, error)
        self._end_when_idle()

    def _give_up(self, engine: Engine, error: Exception) -> None:
        """Search without an engine; when no other one is left, with the spare one."""
        self._failed.append(engine)
        self._notice(self._roster.failed(engine, error))
        for runner in self._runners:
            if runner.engine is engine:
                runner.stop()
        spare = self._roster.spare
        is_alone = all(runner.engine is engine for runner in self._runners)
        if is_alone and spare not in self._failed and self._board.open:
            self._start(Runner(spare, self._board, self._ended))

    def _end_when_idle(self) -> None:
        if not self._runners and not self._over.is_set():
            self._over.set()
            self._improved.put_nowait(None)


@asynccontextmanager
async def open_search(
    work: Work, roster: Roster, *, seconds: float | None, notice: Notice = lambda _text: None
) -> AsyncIterator[Search]:
    """Search for `seconds`, or without an end, until the block is left; every farmer gets a nonce.

    Whatever ends the block, cancellation included, no thread searches after it.
    """
    search = Search(work, roster, notice)
    try:
        await search.begin(seconds)
        yield search
    finally:
        await search.end()
