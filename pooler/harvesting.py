"""The harvests of a pooler: which closed blocks, when, and what they paid."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from client import BatchSummary, Block, FarmerId, FarmerOutcome, PoolClient, PoolerId, PoolError
from pooler.config import PoolerConfig
from pooler.events import Harvested, Observer, Swept, trouble
from pooler.memory import Memory
from pooler.plants import Purse, locked_by, short_of
from pooler.strategies.model import HarvestFacts, Strategies

#: Seconds for which a harvest is tried: the pails live for about a day, the service sweeps too.
_PATIENCE = 600.0


class Harvests:
    """What was planted and is not harvested, and what was."""

    def __init__(
        self,
        client: PoolClient,
        config: PoolerConfig,
        pooler_id: PoolerId,
        *,
        memory: Memory,
        strategies: Strategies,
        observe: Observer,
    ) -> None:
        self._client = client
        self._config = config
        self._pooler_id = pooler_id
        self._memory = memory
        self._strategies = strategies
        self._observe = observe
        #: By block: stroops of each farmer's plant that are locked.
        self._held: dict[int, dict[FarmerId, int]] = {}
        #: Blocks that were worked and whose harvest has not begun, oldest first.
        self._unharvested: list[Block] = []
        #: By block: works and harvests that succeeded, and stroops of KALE harvested.
        self._works: Counter[int] = Counter()
        self._harvests: Counter[int] = Counter()
        self._rewards: Counter[int] = Counter()
        #: Harvests that the last sweep has left open; None when it failed.
        self.pending: int | None = None
        #: Harvests that are under way.
        self._running: set[asyncio.Task[None]] = set()

    @property
    def succeeded(self) -> int:
        """Return how many harvests were paid."""
        return self._harvests.total()

    @property
    def rewards(self) -> int:
        """Return the stroops of KALE that they paid, without stakes."""
        return self._rewards.total()

    @property
    def locked(self) -> dict[FarmerId, int]:
        """Return the stroops by farmer that are planted and not harvested."""
        return locked_by(self._held)

    def hold(self, block: Block, planted: Sequence[FarmerOutcome]) -> None:
        """Note a block that is farmed: it has to be harvested, whatever becomes of its works."""
        self._held[block.index] = {one.farmer_id: one.amount for one in planted}
        self._unharvested.append(block)

    def worked(self, index: int, works: int) -> None:
        """Note how many works of a block the chain took."""
        self._works[index] += works

    def begin(
        self,
        tasks: asyncio.TaskGroup,
        *,
        opened: Block | None = None,
        purses: Mapping[FarmerId, Purse] | None = None,
    ) -> None:
        """Begin the harvests that are due now that a block is open; all, where no block is given.

        What was held before and is not due waits for the next block.
        """
        due = self._due(opened, purses or {})
        for block in [one for one in self._unharvested if one.index in due]:
            self._unharvested.remove(block)
            task = tasks.create_task(self._harvest(block.index))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def until_paid(self) -> None:
        """Wait until no harvest is under way: what they give back can be planted."""
        while self._running:
            await asyncio.wait(self._running)

    def _due(self, opened: Block | None, purses: Mapping[FarmerId, Purse]) -> set[int]:
        closed = [one for one in self._unharvested if opened is None or one.index < opened.index]
        indices = tuple(one.index for one in closed)
        if opened is None or not closed:
            return set(indices)
        short = short_of(
            self._strategies,
            purses,
            block=opened,
            locked=self.locked,
            closed=locked_by(self._held, indices),
        )
        facts = HarvestFacts(
            closed=indices,
            expires=tuple(one.expires_ledger for one in closed),
            ledger=opened.opened_ledger,
            short=short,
            saved=self._config.harvest_saving_stroops,
            group=self._config.harvest_group,
        )
        return set(self._strategies.harvests(facts))

    async def _harvest(self, index: int) -> None:
        try:
            summary = await self._client.harvest(self._pooler_id, index, patience=_PATIENCE)
        except PoolError as error:
            self._observe(trouble(f"harvest block {index}", error))
            return
        finally:
            # After a failure nobody here learns of its end: what may be locked for ever is not
            # counted on for the next stakes.
            self._held.pop(index, None)
        self._count(summary)
        self._memory.harvested(summary.outcomes)
        self._observe(Harvested(summary=summary))
        if any(one.worth_another_try for one in summary.outcomes):
            await self.sweep()

    async def sweep(self) -> None:
        """Harvest whatever is left: of a run that crashed, or of harvests that failed."""
        try:
            summary = await self._client.harvest_pending(self._pooler_id, patience=_PATIENCE)
        except PoolError as error:
            self.pending = None
            self._observe(trouble("harvest what is pending", error))
            return
        for block in summary.blocks:
            self._count(block)
        self.pending = summary.still_pending
        self._observe(Swept(summary=summary))

    def _count(self, summary: BatchSummary) -> None:
        self._harvests[summary.block_index] += summary.succeeded
        self._rewards[summary.block_index] += summary.amount

    async def count_recorded(self, blocks: Sequence[int]) -> None:
        """Count the harvests that the pool was faster with, which it makes once a minute."""
        for index in blocks:
            if self._harvests[index] >= self._works[index]:
                continue
            try:
                paid = [one async for one in self._client.harvested(self._pooler_id, index)]
            except PoolError as error:
                self._observe(trouble(f"read what block {index} has paid", error))
                continue
            if len(paid) > self._harvests[index]:
                self._harvests[index] = len(paid)
                self._rewards[index] = sum(one.amount for one in paid)
