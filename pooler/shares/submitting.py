"""Takes the shares that miners bring: judges, has them written down, and counts them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.log import get_security_logger
from pooler.shares.crediting import Crediting
from pooler.shares.domain.codes import Code
from pooler.shares.domain.errors import BadTokenError, PausedError
from pooler.shares.domain.jobs import Job, JobSigner
from pooler.shares.domain.judging import Verdict
from pooler.shares.domain.model import Best, Miner, Share
from pooler.shares.domain.withholding import Suspicion
from pooler.shares.round import Round, of_other_block
from pooler.shares.store.store import Credited
from pooler.shares.workers import LiveWorker, Workers

security = get_security_logger()

_BAD_TOKEN = Verdict(code=Code.BAD_TOKEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """A nonce with the token of the job that it is from."""

    job: str
    nonce: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a batch."""

    #: One for each share, in their order.
    verdicts: Sequence[Verdict]
    #: The workers whose shares they are.
    workers: Sequence[LiveWorker]
    #: What speaks for nonces that workers withhold.
    suspicions: Sequence[tuple[LiveWorker, Suspicion]]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The block that is mined, and the one before; None where there is none."""

    running: Round | None = None
    previous: Round | None = None


@dataclass(kw_only=True)
class _Batch:
    """A batch while it is judged."""

    jobs: Mapping[str, Job | None]
    workers: Mapping[int, LiveWorker | None]
    verdicts: list[Verdict]
    #: Shares that wait for the disk, by their place in the batch.
    credits: dict[int, Share]
    bests: list[Best]


class Submitting:
    """Everything from a batch of nonces to verdicts."""

    def __init__(
        self,
        *,
        signer: JobSigner,
        workers: Workers,
        crediting: Crediting,
        rounds: Callable[[], Rounds],
        clock: Callable[[], float],
    ) -> None:
        """Take `rounds`, which returns the blocks as they are now, and `clock` (unix seconds)."""
        self._signer = signer
        self._workers = workers
        self._crediting = crediting
        self._rounds = rounds
        self._clock = clock
        self._counting: set[asyncio.Task[Outcome]] = set()

    async def submit(self, miner: Miner, brought: Sequence[Brought]) -> Outcome:
        """Return what became of shares, once those that are accepted are on the disk.

        Raise UnavailableError when they cannot be written, and PausedError before a block is taken
        up after a restart: in both cases all of them may be brought again. Who goes away
        meanwhile has brought them all the same.
        """
        jobs = {token: self._job(token) for token in {one.job for one in brought}}
        numbers = {job.worker for job in jobs.values() if job is not None}
        now = self._clock()
        workers = {number: await self._workers.numbered(miner, number, now) for number in numbers}
        # From here to the shares' place in the next commit nothing else runs.
        rounds, at = self._rounds(), int(self._clock() * 1000)
        if rounds.running is None:
            raise PausedError("no block is mined yet: bring them again", retry_after=1.0)
        batch = _Batch(jobs=jobs, workers=workers, verdicts=[], credits={}, bests=[])
        for one in brought:
            self._judge(batch, one, rounds.running, rounds.previous, at)
        written = None
        if batch.credits:
            written = self._crediting.bring(list(batch.credits.values()), batch.bests)
        task = asyncio.create_task(self._count(batch, brought, written, rounds.running))
        self._counting.add(task)
        task.add_done_callback(self._counted)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Wait until all that was brought is counted."""
        await asyncio.gather(*self._counting, return_exceptions=True)

    def _counted(self, task: "asyncio.Task[Outcome]") -> None:
        self._counting.discard(task)
        if not task.cancelled():
            task.exception()  # the caller, who is told of it, may be gone

    def _job(self, token: str) -> Job | None:
        try:
            return self._signer.open(token)
        except BadTokenError:
            return None

    def _judge(
        self, batch: _Batch, one: Brought, running: Round, previous: Round | None, at: int
    ) -> None:
        """Add the verdict on a share to the batch."""
        job = batch.jobs[one.job]
        worker = None if job is None else batch.workers[job.worker]
        if job is None or worker is None:  # another miner's is none for this one
            batch.verdicts.append(_BAD_TOKEN)
            return
        verdict = _verdict(job, one.nonce, running, previous, at)
        if verdict.code is Code.ACCEPTED:
            share = Share(
                block=job.block,
                farmer=job.farmer,
                nonce=one.nonce,
                worker=job.worker,
                points=verdict.points,
                zeros=verdict.zeros,
                at=at,
            )
            batch.credits[len(batch.verdicts)] = share
            if running.offer(share):
                batch.bests.append(_best(share))
        batch.verdicts.append(verdict)

    async def _count(
        self,
        batch: _Batch,
        brought: Sequence[Brought],
        written: "asyncio.Future[Credited] | None",
        running: Round,
    ) -> Outcome:
        """Wait until the shares are written; count them where they belong."""
        if written is not None:
            await self._settle(batch, written, running)
        now = self._clock()
        found: list[LiveWorker] = []
        for one, verdict in zip(brought, batch.verdicts, strict=True):
            job = batch.jobs[one.job]
            worker = None if job is None else batch.workers[job.worker]
            if job is not None and worker is not None:
                worker.take(verdict, job.target, job.block, now)
                if worker not in found:
                    found.append(worker)
        suspicions = [(worker, one) for worker in found for one in worker.suspicions()]
        return Outcome(verdicts=batch.verdicts, workers=found, suspicions=suspicions)

    async def _settle(
        self, batch: _Batch, written: "asyncio.Future[Credited]", running: Round
    ) -> None:
        try:
            credited = await written
        except BaseException:
            for share in batch.credits.values():
                running.give_back(share)
            raise
        for place, share in batch.credits.items():
            verdict = batch.verdicts[place]
            if share.key in credited.new:
                worker = batch.workers[share.worker]
                if worker is not None:
                    running.count(share, worker.miner.number)
            elif share.key in credited.known:
                batch.verdicts[place] = Verdict(code=Code.DUPLICATE, zeros=verdict.zeros)
            else:  # another pooler on this database has closed the block
                batch.verdicts[place] = replace(verdict, code=Code.STALE_BLOCK)


def _verdict(job: Job, nonce: int, running: Round, previous: Round | None, at: int) -> Verdict:
    if job.block == running.index:
        return running.judge(job, nonce, at)
    if previous is not None and job.block == previous.index:
        return previous.judge_after(job, nonce, at)
    return of_other_block(job, running.index)


def _best(share: Share) -> Best:
    return Best(block=share.block, farmer=share.farmer, nonce=share.nonce, zeros=share.zeros)
