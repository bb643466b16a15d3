"""The workers that are there: their difficulty, their rates, what they brought."""

from collections import Counter
from collections.abc import Iterable

from pooler.shares.domain import difficulty
from pooler.shares.domain.codes import Code
from pooler.shares.domain.difficulty import Bounds, Vardiff
from pooler.shares.domain.errors import LimitedError
from pooler.shares.domain.judging import Verdict
from pooler.shares.domain.model import Miner, WorkerRow
from pooler.shares.domain.points import level_of, target_of
from pooler.shares.domain.rates import Meter, Rate
from pooler.shares.domain.withholding import Suspicion, Tally
from pooler.shares.store.store import KEPT_BLOCKS, SLOT_MS, LateShares, RecentShares, Store

#: Seconds that the longest window of a rate has.
_LONGEST = 86_400
#: Seconds without a request after which a worker is no longer kept in memory.
_IDLE = 7200.0
#: The window by which a worker begins again after a restart.
_WINDOW = "1h"
#: Index that no block reaches.
_ALL = 2**62
#: Seconds of a block, by which the shares of past blocks are put into windows.
_BLOCK = 300


class LiveWorker:
    """A worker that was here lately."""

    def __init__(self, miner: Miner, row: WorkerRow, *, at: float) -> None:
        """Take a worker as it is kept, at a moment (unix seconds)."""
        self.miner = miner
        self.row = row
        self.number = row.number
        self.meter = Meter(min(row.first_at / 1000, at))
        self.tally = Tally()
        #: What became of its shares since the pooler has started.
        self.counts: Counter[Code] = Counter()
        #: Late shares that are not noted yet, by block; and the longest lateness ever (ms).
        self.late: dict[int, LateShares] = {}
        self.latest_ms = 0
        #: When it was last heard of, and when its newest share came (unix seconds; 0: never).
        self.heard_at = at
        self.newest_share = 0.0
        self.is_gone = False
        self._vardiff: Vardiff | None = None
        self._chosen: int | None = None

    @property
    def difficulty(self) -> int:
        """Return the hashes that its shares take; 0 before it has asked for work."""
        return 0 if self._vardiff is None else self._vardiff.difficulty

    @property
    def is_fixed(self) -> bool:
        """Tell whether it has chosen its difficulty itself."""
        return self._chosen is not None

    @property
    def target(self) -> int:
        """Return the target of its next job."""
        return target_of(self.difficulty)

    def ask(self, at: float, bounds: Bounds, *, rate: float | None, chosen: int | None) -> None:
        """Note that it asks for work, with the rate that it says it has, or its own difficulty."""
        self.heard_at = at
        if chosen is not None:
            if self._chosen != chosen or self._vardiff is None:
                self._vardiff = Vardiff(difficulty=bounds.clamp(chosen), since=at)
        elif self._vardiff is None or (self._chosen is not None and not self._vardiff.shares):
            self._vardiff = difficulty.first(self._known_rate(at, rate), at, bounds)
        self._chosen = chosen
        self.retarget(at, bounds)

    def retarget(self, at: float, bounds: Bounds, *, is_new_block: bool = False) -> bool:
        """Let its difficulty follow what came in; tell whether it is another one now."""
        now = self._vardiff
        if now is None or self._chosen is not None:
            return False
        self._vardiff = difficulty.retargeted(now, at, bounds, is_new_block=is_new_block)
        return self._vardiff.difficulty != now.difficulty

    def take(self, verdict: Verdict, target: int, block: int, at: float) -> None:
        """Count what became of a share; `target` is its job's."""
        self.counts[verdict.code] += 1
        self.heard_at = at
        if verdict.code is Code.ACCEPTED:
            self._take_credited(verdict, target, at)
        elif verdict.points:  # a sound one, too late
            self._take_late(verdict, block)

    def rates(self, at: float) -> dict[str, Rate]:
        """Return its rates by window."""
        return self.meter.rates(at, self.difficulty)

    def suspicions(self) -> list[Suspicion]:
        """Return what speaks for nonces that it withholds."""
        return list(self.tally.suspicions())

    def _known_rate(self, at: float, told: float | None) -> float | None:
        """Return the rate that it says it has, or else the one that it had in a run before."""
        past = self.meter.rates(at, 1).get(_WINDOW)
        return past.rate if told is None and past is not None and past.shares else told

    def _take_credited(self, verdict: Verdict, target: int, at: float) -> None:
        self.newest_share = at
        self.is_gone = False
        self.meter.add(at, verdict.points)
        self.tally.count(level=level_of(target), zeros=verdict.zeros)
        if self._vardiff is not None:
            self._vardiff = self._vardiff.counted(at, verdict.points)

    def _take_late(self, verdict: Verdict, block: int) -> None:
        self.latest_ms = max(self.latest_ms, verdict.lateness_ms)
        before = self.late.get(block)
        self.late[block] = LateShares(
            block=block,
            worker=self.number,
            shares=1 + (before.shares if before else 0),
            points=verdict.points + (before.points if before else 0),
            latest_ms=max(verdict.lateness_ms, before.latest_ms if before else 0),
        )


