"""The block loop: plant early, mine, work late, and harvest closed blocks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from client import (
    BatchSummary,
    Block,
    ChainWatch,
    FarmerId,
    FarmerOutcome,
    PoolClient,
    PoolerId,
    PoolError,
    Submission,
    enrol,
    open_client,
    open_watch,
    raw_key,
)
from miner.choice import roster_of
from miner.model import Target, Work
from miner.roster import Roster
from miner.search import Search, open_search
from pooler.config import PoolerConfig
from pooler.events import (
    Event,
    Harvested,
    Mining,
    Observer,
    Planted,
    Swept,
    Trouble,
    Waiting,
    Worked,
    registered,
)
from pooler.miners import MinedBlock, Miners, open_miners

#: Plant and SubmitWork calls per block: the first, and two for what failed for passing reasons.
_TRIES = 3
#: Seconds between two Mining events.
_REPORT_SECONDS = 0.5
#: Seconds until the next try when there was nothing to plant, or something failed for good.
_PAUSE_SECONDS = 2.0
#: Seconds for which plants and works are tried while services restart; the block is over by then.
_BATCH_PATIENCE = 120.0
#: Seconds for which a harvest is tried: the pails live for about a day, the service sweeps too.
_HARVEST_PATIENCE = 600.0
#: Zeros that are mined for even where fewer would earn as much: the blocks of a young chain, whose
#: maximum grows by what is worked.
_LEAST_CAP = 6
#: Seconds of mining where time is short: for the farmer that opens the block after the last one,
#: and after a crash late in a block.
_LEAST_BUDGET = 1.0


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The results of a run."""

    #: The pooler.
    pooler_id: PoolerId
    #: Indices of the blocks that were farmed, in order.
    blocks: tuple[int, ...]
    #: Plants, works and harvests that succeeded.
    planted: int
    worked: int
    harvested: int
    #: Stroops of KALE harvested, without stakes, also by the pool itself.
    rewards: int
    #: Hashes computed.
    hashes: int
    #: Harvests that were open at the end; None when the last sweep failed, so that nobody knows.
    still_pending: int | None


async def run(config: PoolerConfig, observe: Observer = lambda _event: None) -> RunSummary:
    """Run a pooler for config.blocks blocks, or until it is cancelled.

    Raise PoolError when the run cannot even begin: the pooler is unknown, registration is refused;
    EngineUnavailableError when it is to mine with an engine that is not there; and
    WrongDatabaseError or ListenError when it cannot serve miners.
    """
    # Drivers of devices take their time.
    roster = await asyncio.to_thread(roster_of, config.choice())

    def notice(method: str, error: PoolError, delay: float) -> None:
        # A stream of blocks that breaks costs nothing: every wait also reads.
        if method != "WatchBlocks":
            observe(Trouble(what=method, error=f"{error.reason}: {error}", retry_in=delay))

    async with (
        open_client(config.targets, config.caller(), notice=notice) as client,
        _warming(roster, observe),
    ):
        pooler_id = await enrol(
            client, config.enrolment(), lambda enrolled: observe(registered(enrolled))
        )
        async with (
            open_watch(client) as watch,
            _heartbeats(client, config, pooler_id),
            open_miners(config.shares, client, pooler_id, watch, observe) as miners,
        ):
            loop = BlockLoop(
                client, config, pooler_id, watch, roster=roster, miners=miners, observe=observe
            )
            return await loop.farm()


@asynccontextmanager
async def _warming(roster: Roster, observe: Observer) -> AsyncIterator[None]:
    """Make the engines ready in the meantime, so that the first block does not wait for them."""

    async def warm() -> None:
        for words in await asyncio.to_thread(roster.warm):
            observe(_engine_trouble(words))

    warming = asyncio.create_task(warm())
    try:
        yield
    finally:
        await _cancel({warming})


