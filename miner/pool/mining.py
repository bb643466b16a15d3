"""Mines for a pooler: the newest jobs are searched, new ones fetched in time, shares brought."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

from miner.crew import Crew
from miner.model import MinerError, Rates
from miner.pool.client import DoorClient, PoolAwayError, RefusedError
from miner.pool.events import Note, Observer, Part, Progress
from miner.pool.fields import number_of
from miner.pool.jobs import Job, JobBoard, Share, jobs_of
from miner.pool.submitting import Submitter
from miner.roster import Roster

#: Seconds of work for which jobs are asked at a time, and that are left when new ones are fetched.
_SECONDS_OF_JOBS, _LOW_SECONDS = 60.0, 2.0
#: Jobs of one request at most.
_MOST_JOBS = 100
#: Seconds between two looks at the search, and between two lines about it.
_LOOK_SECONDS, _TELL_SECONDS = 0.2, 10.0
#: Seconds until a lost stream is opened again, the first time and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
#: Seconds that a share should take where the miner chooses its difficulty.
_SHARE_SECONDS = 15.0
#: Hashes a second of a program whose rate is not known yet.
_UNKNOWN_RATE = 1e6


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What this miner asks for."""

    #: Name of the worker.
    worker: str
    #: Hashes that a share takes; None: the pooler chooses.
    difficulty: int | None = None
    #: Shares take a whole number of zeros: programs know no other difficulty.
    whole_zeros: bool = False
    #: Hashes that the pooler lets a share take, at least and at most.
    least_difficulty: int = 1
    most_difficulty: int = 2**63


