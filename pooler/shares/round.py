"""The running block as shares see it: whose turn it is, what was brought, what is too late."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pooler.shares.block import Find, RunningBlock
from pooler.shares.domain.codes import Code
from pooler.shares.domain.jobs import Job
from pooler.shares.domain.judging import Judge, Verdict
from pooler.shares.domain.luck import luck_of
from pooler.shares.domain.model import BlockRow, Share
from pooler.shares.domain.points import hashes_of
from pooler.shares.domain.turns import Turns

#: Seconds beyond the length of a block for which its jobs may be brought back.
_GRACE = 600

_STALE = Verdict(code=Code.STALE_BLOCK)
_UNKNOWN = Verdict(code=Code.UNKNOWN_JOB)
_LIMITED = Verdict(code=Code.LIMITED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a worker did in a block so far."""

    #: Shares that are credited, and their points.
    shares: int = 0
    points: int = 0
    #: Best zeros; -1 for none.
    best: int = -1

    @property
    def luck(self) -> float | None:
        """Return how good the best nonce is (domain/luck.py)."""
        return luck_of(self.best, self.points)


class Round:
    """One block from the moment in which it is mined."""

    def __init__(
        self,
        block: RunningBlock,
        row: BlockRow | None,
        farmers: Sequence[int],
        *,
        most: int,
        begun: float,
    ) -> None:
        """Take the block, what is kept of it, and the farmers' numbers in the order of targets.

        Nothing is kept of a block that is new. A worker may bring `most` shares; `begun` is the
        moment from which this run mines it (unix seconds).
        """
        self.block = block
        self.index = block.index
        self.farmers = tuple(farmers)
        #: When its works were sent (unix ms); 0: they are not.
        self.sent_at = 0 if row is None else row.sent_at
        #: What workers did, points by miner, and shares by worker, late ones included.
        self.figures: dict[int, Figures] = {}
        self.miner_points: Counter[int] = Counter()
        self.brought: Counter[int] = Counter()
        #: The pool's own hashes of runs before this one, and of this one.
        self.own_before = self.own_hashes = 0 if row is None else row.own_hashes
        #: Hashes a second of the pool itself, on average since `begun`.
        self.own_rate = 0.0
        self._begun = begun
        self.turns = Turns(len(self.farmers), self._reached, cap=block.cap)
        self._judge = Judge(
            index=block.index, entropy=block.entropy, keys=[one.key for one in block.targets]
        )
        self._positions = {number: position for position, number in enumerate(self.farmers)}
        self._seen: set[tuple[int, int]] = set()
        self._most = most

    @property
    def is_open(self) -> bool:
        """Tell whether shares are credited."""
        return not self.sent_at

    def ends_at(self, now: float) -> int:
        """Return until when a job that is given out now may be brought back (unix seconds)."""
        return int(now + self.block.closes_at - self.block.opened_at) + _GRACE

    def _reached(self, position: int) -> int:
        """Return a farmer's zeros as they count for its turns: enough once its work is sent."""
        return self.block.cap if self.block.is_sent(position) else self.block.zeros_of(position)

    def restore(self, shares: Iterable[Share], miners: dict[int, int]) -> None:
        """Take up shares that a run before has credited; `miners` has the miner of each worker."""
        for share in shares:
            self._seen.add((share.farmer, share.nonce))
            self.brought[share.worker] += 1
            self.count(share, miners[share.worker])

    def inherit(self, before: "Round") -> None:
        """Go on with what was brought for the same block, which was taken up a second time."""
        self.sent_at = before.sent_at
        self._seen, self.brought = before._seen, before.brought
        self.figures, self.miner_points = before.figures, before.miner_points

    def note_own(self, hashes: int, now: float) -> None:
        """Note how many hashes the pool itself has computed since this run mines the block."""
        self.own_hashes = max(self.own_hashes, self.own_before + hashes)
        if now > self._begun:
            self.own_rate = hashes / (now - self._begun)

    def judge(self, job: Job, nonce: int, at: int) -> Verdict:
        """Judge a nonce that arrives at a moment (unix ms); one that is accepted is taken.

        Taken means that the same nonce is a duplicate from now on.
        """
        position = self._positions.get(job.farmer)
        if position is None or at > job.ends_at * 1000:
            return _UNKNOWN
        verdict = self._judge.judge(job, nonce, position)
        if verdict.code is not Code.ACCEPTED:
            return verdict
        name = (job.farmer, nonce)
        if name in self._seen:
            return Verdict(code=Code.DUPLICATE, zeros=verdict.zeros)
        if self.brought[job.worker] >= self._most:
            return _LIMITED
        self._seen.add(name)
        self.brought[job.worker] += 1
        points = hashes_of(job.target)
        if self.sent_at:
            lateness = max(0, at - self.sent_at)
            return Verdict(
                code=Code.TOO_LATE, points=points, zeros=verdict.zeros, lateness_ms=lateness
            )
        return replace(verdict, points=points)

    def judge_after(self, job: Job, nonce: int, at: int) -> Verdict:
        """Judge a nonce for this block once the next one is mined: it is stale at best."""
        verdict = self.judge(job, nonce, at)
        if verdict.code in {Code.ACCEPTED, Code.TOO_LATE}:
            return replace(verdict, code=Code.STALE_BLOCK)
        return verdict

    def give_back(self, share: Share) -> None:
        """Forget a share that could not be written down: it may be brought again."""
        self._seen.discard((share.farmer, share.nonce))
        self.brought[share.worker] -= 1

    def count(self, share: Share, miner: int) -> None:
        """Count a share that is written down."""
        before = self.figures.get(share.worker, _NOTHING)
        self.figures[share.worker] = Figures(
            shares=before.shares + 1,
            points=before.points + share.points,
            best=max(before.best, share.zeros),
        )
        self.miner_points[miner] += share.points

    def offer(self, share: Share) -> bool:
        """Hand a share's nonce to the pooler where it is the farmer's best; tell whether it is."""
        position = self._positions[share.farmer]
        if share.zeros <= self.block.zeros_of(position):
            return False
        farmer = self.block.targets[position].farmer_id
        self.block.offer(Find(farmer_id=farmer, nonce=share.nonce, zeros=share.zeros))
        return True

    def zeros(self) -> dict[str, int]:
        """Return how many farmers have a nonce, by its zeros."""
        places = range(len(self.farmers))
        counted = Counter(self.block.zeros_of(place) for place in places)
        return {str(zeros): counted[zeros] for zeros in sorted(counted) if zeros >= 0}

    @property
    def points(self) -> int:
        """Return the points of all miners."""
        return self.miner_points.total()


_NOTHING = Figures()


def of_other_block(job: Job, index: int) -> Verdict:
    """Return the verdict on a job of a block that is not mined, and was not just before."""
    return _STALE if job.block < index else _UNKNOWN
