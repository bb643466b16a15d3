"""The work for miners, put together: what the pooler tells of blocks, and what miners ask for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.common.failpoints import failpoint
from libs.common.ids import FarmerId
from libs.common.log import get_logger, get_security_logger
from pooler.shares.accounts import Accounts
from pooler.shares.block import Find, RunningBlock
from pooler.shares.config import SharesSettings
from pooler.shares.crediting import Crediting
from pooler.shares.dividing import Dividing
from pooler.shares.domain.errors import BannedError, OtherChainError, PausedError
from pooler.shares.domain.jobs import JobSigner
from pooler.shares.domain.model import Best, BlockRow, Miner
from pooler.shares.events import ban_event, job_event, part_event, works_sent_event
from pooler.shares.round import Round
from pooler.shares.store.store import Store
from pooler.shares.streams import Streams, Subscriber
from pooler.shares.submitting import Brought, Outcome, Rounds, Submitting
from pooler.shares.work import Jobs, Work
from pooler.shares.workers import LiveWorker, Workers

log = get_logger(__name__)
security = get_security_logger()

#: Jobs that are made for streams before others get a turn.
_AT_A_TIME = 50
#: Seconds after which whoever finds no work may ask again.
_ASK_AGAIN = 5.0


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a worker asks for."""

    #: Name of the worker.
    worker: str = "default"
    #: Hashes a second that it says it has; None: it does not say.
    rate: float | None = None
    #: Hashes that its shares are to take; None: the pool chooses.
    difficulty: int | None = None
    #: Jobs at a time.
    count: int = 1
    #: Whether the jobs are for programs that search until they find one nonce.
    is_argv: bool = False