class PoolMiner:
    """The search for one pooler; `run` it once."""

    def __init__(
        self,
        client: DoorClient,
        roster: Roster,
        wishes: Wishes,
        observe: Observer,
        *,
        rate: float = 0.0,
    ) -> None:
        """Take a client that has its credential, and the rate of the engines if it is known."""
        self._client = client
        self._roster = roster
        self._wishes = wishes
        self._observe = observe
        self._submitter = Submitter(client, observe)
        self._rate = rate
        self._count = 1
        #: The jobs to search next; None: nothing is to be searched.
        self._next: list[Job] | None = None
        self._changed = asyncio.Event()
        self._told_at = monotonic()

    async def run(self) -> None:
        """Mine until cancelled.

        Raise RefusedError when the pooler wants no more of this miner, and PoolAnswerError when it
        answers what nobody understands.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._bring())
                tasks.create_task(self._search_all())
        except* MinerError as ended:
            # The first one tells why all of it ends.
            raise ended.exceptions[0] from None

    # What the pooler tells ------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Follow the stream of events; open it again where it breaks."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async for event in self._client.events(self._options()):
                    pause = _FIRST_PAUSE
                    self._hear(event.name, event.data)
                why = "the stream of events has ended"
            except PoolAwayError as error:
                why = str(error)
            except RefusedError as error:
                if not error.is_passing:
                    raise
                why, pause = str(error), max(pause, error.retry_after)
            self._observe(Note(text=f"{why}; again in {pause:.0f} s"))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _hear(self, name: str, data: Mapping[str, object]) -> None:
        if name == "job":
            self._take(jobs_of(data))
        elif name == "works-sent":
            # Shares are late from now on.
            self._take(None)
            self._observe(Note(text=f"block {data.get('block')}: the works are sent"))
        elif name == "part":
            block = number_of(data, "block", most=2**32 - 1)
            self._observe(Part(block=block, amount=number_of(data, "amount", most=2**63)))
        elif name == "ban":
            raise RefusedError(
                f"banned until {data.get('until')}: {data.get('why')}",
                reason="BANNED",
                status=403,
                retry_after=0.0,
            )
        elif name == "worker-gone":
            self._observe(Note(text=f"worker {data.get('worker')} brings nothing any more"))

    async def _bring(self) -> None:
        """Bring shares; the answer has new jobs where the difficulty has changed."""
        while True:
            answer = await self._submitter.next_answer()
            if answer.get("jobs"):
                self._take(jobs_of(answer))

    def _take(self, jobs: list[Job] | None) -> None:
        """Let these jobs take the place of those that are searched."""
        self._next = jobs or None
        self._changed.set()

    # The search -----------------------------------------------------------------------------------

    async def _search_all(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            jobs = self._next
            if jobs is not None:
                await self._search(jobs)

    async def _search(self, jobs: list[Job]) -> None:
        """Search jobs until there are others."""
        board = JobBoard(jobs, self._found)
        self._crew = Crew(board, self._roster, self._tell, every=True)
        self._crew.start()
        fetching: asyncio.Task[None] | None = None
        ends = monotonic() + min(job.ask_again_seconds for job in jobs)
        try:
            while not self._changed.is_set():
                is_low = board.open < _LOW_SECONDS * self._rate or self._crew.over.is_set()
                if fetching is None and (is_low or monotonic() >= ends):
                    fetching = asyncio.create_task(self._fetch())
                if fetching is not None and fetching.done():
                    await fetching
                await self._look(board, jobs)
        finally:
            if fetching is not None:
                fetching.cancel()
            await self._crew.end()
            self._learn(board, jobs)

    async def _look(self, board: JobBoard, jobs: list[Job]) -> None:
        changed = asyncio.create_task(self._changed.wait())
        await asyncio.wait({changed}, timeout=_LOOK_SECONDS)
        changed.cancel()
        if monotonic() - self._told_at >= _TELL_SECONDS:
            self._told_at = monotonic()
            self._learn(board, jobs)
            self._observe(self._progress(board.rates(), jobs))

    async def _fetch(self) -> None:
        """Ask for new jobs until there are some; without any nothing is searched."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._take(jobs_of(await self._client.work(self._options())))
            except PoolAwayError as error:
                self._observe(Note(text=f"{error}; again in {pause:.0f} s"))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except RefusedError as error:
                if error.reason == "PAUSED":
                    # The stream tells when there is something.
                    self._take(None)
                    return
                if not error.is_passing:
                    raise
                await asyncio.sleep(error.retry_after)
            else:
                return

    def _found(self, share: Share) -> None:
        self._crew.call(self._submitter.add, share)

    def _tell(self, words: str) -> None:
        self._observe(Note(text=words))

    def _learn(self, board: JobBoard, jobs: list[Job]) -> None:
        """Learn the rate, and how many jobs are enough for a while."""
        rate = sum(one.per_second for one in board.rates().values())
        if rate > 0:
            self._rate = rate
        nonces = sum(job.nonces for job in jobs) / len(jobs)
        self._count = min(max(1, round(_SECONDS_OF_JOBS * self._rate / nonces)), _MOST_JOBS)

    def _progress(self, rates: Mapping[str, Rates], jobs: list[Job]) -> Progress:
        tally = self._submitter.tally
        return Progress(
            block=jobs[0].block,
            rates={name: one.per_second for name, one in rates.items()},
            difficulty=jobs[0].difficulty,
            shares=dict(tally.shares),
            points=tally.points,
        )

    def _options(self) -> dict[str, str]:
        """Return what is asked for: the query of /work and /events."""
        options = {"worker": self._wishes.worker, "count": str(self._count)}
        if self._rate >= 1:
            options["rate"] = str(int(self._rate))
        if (difficulty := self._difficulty()) is not None:
            options["difficulty"] = str(difficulty)
        return options

    def _difficulty(self) -> int | None:
        wishes = self._wishes
        if wishes.difficulty is not None or not wishes.whole_zeros:
            return wishes.difficulty
        # A power of 256, the nearest one: one of these programs misses finds at odd zeros.
        wanted = (self._rate or _UNKNOWN_RATE) * _SHARE_SECONDS
        difficulty = 256
        while difficulty * 16 <= wanted or difficulty < wishes.least_difficulty:
            difficulty *= 256
        return min(difficulty, wishes.most_difficulty)
