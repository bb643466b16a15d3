"""Brings shares to a pooler, in batches, until each is answered or too old."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from miner.pool.client import DoorClient, PoolAwayError, RefusedError
from miner.pool.events import Note, Observer
from miner.pool.fields import PoolAnswerError, number_of
from miner.pool.jobs import Share

#: Shares of a batch at most, as the door takes them.
_MOST = 1_000
#: Points of a share at most: the expected hashes of the most difficult one.
_MOST_POINTS = 2**64
#: Seconds that a batch waits for more shares: one request for many.
_GATHER_SECONDS = 0.1
#: Seconds after which a share that could not be brought is given up; its block is over by then.
_PATIENCE_SECONDS = 600.0
#: Seconds between tries, the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


@dataclass(kw_only=True)
class Tally:
    """What the pooler said of all shares so far."""

    #: Shares by code; LOST: those that could not be brought.
    shares: Counter[str] = field(default_factory=Counter)
    #: Points that were credited.
    points: int = 0


class Submitter:
    """The shares that wait to be brought."""

    def __init__(self, client: DoorClient, observe: Observer) -> None:
        """Take the door, and who hears of trouble."""
        self._client = client
        self._observe = observe
        self._waiting: asyncio.Queue[tuple[float, Share]] = asyncio.Queue()
        self.tally = Tally()

    def add(self, share: Share) -> None:
        """Let a share wait, in the event loop."""
        self._waiting.put_nowait((monotonic(), share))

    async def next_answer(self) -> Mapping[str, object]:
        """Bring the next batch; return the pooler's answer, {} for a batch that was given up.

        Raise RefusedError when the pooler wants no shares of this miner.
        """
        found_at, first = await self._waiting.get()
        await asyncio.sleep(_GATHER_SECONDS)
        batch = [first]
        while len(batch) < _MOST and not self._waiting.empty():
            batch.append(self._waiting.get_nowait()[1])
        pause = _FIRST_PAUSE
        while monotonic() - found_at < _PATIENCE_SECONDS:
            try:
                answer = await self._client.submit(batch)
            except (PoolAwayError, RefusedError) as error:
                if isinstance(error, RefusedError) and not error.is_passing:
                    raise
                wait = error.retry_after if isinstance(error, RefusedError) else pause
                self._observe(Note(text=f"shares wait {wait:.1f} s: {error}"))
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._count(answer, batch)
            return answer
        self.tally.shares["LOST"] += len(batch)
        return {}

    def _count(self, answer: Mapping[str, object], batch: Sequence[Share]) -> None:
        points = number_of({"points": 0, **answer}, "points", most=len(batch) * _MOST_POINTS)
        verdicts = answer.get("verdicts")
        if not isinstance(verdicts, list) or len(verdicts) != len(batch):
            raise PoolAnswerError("verdicts: there is not one for each share")
        for verdict in verdicts:
            code = verdict.get("code") if isinstance(verdict, Mapping) else None
            self.tally.shares[str(code)] += 1
        self.tally.points += points
