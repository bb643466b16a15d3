"""The block loop: plant early, mine, work late, and harvest closed blocks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from client import (
    BatchSummary,
    Block,
    FarmerId,
    FarmerOutcome,
    PoolClient,
    PoolerId,
    PoolError,
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
    Deciding,
    Event,
    Mining,
    Observer,
    Planted,
    SatOut,
    Trouble,
    Waiting,
    Worked,
    registered,
    trouble,
)
from pooler.harvesting import Harvests
from pooler.memory import Farmed, Memory
from pooler.miners import MinedBlock, Miners, open_miners
from pooler.plants import PlantChoice, Purse, after_plants, choose, read_purses
from pooler.prices import PricesError
from pooler.sending import POOR_ZEROS, Desk, WorkSender, would_send_now
from pooler.strategies.model import ZerosFacts
from pooler.strategies.profit import Prices

#: Plant calls per block: the first, and two for what failed for passing reasons.
_TRIES = 3
#: Seconds between two Mining events.
_REPORT_SECONDS = 0.5
#: Seconds until the next try when there was nothing to plant, or something failed for good.
_PAUSE_SECONDS = 2.0
#: Seconds for which plants are tried while services restart; the block is over by then.
_BATCH_PATIENCE = 120.0
#: Seconds until everybody who sits out is asked again, where nobody else opens the next block.
_SIT_OUT_SECONDS = 30.0


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
    EngineUnavailableError when it is to mine with an engine that is not there; StrategyError when a
    strategy's name names nothing; PricesError when a price of the settings is none; and
    WrongDatabaseError or ListenError when it cannot serve miners.
    """
    config.strategies.strategies()
    config.prices.check()
    observe(Deciding(strategies=config.strategies))
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
        memory = Memory()
        async with (
            open_watch(client, memory.hear) as watch,
            _heartbeats(client, config, pooler_id),
            open_miners(config.shares, client, pooler_id, watch, observe) as miners,
        ):
            desk = Desk(
                client=client,
                config=config,
                pooler_id=pooler_id,
                watch=watch,
                memory=memory,
                strategies=config.strategies.strategies(
                    lambda words: observe(Trouble(what="decide", error=words, retry_in=None))
                ),
                observe=lambda summary: observe(Worked(summary=summary)),
            )
            return await BlockLoop(desk, roster=roster, miners=miners, observe=observe).farm()


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

    def __init__(self, desk: Desk, *, roster: Roster, miners: Miners, observe: Observer) -> None:
        """Take a desk whose watch follows the chain already, the engines that mine, and miners."""
        self._desk = desk
        self._client = desk.client
        self._config = desk.config
        self._pooler_id = desk.pooler_id
        self._watch = desk.watch
        self._memory = desk.memory
        self._strategies = desk.strategies
        self._roster = roster
        self._miners = miners
        self._observe = observe
        self._harvests = Harvests(
            desk.client,
            desk.config,
            desk.pooler_id,
            memory=desk.memory,
            strategies=desk.strategies,
            observe=observe,
        )
        self._counts: Counter[str] = Counter()
        self._blocks: list[int] = []
        #: What farmers had when they were read last, and the prices then.
        self._purses: dict[FarmerId, Purse] = {}
        self._prices = Prices()

    async def farm(self) -> RunSummary:
        """Run the loop; a block that fails is reported, and the next one is tried."""
        async with asyncio.TaskGroup() as harvests:
            harvests.create_task(self._harvests.sweep())
            await self._resume()
            while not self._config.blocks or len(self._blocks) < self._config.blocks:
                await self._farm_next(harvests)
            await self._close(self._blocks[-1], harvests)
        await self._harvests.sweep()
        await self._miners.settle(is_last=True)
        await self._harvests.count_recorded(self._blocks)
        return RunSummary(
            pooler_id=self._pooler_id,
            blocks=tuple(self._blocks),
            planted=self._counts["planted"],
            worked=self._counts["worked"],
            harvested=self._harvests.succeeded,
            rewards=self._harvests.rewards,
            hashes=self._counts["hashes"],
            still_pending=self._harvests.pending,
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
            if is_open and not would_send_now(self._desk, block):
                return
            planted = await self._planted(block.index)
            if planted:
                self._harvests.hold(block, planted)
                await self._mine_and_work(block, planted)
        except PoolError as error:
            self._trouble("finish the block of the run before", error)

    async def _farm_next(self, harvests: asyncio.TaskGroup) -> None:
        """Farm one block from its plant to its work.

        The harvest of the block before runs beside it.
        """
        what = "find the next block"
        try:
            index = await self._next_with_purses()
            what = f"farm block {index}"
            choice = await self._choose(index)
            if choice.is_for_nobody:
                await self._sit_out(index)
                return
            await self._plant_all(index, choice)
            planted = await self._planted(index)
            if not planted:
                self._observe(Waiting(what="a farmer that can be planted"))
                await asyncio.sleep(_PAUSE_SECONDS)
                return
            block = await self._watch.opened(index)
            # Whatever becomes of its works: others may work for these farmers.
            self._harvests.hold(block, planted)
            after = after_plants(self._purses, planted)
            self._harvests.begin(harvests, opened=block, purses=after)
            self._blocks.append(index)
            await self._mine_and_work(block, planted)
        except PoolError as error:
            self._trouble(what, error)
            await asyncio.sleep(_PAUSE_SECONDS)

    # Who is planted -------------------------------------------------------------------------------

    async def _next_with_purses(self) -> int:
        """Wait for the next block that is worth planting, and read what farmers have until then.

        Works may be over long before the harvest of the block before has paid: what that gives
        back is there to be planted. But no block waits for a harvest.
        """
        finding = asyncio.create_task(self._plantable())
        paying = asyncio.create_task(self._harvests.until_paid())
        try:
            await asyncio.wait({finding, paying}, return_when=asyncio.FIRST_COMPLETED)
            self._purses = await read_purses(self._client, self._pooler_id)
            return await finding
        finally:
            for task in (finding, paying):
                task.cancel()
            await asyncio.gather(finding, paying, return_exceptions=True)

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
            if view.block is not None and would_send_now(self._desk, view.block):
                self._observe(Waiting(what=f"the end of block {view.block.index}: too late for it"))
                head = await self._watch.wait_until(
                    lambda later: later.plantable_block > head.plantable_block
                )
        return head.plantable_block

    async def _choose(self, index: int) -> PlantChoice:
        """Choose stakes and farmers by the block before, which is as good as over."""
        before = (await self._client.block()).block
        choice = choose(
            self._strategies,
            self._purses,
            index=index,
            block=before,
            locked=self._harvests.locked,
            memory=self._memory,
            prices=self._read_prices(),
        )
        if choice.sitting_out:
            self._observe(
                SatOut(
                    block_index=index,
                    farmers=len(choice.sitting_out),
                    of=len(self._purses),
                    fees=self._memory.fees.all,
                )
            )
        return choice

    def _read_prices(self) -> Prices:
        """Return the prices; without any, where they cannot be read, everybody takes part."""
        try:
            return self._config.prices.read()
        except PricesError as error:
            self._observe(Trouble(what="read the prices", error=str(error), retry_in=None))
            return Prices()

    async def _sit_out(self, index: int) -> None:
        """Wait until the next block can be planted, or it is time to ask again about this one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SIT_OUT_SECONDS):
                await self._watch.wait_until(lambda head: head.plantable_block > index)

    async def _plant(self, index: int, choice: PlantChoice, *, farmers: int = 0) -> None:
        """Plant, and plant again the farmers that failed for passing reasons."""
        for _ in range(_TRIES):
            summary = await self._client.plant(
                self._pooler_id,
                index,
                farmers=farmers,
                stakes=choice.stakes,
                sitting_out=choice.sitting_out,
                patience=_BATCH_PATIENCE,
            )
            self._counts["planted"] += summary.succeeded
            self._memory.planted(summary.outcomes)
            self._observe(Planted(summary=summary))
            if not _worth_another_try(summary):
                return
            await self._watch.next_ledger()

    async def _plant_all(self, index: int, choice: PlantChoice) -> None:
        """Plant everybody that takes part; report a failure instead of raising it.

        After a failure the farmers that are planted are farmed all the same, as their stakes are
        lost unless they are worked.
        """
        try:
            await self._plant(index, choice)
        except PoolError as error:
            self._trouble(f"plant everybody in block {index}", error)

    async def _planted(self, index: int) -> list[FarmerOutcome]:
        return [one async for one in self._client.planted(self._pooler_id, index)]

    # What is mined and worked ---------------------------------------------------------------------

    async def _mine_and_work(self, block: Block, planted: Sequence[FarmerOutcome]) -> None:
        """Mine for all who are planted, and send each work when the strategy says so."""
        planted = await self._without_work(block, planted)
        if not planted:
            self._miners.worked(block.index)
            return
        farmed = self._memory.begin(block)
        cap = self._cap(block)
        work = Work(
            index=block.index,
            entropy=block.entropy,
            targets=[Target(key=raw_key(one.address)) for one in planted],
            cap=cap,
        )
        async with open_search(
            work, self._roster, seconds=None, notice=self._tell_engine_trouble
        ) as search:
            mined = MinedBlock(block, planted, search, cap=cap)
            sender = WorkSender(self._desk, farmed, planted, cap=cap)
            try:
                await sender.run(mined, self._mining(block, mined, search))
            finally:
                self._counts["hashes"] += search.hashes
                self._counts["worked"] += sender.worked
                self._harvests.worked(block.index, sender.worked)
            self._tell_unsent(farmed, sender.unsent)
        self._miners.worked(block.index)

    async def _without_work(
        self, block: Block, planted: Sequence[FarmerOutcome]
    ) -> Sequence[FarmerOutcome]:
        """Return the farmers that still need a work; all, unless a run before began the block."""
        if self._blocks and self._blocks != [block.index]:
            return planted
        done = {
            one.farmer_id
            async for one in self._client.worked(self._pooler_id, block.index)
            if one.zeros > POOR_ZEROS
        }
        return [one for one in planted if one.farmer_id not in done]

    def _cap(self, block: Block) -> int:
        facts = ZerosFacts(min_zeros=block.min_zeros, max_zeros=block.max_zeros)
        return min(self._config.enough_zeros, max(0, self._strategies.zeros(facts)))

    def _tell_unsent(self, farmed: Farmed, unsent: int) -> None:
        if unsent:
            words = f"BLOCK_OVER: {unsent} works were not sent in time"
            self._observe(
                Trouble(what=f"work block {farmed.block.index}", error=words, retry_in=None)
            )

    @asynccontextmanager
    async def _mining(self, block: Block, mined: MinedBlock, search: Search) -> AsyncIterator[None]:
        """Tell how the search goes, and let miners take part, while the block runs."""
        budget = max(0.0, block.closes_at - self._watch.now())
        reporting = asyncio.create_task(self._report(budget, mined, search))
        try:
            async with self._miners.mining(mined):
                yield
        finally:
            await _cancel({reporting})
            self._observe(_mining(budget, mined, search, is_over=True))

    async def _report(self, budget: float, mined: MinedBlock, search: Search) -> None:
        while True:
            self._observe(_mining(budget, mined, search))
            await asyncio.sleep(_REPORT_SECONDS)

    def _tell_engine_trouble(self, words: str) -> None:
        self._observe(_engine_trouble(words))

    # The end --------------------------------------------------------------------------------------

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
        self._harvests.begin(harvests)

    async def _opened_by_others(self, index: int) -> bool:
        try:
            async with asyncio.timeout(self._config.closing_seconds):
                await self._watch.wait_until(lambda head: head.current_block >= index)
        except TimeoutError:
            return False
        return True

    async def _open(self, index: int) -> None:
        """Plant one farmer, which opens the block, and work it in the next ledger."""
        self._observe(Waiting(what=f"a plant in block {index}: one farmer's closes the last one"))
        await self._plant(index, PlantChoice(stakes={}), farmers=1)
        planted = await self._planted(index)
        if not planted:
            return  # somebody else will open it some time; there is nothing to wait for here
        block = await self._watch.opened(index)
        works = WorkSender(self._desk, self._memory.begin(block), planted, cap=0)
        await self._watch.next_ledger()
        await works.send_poor()
        self._counts["worked"] += works.worked

    def _trouble(self, what: str, error: PoolError) -> None:
        self._observe(trouble(what, error))


def _worth_another_try(summary: BatchSummary) -> bool:
    return any(one.worth_another_try for one in summary.outcomes)


def _mining(budget: float, mined: MinedBlock, search: Search, *, is_over: bool = False) -> Event:
    return Mining(
        block_index=mined.index,
        seconds=search.seconds,
        budget=budget,
        hashes=search.hashes,
        rates={name: rates.per_second for name, rates in search.rates().items()},
        zeros=mined.zeros(),
        is_over=is_over,
    )


def _engine_trouble(words: str) -> Event:
    return Trouble(what="mine", error=words, retry_in=None)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    running = list(tasks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
