"""What is looked after in the background: bans, silent workers, what is written now and then."""

import asyncio

from libs.common.errors import PoolError
from libs.common.log import get_logger
from pooler.shares.events import gone_event
from pooler.shares.service import Shares
from pooler.shares.workers import LiveWorker

log = get_logger(__name__)
#: Seconds between two rounds.
_LOOK = 1.0
#: Rounds between two writings of figures that may lag behind, and between two looks for miners who
#: joined and never came.
_WRITING, _FORGETTING = 10, 3600
#: Seconds after which such a miner is forgotten.
_IDLE_MINER = 7 * 86_400


class Upkeep:
    """The rounds; see `run`."""

    def __init__(self, shares: Shares) -> None:
        """Take the work for miners."""
        self._shares = shares
        self._is_written: dict[int, int] = {}

    async def run(self) -> None:
        """Make rounds until the task is cancelled; what fails is tried again in the next one."""
        number = 0
        while True:
            try:
                await self._round(number)
            except PoolError as error:
                log.warning("upkeep failed", reason=error.reason, error=error.message)
            except Exception as error:  # a defect in one round must not end all of them
                log.exception("defect", exc_info=error)
            number += 1
            await asyncio.sleep(_LOOK)

    async def write(self) -> None:
        """Write late shares, levels and the pool's own hashes down."""
        shares = self._shares
        workers = shares.workers.all()
        await self._write_late(workers)
        changed = {one.number: one.tally for one in workers if self._has_changed(one)}
        if changed:
            await shares.store.keep_tallies(changed)
            self._is_written |= {number: tally.size for number, tally in changed.items()}
        running = shares.rounds.running
        if running is not None and running.own_hashes > running.own_before:
            await shares.store.note_own_hashes(running.index, running.own_hashes)

    async def _round(self, number: int) -> None:
        shares, now = self._shares, self._shares.clock()
        for banned in await shares.accounts.refresh_bans(now):
            shares.tell_ban(banned)
        self._ease_silent(now)
        self._notice_gone(now)
        if number % _WRITING == 0:
            await self.write()
            for worker in shares.workers.forget_idle(now):
                self._is_written.pop(worker.number, None)
        if number % _FORGETTING == 0:
            await self._forget_miners(now)

    def _ease_silent(self, now: float) -> None:
        """Let streams have easier jobs whose workers show nothing."""
        shares = self._shares
        readers = shares.streams.all()
        changed = {
            worker.number
            for worker in {reader.worker for reader in readers}
            if worker.retarget(now, shares.bounds)
        }
        for reader in readers:
            if reader.worker.number in changed:
                shares.give_job(reader)

    def _notice_gone(self, now: float) -> None:
        shares = self._shares
        for worker in shares.workers.all():
            silent = now - worker.newest_share
            is_gone = worker.newest_share > 0 and silent >= shares.settings.shares_gone_seconds
            if is_gone and not worker.is_gone:
                worker.is_gone = True
                log.info("worker gone", miner=str(worker.miner.miner_id), worker=worker.row.name)
                shares.streams.tell(worker.miner.number, gone_event(worker))

    async def _write_late(self, workers: list[LiveWorker]) -> None:
        taken = [(worker, worker.late) for worker in workers if worker.late]
        for worker, _ in taken:
            worker.late = {}
        rows = [one for _, late in taken for one in late.values()]
        if rows:
            await self._shares.store.note_late(rows)

    def _has_changed(self, worker: LiveWorker) -> bool:
        return worker.tally.size != self._is_written.get(worker.number, 0)

    async def _forget_miners(self, now: float) -> None:
        forgotten = await self._shares.accounts.forget_idle(joined_before=now - _IDLE_MINER, at=now)
        if forgotten:
            log.info("idle miners forgotten", miners=forgotten)
