"""A block from its first hash to its last work: mined for all, sent when the strategy says so."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from client import (
    BatchSummary,
    Block,
    ChainWatch,
    FarmerId,
    FarmerOutcome,
    PoolClient,
    PoolerId,
    Submission,
    leading_zeros,
    raw_key,
    work_hash,
)
from miner.model import NO_CAP
from pooler.config import PoolerConfig
from pooler.memory import Farmed, Memory
from pooler.miners import MinedBlock
from pooler.strategies.model import EarlyFacts, Learned, SendFacts, Strategies

#: Seconds for which works are tried while services restart; the block is over by then.
_PATIENCE = 120.0
#: Seconds before the end from which on every ledger is looked for; before, the stream tells most.
_NEAR_SECONDS = 150.0
#: Seconds between two looks at the chain, near the end and before.
_NEAR_LOOK, _FAR_LOOK = 1.0, 3.0
#: SubmitWork calls for the same nonces, one in each ledger: a block has no more ledgers.
_TRIES = 60
#: Zeros of an early, poor nonce at most, and ledgers after the last plant in which it is shown.
POOR_ZEROS, _EARLY_LEDGERS = 1, 5


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a pooler sends works with."""

    client: PoolClient
    config: PoolerConfig
    pooler_id: PoolerId
    watch: ChainWatch
    memory: Memory
    strategies: Strategies
    #: Hears of each answer.
    observe: Callable[[BatchSummary], None]


class WorkSender:
    """The works of one block."""

    def __init__(
        self, desk: Desk, farmed: Farmed, planted: Sequence[FarmerOutcome], *, cap: int
    ) -> None:
        """Take the farmers in the order of the search's targets, and the zeros that suffice."""
        self._desk = desk
        self._farmed = farmed
        self._block = farmed.block
        self._planted = planted
        self._by_id = {one.farmer_id: one for one in planted}
        self._cap = cap
        self._submitting: set[asyncio.Task[None]] = set()
        #: Places of farmers whose works are not sent.
        self._waiting = set(range(len(planted)))
        #: Places of farmers whose stake an early work has made safe.
        self._safe: set[int] = set()
        #: Works that the chain took.
        self.worked = 0

    async def run(self, mined: MinedBlock, mining: AbstractAsyncContextManager[None]) -> None:
        """Send all works, each when the strategy says so; wait for them.

        `mining` is entered while works wait, until the last one is sent or the block is over. Raise
        PoolError when a call cannot succeed any more.
        """
        early = asyncio.create_task(self._show_early())
        try:
            async with mining:
                await self._send_all(mined)
            await early
            await asyncio.gather(*self._submitting)
        finally:
            for task in (early, *self._submitting):
                task.cancel()
            await asyncio.gather(early, *self._submitting, return_exceptions=True)

    @property
    def unsent(self) -> int:
        """Return how many works were not sent; their stakes are lost unless shown early."""
        return len(self._waiting - self._safe)

    async def send_poor(self) -> None:
        """Show a nonce of each farmer that is found at once, and wait for it."""
        found = {one.farmer_id: poor_nonce(self._block, one) for one in self._planted}
        await self._submit(found)

    @property
    def _is_open(self) -> bool:
        return self._desk.watch.head.current_block <= self._block.index

    @property
    def _look_seconds(self) -> float:
        near = self._desk.watch.now() > self._block.closes_at - _NEAR_SECONDS
        return _NEAR_LOOK if near else _FAR_LOOK

    async def _send_all(self, mined: MinedBlock) -> None:
        while self._waiting and self._is_open:
            for group, risk in self._groups():
                self._send(mined, group, self._count(mined, group, risk))
            if self._waiting:
                await self._desk.watch.look(self._look_seconds)

    def _groups(self) -> list[tuple[list[int], float]]:
        """Return the farmers who wait, those whose stake is at risk apart, with their risks."""
        config = self._desk.config
        staked = [at for at in self._waiting if self._planted[at].amount and at not in self._safe]
        others = sorted(self._waiting.difference(staked))
        both = ((sorted(staked), config.risk), (others, config.reward_risk))
        return [(group, risk) for group, risk in both if group]

    def _count(self, mined: MinedBlock, group: Sequence[int], risk: float) -> int:
        """Return how many works of a group are sent now; all once everybody has enough zeros."""
        best = mined.best()
        zeros = [best[at].zeros if at in best else -1 for at in group]
        if self._desk.config.enough_zeros < NO_CAP and self._cap <= min(zeros):
            return len(group)
        count = self._desk.strategies.send(self._facts(mined, group, zeros, risk))
        return max(0, min(len(group), int(count)))

    def _facts(
        self, mined: MinedBlock, group: Sequence[int], zeros: Sequence[int], risk: float
    ) -> SendFacts:
        head, block = self._desk.watch.head, self._block
        learned = self._desk.memory.learned()
        stakes = [self._planted[at].amount for at in group]
        return SendFacts(
            works=len(group),
            ledger=head.ledger,
            close_time=int(head.close_time),
            now=self._desk.watch.now(),
            opened_at=int(block.opened_at),
            closes_at=int(block.closes_at),
            planted=max(self._planted[at].ledger for at in group),
            min_gap=block.min_gap,
            max_gap=block.max_gap,
            others=weights_beside_the_gap(block, stakes, zeros),
            growth=growth(block, zeros, cap=self._cap, hashes=mined.rate * _mean_span(learned)),
            learned=learned,
            risk=risk,
            share=self._desk.config.submit_share,
        )

    def _send(self, mined: MinedBlock, group: Sequence[int], count: int) -> None:
        """Send the works of so many farmers, first of those who have the least to gain."""
        best = mined.best()
        ready = sorted((at for at in group if at in best), key=lambda at: -best[at].zeros)[:count]
        if not ready:
            return
        mined.sent(ready)
        self._waiting.difference_update(ready)
        found = {self._planted[at].farmer_id: best[at].submission for at in ready}
        self._submitting.add(asyncio.create_task(self._submit(found)))

    async def _submit(self, found: dict[FarmerId, Submission]) -> None:
        """Submit nonces, and again those that failed for passing reasons, in an open block."""
        desk = self._desk
        self._farmed.sends[desk.watch.head.ledger] += len(found)
        for _ in range(_TRIES):
            summary = await self._ask(found)
            desk.memory.worked(self._farmed, self._by_id, summary.outcomes)
            self.worked += summary.succeeded
            again = {one.farmer_id for one in summary.outcomes if one.worth_another_try}
            found = {farmer: nonce for farmer, nonce in found.items() if farmer in again}
            if not found or not self._is_open:
                break
            # A gap of 0 and a congested ledger are both over with the next ledger.
            await desk.watch.next_ledger()
        self._farmed.missing += len(found)

    async def _ask(self, found: dict[FarmerId, Submission]) -> BatchSummary:
        desk = self._desk
        summary = await desk.client.submit_work(
            desk.pooler_id, self._block.index, list(found.values()), patience=_PATIENCE
        )
        desk.observe(summary)
        return summary

    async def _show_early(self) -> None:
        """Show a poor nonce of each farmer when the strategy says so, soon after the plants."""
        watch, unshown = self._desk.watch, set(self._waiting)
        last = max(one.ledger for one in self._planted) + _EARLY_LEDGERS
        while unshown and self._is_open and watch.head.ledger <= last:
            due = {at for at in unshown & self._waiting if self._is_due(at)}
            if due:
                unshown -= await self._show(due)
            await watch.next_ledger()

    def _is_due(self, at: int) -> bool:
        plant = self._planted[at]
        facts = EarlyFacts(
            ledger=self._desk.watch.head.ledger, planted=plant.ledger, stake=plant.amount
        )
        return self._desk.strategies.early(facts)

    async def _show(self, places: Collection[int]) -> set[int]:
        """Show poor nonces; return the places of those that need not be shown again."""
        at_of = {self._planted[at].farmer_id: at for at in places}
        found = {farmer: poor_nonce(self._block, self._planted[at]) for farmer, at in at_of.items()}
        outcomes = (await self._ask(found)).outcomes
        self._safe |= {at_of[one.farmer_id] for one in outcomes if one.succeeded}
        return {at_of[one.farmer_id] for one in outcomes if not one.worth_another_try}