class Workers:
    """All workers that were here lately."""

    def __init__(self, store: Store, *, most_of_miner: int) -> None:
        """Take the store, and how many workers a miner may have."""
        self._store = store
        self._most = most_of_miner
        self._by_number: dict[int, LiveWorker] = {}
        self._by_name: dict[tuple[int, str], LiveWorker] = {}
        self._recent: dict[int, list[RecentShares]] = {}
        self._until_block = -1

    def __len__(self) -> int:
        """Count them."""
        return len(self._by_number)

    def all(self) -> list[LiveWorker]:
        """Return all of them."""
        return list(self._by_number.values())

    def active(self) -> list[LiveWorker]:
        """Return those that have brought shares and are not gone."""
        return [one for one in self.all() if one.newest_share and not one.is_gone]

    def of(self, miner: int) -> list[LiveWorker]:
        """Return those of a miner."""
        return [one for one in self._by_number.values() if one.miner.number == miner]

    async def restore(self, current_block: int) -> None:
        """Read what all workers did in the newest blocks, for their rates."""
        if self._until_block >= 0:
            return
        self._until_block = current_block - KEPT_BLOCKS - 1
        for one in await self._store.recent_shares(after_block=self._until_block):
            self._recent.setdefault(one.worker, []).append(one)

    async def named(self, miner: Miner, name: str, at: float) -> LiveWorker:
        """Return a miner's worker; raise LimitedError when the miner has too many."""
        found = self._by_name.get((miner.number, name))
        if found is not None:
            return found
        row = await self._store.worker(miner.number, name, at=int(at * 1000), most=self._most)
        if row is None:
            raise LimitedError(f"a miner has {self._most} workers at most")
        return await self._load(miner, row, at)

    async def numbered(self, miner: Miner, number: int, at: float) -> LiveWorker | None:
        """Return a miner's worker by its number; None when it has none of this number."""
        found = self._by_number.get(number)
        if found is None:
            row = await self._store.worker_of_number(number)
            if row is None or row.miner != miner.number:
                return None
            found = await self._load(miner, row, at)
        return found if found.miner.number == miner.number else None

    def forget_idle(self, at: float) -> Iterable[LiveWorker]:
        """Forget workers that were not heard of for long; yield them."""
        for worker in self.all():
            if at - worker.heard_at > _IDLE:
                del self._by_number[worker.number]
                del self._by_name[worker.miner.number, worker.row.name]
                self._recent.pop(worker.number, None)
                yield worker

    async def _load(self, miner: Miner, row: WorkerRow, at: float) -> LiveWorker:
        worker = LiveWorker(miner, row, at=at)
        worker.tally = await self._store.tally_of_worker(row.number)
        await self._fill_meter(worker, at)
        # Another request may have loaded it meanwhile: there is one of each.
        kept = self._by_number.setdefault(row.number, worker)
        return self._by_name.setdefault((miner.number, row.name), kept)

    async def _fill_meter(self, worker: LiveWorker, at: float) -> None:
        since = int((at - _LONGEST) * 1000)
        recent = self._recent.get(worker.number)
        past = await self._store.past_of_worker(
            worker.number, until_block=_ALL if recent is None else self._until_block, since=since
        )
        for block in past:
            # Somewhere within the block: near enough for a window of a day.
            moment = min(at, block.opened_at / 1000 + _BLOCK / 2)
            done = block.done
            worker.meter.restore(moment, done.points, done.squares, done.shares)
        for one in recent or ():
            moment = min(at, one.slot * SLOT_MS / 1000)
            worker.meter.restore(moment, one.points, one.squares, one.shares)