@asynccontextmanager
async def _heartbeats(
    client: PoolClient, config: PoolerConfig, pooler_id: PoolerId
) -> AsyncIterator[None]:
    """Send heartbeats while the block runs."""

    async def beat() -> None:
        while True:
            with suppress(PoolError):
                await client.heartbeat(pooler_id)
            await asyncio.sleep(config.heartbeat_seconds)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        await _cancel({beating})


class BlockLoop:
    """The loop that farms one block after the other; see `farm`."""

    def __init__(
        self,
        client: PoolClient,
        config: PoolerConfig,
        pooler_id: PoolerId,
        watch: ChainWatch,
        *,
        roster: Roster,
        miners: Miners,
        observe: Observer,
    ) -> None:
        """Take `watch`, which follows the chain already, the engines that mine, and miners."""
        self._client = client
        self._config = config
        self._pooler_id = pooler_id
        self._watch = watch
        self._roster = roster
        self._miners = miners
        self._observe = observe
        self._counts: Counter[str] = Counter()
        #: By block: works and harvests that succeeded, and stroops of KALE harvested.
        self._works: Counter[int] = Counter()
        self._harvests: Counter[int] = Counter()
        self._rewards: Counter[int] = Counter()
        self._blocks: list[int] = []
        #: Blocks that were worked and whose harvest has not begun.
        self._unharvested: list[int] = []
        #: Harvests that the last sweep has left open; None when it failed.
        self._pending: int | None = None

    async def farm(self) -> RunSummary:
        """Run the loop; a block that fails is reported, and the next one is tried."""
        async with asyncio.TaskGroup() as harvests:
            harvests.create_task(self._sweep())
            await self._resume()
            while not self._config.blocks or len(self._blocks) < self._config.blocks:
                await self._farm_next(harvests)
            await self._close(self._blocks[-1], harvests)
        await self._sweep()
        await self._miners.settle()
        await self._count_recorded()
        return RunSummary(
            pooler_id=self._pooler_id,
            blocks=tuple(self._blocks),
            planted=self._counts["planted"],
            worked=self._counts["worked"],
            harvested=self._harvests.total(),
            rewards=self._rewards.total(),
            hashes=self._counts["hashes"],
            still_pending=self._pending,
        )

    async def _resume(self) -> None:
        """Work what a run before has planted in the current block and perhaps not worked.

        A stake that is never worked is lost. A block that has time left is farmed as any other.
        """
        try:
            view = await self._client.block()
            block = view.block
            if block is None:
                return
            # Once the next block can be planted, nobody plants in this one: its time is over.
            is_open = view.head.plantable_block == block.index
            if is_open and self._watch.now() <= self._submit_at(block):
                return
            planted = await self._planted(block.index)
            if planted:
                await self._mine_and_work(block, planted)
        except PoolError as error:
            self._trouble("finish the block of the run before", error)

    async def _farm_next(self, harvests: asyncio.TaskGroup) -> None:
        """Farm one block from its plant to its work.

        The harvest of the block before runs beside it.
        """
        what = "find the next block"
        try:
            index = await self._plantable()
            what = f"farm block {index}"
            await self._plant_all(index)
            planted = await self._planted(index)
            if not planted:
                self._observe(Waiting(what="a farmer that can be planted"))
                await asyncio.sleep(_PAUSE_SECONDS)
                return
            block = await self._watch.opened(index)
            self._harvest_closed(harvests)
            self._blocks.append(index)
            await self._mine_and_work(block, planted)
        except PoolError as error:
            self._trouble(what, error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _mine_and_work(self, block: Block, planted: Sequence[FarmerOutcome]) -> None:
        # Also when the work fails: others may have worked for these farmers, or part of it went in.
        self._unharvested.append(block.index)
        best = await self._mine(block, planted, until=self._submit_at(block))
        await self._work(block.index, best)
        self._miners.worked(block.index)

    async def _plantable(self) -> int:
        """Return the next block that is worth planting.

        Such a block is not farmed yet, and has time left to work in it.
        """
        last = self._blocks[-1] if self._blocks else -1
        if self._watch.head.plantable_block <= last:
            self._observe(Waiting(what=f"the end of block {last}"))
        head = await self._watch.wait_until(
            lambda head: head.plantable_block > last and not head.paused
        )
        if head.plantable_block == head.current_block:
            view = await self._client.block()
            if view.block is not None and self._watch.now() > self._submit_at(view.block):
                self._observe(Waiting(what=f"the end of block {view.block.index}: too late for it"))
                head = await self._watch.wait_until(
                    lambda later: later.plantable_block > head.plantable_block
                )
        return head.plantable_block

    def _submit_at(self, block: Block) -> float:
        return block.moment(self._config.submit_share)

    async def _plant(self, index: int, *, farmers: int) -> None:
        """Plant, and plant again the farmers that failed for passing reasons."""
        for _ in range(_TRIES):
            summary = await self._client.plant(
                self._pooler_id, index, farmers=farmers, patience=_BATCH_PATIENCE
            )
            self._counts["planted"] += summary.succeeded
            self._observe(Planted(summary=summary))
            if not _worth_another_try(summary):
                return
            await self._watch.next_ledger()

    async def _plant_all(self, index: int) -> None:
        """Plant everybody; report a failure instead of raising it.

        After a failure the farmers that are planted are farmed all the same, as their stakes are
        lost unless they are worked.
        """
        try:
            await self._plant(index, farmers=0)
        except PoolError as error:
            self._trouble(f"plant everybody in block {index}", error)

    async def _planted(self, index: int) -> list[FarmerOutcome]:
        return [one async for one in self._client.planted(self._pooler_id, index)]

    async def _mine(
        self, block: Block, planted: Sequence[FarmerOutcome], *, until: float
    ) -> dict[FarmerId, Submission]:
        """Mine for all until the moment, or until somebody else opens the next block.

        When nobody has anything to gain any more, the moment is waited for all the same, as the
        gap still grows; only enough zeros by the settings end it.
        """
        cap = min(self._config.enough_zeros, max(block.max_zeros, _LEAST_CAP))
        work = Work(
            index=block.index,
            entropy=block.entropy,
            targets=[Target(key=raw_key(one.address)) for one in planted],
            cap=cap,
        )
        seconds = max(_LEAST_BUDGET, until - self._watch.now())
        notice = self._tell_engine_trouble
        async with open_search(work, self._roster, seconds=seconds, notice=notice) as search:
            mined = MinedBlock(block, planted, search, cap=cap)
            reporting = asyncio.create_task(self._report(seconds, search, mined))
            over = asyncio.create_task(self._watch.wait_until_after(block.index))
            enough = asyncio.create_task(self._enough(search, cap))
            try:
                async with self._miners.mining(mined):
                    await asyncio.wait(
                        {over, enough}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                    )
            finally:
                await _cancel({reporting, over, enough})
            self._counts["hashes"] += search.hashes
            self._observe(_mining(seconds, search, mined))
            return mined.best()

    async def _enough(self, search: Search, cap: int) -> None:
        await search.finish()
        if cap < self._config.enough_zeros:
            await asyncio.Event().wait()

    async def _report(self, budget: float, search: Search, mined: MinedBlock) -> None:
        while True:
            self._observe(_mining(budget, search, mined))
            await asyncio.sleep(_REPORT_SECONDS)

    def _tell_engine_trouble(self, words: str) -> None:
        self._observe(_engine_trouble(words))

    async def _work(self, index: int, best: dict[FarmerId, Submission]) -> None:
        """Submit the best nonces, and submit again those that failed for passing reasons."""
        for _ in range(_TRIES):
            summary = await self._client.submit_work(
                self._pooler_id, index, list(best.values()), patience=_BATCH_PATIENCE
            )
            self._counts["worked"] += summary.succeeded
            self._works[index] += summary.succeeded
            self._observe(Worked(summary=summary))
            again = [one for one in summary.outcomes if one.worth_another_try]
            best = {one.farmer_id: best[one.farmer_id] for one in again}
            if not best:
                return
            # A gap of 0 and a congested ledger are both over with the next ledger.
            await self._watch.next_ledger()

    def _harvest_closed(self, harvests: asyncio.TaskGroup) -> None:
        """Begin to harvest the worked blocks, now that a later block is open."""
        for index in self._unharvested:
            harvests.create_task(self._harvest(index))
        self._unharvested.clear()

    async def _harvest(self, index: int) -> None:
        try:
            summary = await self._client.harvest(self._pooler_id, index, patience=_HARVEST_PATIENCE)
        except PoolError as error:
            self._trouble(f"harvest block {index}", error)
            return
        self._count_harvest(summary)
        self._observe(Harvested(summary=summary))
        if _worth_another_try(summary):
            await self._sweep()

    async def _sweep(self) -> None:
        """Harvest whatever is left: of a run that crashed, or of harvests that failed."""
        try:
            summary = await self._client.harvest_pending(
                self._pooler_id, patience=_HARVEST_PATIENCE
            )
        except PoolError as error:
            self._pending = None
            self._trouble("harvest what is pending", error)
            return
        for block in summary.blocks:
            self._count_harvest(block)
        self._pending = summary.still_pending
        self._observe(Swept(summary=summary))

    def _count_harvest(self, summary: BatchSummary) -> None:
        self._harvests[summary.block_index] += summary.succeeded
        self._rewards[summary.block_index] += summary.amount

    async def _count_recorded(self) -> None:
        """Count the harvests that the pool was faster with, which it makes once a minute."""
        for index in self._blocks:
            if self._harvests[index] >= self._works[index]:
                continue
            try:
                paid = [one async for one in self._client.harvested(self._pooler_id, index)]
            except PoolError as error:
                self._trouble(f"read what block {index} has paid", error)
                continue
            if len(paid) > self._harvests[index]:
                self._harvests[index] = len(paid)
                self._rewards[index] = sum(one.amount for one in paid)

    async def _close(self, index: int, harvests: asyncio.TaskGroup) -> None:
        """See to it that the last block closes, and harvest it.

        A block closes when somebody plants in the next one. Where other people farm, they do; else
        one farmer of this pooler does, and its work is shown at once so that its stake is safe.
        """
        self._observe(Waiting(what=f"the end of block {index}"))
        try:
            await self._watch.wait_until(lambda head: head.plantable_block > index)
            if not await self._opened_by_others(index + 1):
                await self._open(index + 1)
        except PoolError as error:
            self._trouble(f"open block {index + 1}", error)
        self._harvest_closed(harvests)

    async def _opened_by_others(self, index: int) -> bool:
        try:
            async with asyncio.timeout(self._config.closing_seconds):
                await self._watch.wait_until(lambda head: head.current_block >= index)
        except TimeoutError:
            return False
        return True

    async def _open(self, index: int) -> None:
        self._observe(Waiting(what=f"a plant in block {index}: one farmer's closes the last one"))
        await self._plant(index, farmers=1)
        planted = await self._planted(index)
        if not planted:
            return  # somebody else will open it some time; there is nothing to wait for here
        block = await self._watch.opened(index)
        best = await self._mine(block, planted, until=self._watch.now())
        await self._watch.next_ledger()
        await self._work(index, best)

    def _trouble(self, what: str, error: PoolError) -> None:
        self._observe(Trouble(what=what, error=f"{error.reason}: {error}", retry_in=None))


def _worth_another_try(summary: BatchSummary) -> bool:
    return any(one.worth_another_try for one in summary.outcomes)


def _mining(budget: float, search: Search, mined: MinedBlock) -> Event:
    return Mining(
        block_index=mined.index,
        seconds=search.seconds,
        budget=budget,
        hashes=search.hashes,
        rates={name: rates.per_second for name, rates in search.rates().items()},
        zeros=mined.zeros(),
    )


def _engine_trouble(words: str) -> Event:
    return Trouble(what="mine", error=words, retry_in=None)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    running = list(tasks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
