"""A search for the event loop: threads hash, finds arrive as they are made, nothing is waited for.

    async with open_search(work, roster, seconds=270) as search:
        async for find in search.improvements(): ...

What an engine does wrong costs its own hashes only.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from miner.board import Board
from miner.crew import Crew, Notice
from miner.model import Find, Rates, Work
from miner.roster import Roster


class Search:
    """A running search; see open_search."""

    def __init__(self, work: Work, roster: Roster, notice: Notice) -> None:
        """Take the work and the engines; `notice` hears in words what goes wrong."""
        self._improved: asyncio.Queue[Find | None] = asyncio.Queue()
        self._board = Board(work, self._tell)
        self._crew = Crew(self._board, roster, notice, every=False)
        self._ends: asyncio.TimerHandle | None = None
        self._ending = asyncio.create_task(self._tell_end())

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
        await self._crew.over.wait()
        return self.best

    def stop(self) -> None:
        """End the search."""
        self._crew.stop()

    async def begin(self, seconds: float | None) -> None:
        """Give every farmer a nonce, then let the engines search for so long; None: no end."""
        await asyncio.to_thread(self._board.first_nonces)
        if seconds is not None and seconds <= 0:
            self.stop()
            return
        if seconds is not None:
            self._ends = asyncio.get_running_loop().call_later(seconds, self.stop)
        self._crew.start()

    async def end(self) -> None:
        """Stop, and wait until no thread searches any more."""
        if self._ends is not None:
            self._ends.cancel()
        self._ending.cancel()
        await self._crew.end()

    async def _tell_end(self) -> None:
        await self._crew.over.wait()
        self._improved.put_nowait(None)

    def _tell(self, find: Find) -> None:
        self._crew.call(self._improved.put_nowait, find)


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