def would_send_now(desk: Desk, block: Block) -> bool:
    """Tell whether a work of this block would be sent at once: then it is too late to plant."""
    head = desk.watch.head
    facts = SendFacts(
        works=1,
        ledger=head.ledger,
        close_time=int(head.close_time),
        now=desk.watch.now(),
        opened_at=int(block.opened_at),
        closes_at=int(block.closes_at),
        planted=head.ledger,
        min_gap=block.min_gap,
        max_gap=block.max_gap,
        others=0.0,
        growth=1.0,
        learned=desk.memory.learned(),
        risk=desk.config.risk,
        share=desk.config.submit_share,
    )
    return desk.strategies.send(facts) > 0


def poor_nonce(block: Block, planted: FarmerOutcome) -> Submission:
    """Return a nonce with few zeros: 255 of 256 have."""
    while True:
        nonce = secrets.randbits(63)
        digest = work_hash(
            index=block.index,
            nonce=nonce,
            entropy=block.entropy,
            farmer_key=raw_key(planted.address),
        )
        if leading_zeros(digest) <= POOR_ZEROS:
            return Submission(farmer_id=planted.farmer_id, nonce=nonce)


def weights_beside_the_gap(block: Block, stakes: Sequence[int], zeros: Sequence[int]) -> float:
    """Return the mean weight of stakes and zeros, in parts of the most that one of them weighs."""
    pairs = zip(stakes, zeros, strict=True)
    weight = sum(
        _part(stake, block.min_stake, block.max_stake)
        + _part(number, block.min_zeros, block.max_zeros)
        for stake, number in pairs
    )
    return weight / max(1, len(stakes))


def growth(block: Block, zeros: Sequence[int], *, cap: int, hashes: float) -> float:
    """Return how much so many hashes, for those with the fewest zeros, add to the mean weight.

    A hash improves a nonce with z zeros with the chance 16^-(z+1), by 16/15 zeros on average.
    """
    fewest, span = min(zeros), block.max_zeros - block.min_zeros
    if fewest >= min(cap, block.max_zeros) or span <= 0:
        return 0.0
    improved = min(len(zeros), hashes * 16.0 ** -(fewest + 1))
    return improved * 16 / 15 / len(zeros) / span


def _part(value: int, least: int, most: int) -> float:
    return min(max(value - least, 0), most - least) / (most - least) if most > least else 0.0


def _mean_span(learned: Learned) -> float:
    """Return the seconds until the next ledger."""
    return sum(seconds * chance for seconds, chance in learned.spans)