class Shares:
    """The work for miners of one pooler; it fulfils BlockEvents."""

    def __init__(
        self,
        settings: SharesSettings,
        store: Store,
        crediting: Crediting,
        job_key: bytes,
        clock: Callable[[], float],
    ) -> None:
        """Take a store that is open, and a clock (unix seconds)."""
        self.settings = settings
        self.store = store
        self.clock = clock
        self.bounds = settings.bounds()
        self.accounts = Accounts(
            store, settings.terms(), settings.conduct(), most=settings.shares_max_miners
        )
        self.workers = Workers(store, most_of_miner=settings.shares_max_workers)
        self.streams = Streams()
        self.rounds = Rounds()
        signer = JobSigner(job_key)
        self.jobs = Jobs(signer, self.bounds)
        self.dividing = Dividing(store)
        self._crediting = crediting
        self._submitting = Submitting(
            signer=signer,
            workers=self.workers,
            crediting=crediting,
            rounds=lambda: self.rounds,
            clock=clock,
        )
        self._farmers: dict[FarmerId, int] = {}
        #: Held while a block is taken up.
        self._opening = asyncio.Lock()

    # What the pooler tells ------------------------------------------------------------------------

    async def open_block(self, block: RunningBlock) -> None:
        """See BlockEvents. Raise OtherChainError for a database of another chain."""
        async with self._opening:
            written = await self._open(block)
            if written is None:
                return
            # The disk is not waited for: jobs are nothing that has to be kept.
            await self._give_jobs()
            _check_chain(await asyncio.shield(written), block)
        await self._close_before(block.index)

    async def works_sent(self, index: int) -> None:
        """See BlockEvents."""
        running = self.rounds.running
        if running is None or running.index != index or running.sent_at:
            return
        running.sent_at = int(self.clock() * 1000)
        self.streams.tell_all(works_sent_event(index))
        async with self._opening:  # what is not written yet cannot be changed
            await self.store.note_own_hashes(index, running.own_hashes)
            await self.store.send_block(index, at=running.sent_at)

    async def close_before(self, index: int) -> None:
        """See BlockEvents."""
        running = self.rounds.running
        if running is not None and running.index < index and not running.sent_at:
            running.sent_at = int(self.clock() * 1000)
        await self._close_before(index)

    async def harvested(self, index: int, rewards: int) -> None:
        """See BlockEvents."""
        await self.close_before(index + 1)
        for part in await self.dividing.harvested(index, rewards):
            self.streams.tell(part.miner, part_event(part))

    def own_hashes(self, index: int, hashes: int) -> None:
        """See BlockEvents."""
        running = self.rounds.running
        if running is not None and running.index == index:
            running.note_own(hashes, self.clock())

    def proved(self, index: int) -> int:
        """Return the hashes that miners have proved in a block that is mined; 0 for another one."""
        running = self.rounds.running
        return running.points if running is not None and running.index == index else 0

    async def keep_finds(self, index: int, finds: Sequence[Find]) -> None:
        """Write down the best nonces that the pool's own engines have found."""
        bests = [
            Best(block=index, farmer=self._farmers[one.farmer_id], nonce=one.nonce, zeros=one.zeros)
            for one in finds
            if one.farmer_id in self._farmers
        ]
        await self.store.keep_bests(bests)

    # What miners ask for --------------------------------------------------------------------------

    async def work(self, miner: Miner, ask: Ask) -> list[Work]:
        """Return jobs for a worker. Raise TermsChangedError, PausedError or LimitedError."""
        worker = await self._asking(miner, ask)
        return self._jobs_of(worker, count=ask.count, is_argv=ask.is_argv)

    async def submit(self, miner: Miner, brought: Sequence[Brought]) -> tuple[Outcome, list[Work]]:
        """Take shares; return what became of them, and jobs where a difficulty has changed.

        Raise UnavailableError when they cannot be written down.
        """
        outcome = await self._submitting.submit(miner, brought)
        await self._look_at_conduct(miner, outcome)
        now = self.clock()
        changed = [one for one in outcome.workers if one.retarget(now, self.bounds)]
        if self.accounts.ban_of(miner.number, now):
            return outcome, []
        # The shares are credited, whether or not there is more work.
        return outcome, [work for one in changed for work in self._jobs_now(one, count=1)]

    @asynccontextmanager
    async def subscribed(self, miner: Miner, ask: Ask) -> AsyncIterator[Subscriber]:
        """Have a stream of events for a worker while the block runs; its jobs come first."""
        worker = await self._asking(miner, ask)
        with self.streams.reading(worker, count=ask.count) as reader:
            self.give_job(reader)
            yield reader

    def give_job(self, reader: Subscriber) -> None:
        """Let a reader have new jobs, if there are any."""
        works = self._jobs_now(reader.worker, count=reader.count)
        if works:
            reader.put(job_event(works))

    async def ban(self, miner: Miner, *, seconds: float, why: str) -> None:
        """Ban a miner from now on; its streams end."""
        banned = await self.accounts.ban(miner, until=self.clock() + seconds, why=why)
        security.warning("miner banned", miner=str(miner.miner_id), why=why, seconds=seconds)
        self.tell_ban(banned)

    def tell_ban(self, miner: Miner) -> None:
        """Tell a miner's streams that it is banned; they end."""
        for reader in self.streams.of(miner.number):
            reader.put(ban_event(miner))
            reader.fail(BannedError.until(miner.banned_until / 1000, miner.ban_reason))

    # Inside ---------------------------------------------------------------------------------------

    async def _asking(self, miner: Miner, ask: Ask) -> LiveWorker:
        self.accounts.check_agreed(miner)
        now = self.clock()
        worker = await self.workers.named(miner, ask.worker, now)
        worker.ask(now, self.bounds, rate=ask.rate, chosen=ask.difficulty)
        return worker

    def _jobs_of(self, worker: LiveWorker, *, count: int, is_argv: bool = False) -> list[Work]:
        running = self.rounds.running
        if running is None or not running.is_open:
            told = "no block is mined" if running is None else "the works are sent"
            raise PausedError(f"{told}: wait for the next block", retry_after=_ASK_AGAIN)
        return self.jobs.give(running, worker, self.clock(), count=count, is_argv=is_argv)

    def _jobs_now(self, worker: LiveWorker, *, count: int) -> list[Work]:
        """Return jobs, or none while there is no work."""
        try:
            return self._jobs_of(worker, count=count)
        except PausedError:
            return []

    async def _open(self, block: RunningBlock) -> "asyncio.Task[BlockRow] | None":
        """Take a block up; return what writes it down, before which no share of it is.

        Return None for an older block than the one that is mined.
        """
        before = self.rounds.running
        if before is not None and block.index < before.index:
            return None
        numbers = await self._numbers(block)
        row = await self.store.block(block.index)
        if row is not None:
            _check_chain(row, block)
        most = self.settings.shares_most_per_block
        fresh = Round(block, row, numbers, most=most, begun=self.clock())
        previous = before
        if before is not None and before.index == fresh.index:
            fresh.inherit(before)
            previous = self.rounds.previous
        elif row is not None:
            await self._restore(fresh)
        else:
            await self.workers.restore(fresh.index)
        now = int(self.clock() * 1000)
        written = asyncio.create_task(
            self.store.open_block(block.index, block.entropy, at=now, terms=self.accounts.terms)
        )
        written.add_done_callback(_retrieve)
        self._crediting.hold_until(written)
        self.rounds = Rounds(running=fresh, previous=previous)
        return written

    async def _numbers(self, block: RunningBlock) -> list[int]:
        missing = [one.farmer_id for one in block.targets if one.farmer_id not in self._farmers]
        if missing:
            numbers = await self.store.farmer_numbers(missing)
            self._farmers |= dict(zip(missing, numbers, strict=True))
        return [self._farmers[one.farmer_id] for one in block.targets]

    async def _restore(self, fresh: Round) -> None:
        """Take up what was brought and found in a block before."""
        await self.workers.restore(fresh.index)
        for find in await self._finds(fresh.block):
            fresh.block.offer(find)
        shares = await self.store.shares_of_block(fresh.index)
        if not shares:
            return
        miners = await self.store.miners_of_workers({one.worker for one in shares})
        fresh.restore(shares, miners)
        log.info("block resumed", block=fresh.index, shares=len(shares), points=fresh.points)

    async def _finds(self, block: RunningBlock) -> list[Find]:
        farmers = {self._farmers[one.farmer_id]: one.farmer_id for one in block.targets}
        return [
            Find(farmer_id=farmers[one.farmer], nonce=one.nonce, zeros=one.zeros)
            for one in await self.store.bests(block.index)
            if one.farmer in farmers
        ]

    async def _give_jobs(self) -> None:
        """Let all streams have jobs of the block that is mined now."""
        now = self.clock()
        for worker in self.workers.all():
            worker.retarget(now, self.bounds, is_new_block=True)
        for place, reader in enumerate(self.streams.all()):
            self.give_job(reader)
            if place % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)

    async def _close_before(self, index: int) -> None:
        await self._submitting.settled()
        await failpoint("shares.block.opened")
        closed = await self.store.close_blocks(index)
        await failpoint("shares.block.closed")
        if closed:
            log.info("blocks closed", blocks=closed)

    async def _look_at_conduct(self, miner: Miner, outcome: Outcome) -> None:
        rules, now = self.settings.conduct(), self.clock()
        for worker, suspicion in outcome.suspicions:
            security.warning(
                "nonces withheld",
                miner=str(miner.miner_id),
                worker=worker.row.name,
                what=str(suspicion),
            )
            if rules.withholding_ban:
                why = f"nonces are withheld: {suspicion}"
                await self.ban(miner, seconds=rules.withholding_ban, why=why)
        codes = [one.code for one in outcome.verdicts]
        why_fault = self.accounts.conduct(miner.number).count(codes, now)
        if why_fault is not None and rules.ban:
            await self.ban(miner, seconds=rules.ban, why=why_fault)


def _retrieve(done: "asyncio.Task[BlockRow]") -> None:
    """Look at an error that nobody may wait for any more."""
    if not done.cancelled():
        done.exception()


def _check_chain(row: BlockRow, block: RunningBlock) -> None:
    """Raise OtherChainError when a block that is kept is not the one that is mined."""
    if row.entropy != block.entropy:
        raise OtherChainError(
            f"the database of shares has block {block.index} with another entropy: it is of "
            "another chain"
        )
