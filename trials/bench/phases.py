"""The measured plant, work and harvest of one block."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from devstack.stack import Progress
from devstack.wallet_calls import Farmer, mine, wait_until
from trials.bench.chain import (
    FarmTransaction,
    Limits,
    close_times,
    farm_transactions,
    latest_ledger,
    read_limits,
)
from trials.bench.fewest import Fewest, fewest, leanest
from trials.bench.meter import Reading, measure
from trials.world import World

#: Stroops of KALE that a farmer stakes: 1 KALE and a little more for each, so that amounts differ.
STAKE = 10_000_000
#: Seconds before the boundary at which plants are handed to the wallet.
LEAD_SECONDS = 10.0
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED


@dataclass(frozen=True, kw_only=True)
class LedgerBar:
    """One ledger of a phase."""

    #: Sequence of the ledger.
    ledger: int
    #: Operations in the ledger.
    operations: int
    #: Transactions in the ledger that carried the operations, failed transactions included.
    transactions: int


@dataclass(frozen=True, kw_only=True)
class PhaseResult:
    """The result of one phase."""

    #: plant, work or harvest.
    name: str
    #: Operations requested.
    requested: int
    #: Operations that succeeded, as the wallet says.
    succeeded: int
    #: Reasons of the operations that did not succeed, each with its count.
    failures: dict[str, int]
    #: Operations that the chain shows.
    on_chain: int
    #: The first ledger that could take an operation.
    first_ledger: int
    #: Ledgers from the first ledger to the last that took an operation.
    ledgers_used: int
    #: The fewest ledgers that the network's limits allow.
    fewest: Fewest
    #: One bar for each ledger, ledgers without operations included.
    ledgers: list[LedgerBar]
    #: Transactions in ledgers.
    transactions: int
    #: Transactions in ledgers that failed.
    failed_transactions: int
    #: Most operations in one transaction.
    most_in_one: int
    #: Stroops of XLM, all transactions together.
    fee_total: int
    #: Stroops of XLM of the dearest transaction.
    fee_dearest: int
    #: Seconds from the moment at which the first operation could be done to the last result.
    wall_seconds: float
    #: Seconds of CPU of the wallet's processes from the call to the last result.
    cpu_seconds: float
    #: Largest resident set of a wallet process, in MiB.
    peak_mib: float
    #: JSON-RPC calls by method, where the network counts them.
    rpc_calls: dict[str, int] = field(default_factory=dict)

    @property
    def fee_each(self) -> float:
        """Return the stroops of XLM per operation."""
        return self.fee_total / max(1, self.on_chain)

    @property
    def cpu_ms_each(self) -> float:
        """Return the milliseconds of CPU per operation."""
        return 1000 * self.cpu_seconds / max(1, self.requested)


async def run_block(
    world: World, progress: Progress, *, stake: int = STAKE, warm_up: bool = True
) -> list[PhaseResult]:
    """Run one block from its opening to its harvest, which takes place in the next block.

    A `stake` of 0 means no stake. With `warm_up` the block before is planted, too, and not
    measured: a wallet that has just started then opens its connections and prepares its statements,
    once for all blocks.
    """
    limits = await read_limits(world.session, world.rpc_url)
    progress("waiting for a block to begin with")
    block = await _open_block(world) + 1
    if warm_up:
        progress(f"planting block {block - 1} without measuring")
        await world.caller.plant(f"warm up {block - 1}", block - 1, _stakes(world, stake))
    plant = await _plant(world, block, stake, limits, progress)
    work = await _work(world, block, limits, progress)
    progress("waiting for the block's end")
    await _open_block(world)
    harvest = await _harvest(world, block, limits, progress)
    return [plant, work, harvest]


async def _open_block(world: World) -> int:
    """Let the opener plant in the next block that nobody has planted in; return its index."""
    head = (await world.caller.block()).head
    block = max(head.plantable_block, head.current_block + 1)

    async def plantable() -> bool:
        return (await world.caller.block()).head.plantable_block >= block

    patience = 2.0 * world.config.block_seconds + 60
    await wait_until(plantable, f"block {block} is not plantable", seconds=patience)
    (operation,) = await world.caller.plant(f"open {block}", block, {world.opener: 0})
    if operation.state != SUCCEEDED:
        raise RuntimeError(f"block {block} was not opened: {operation.error_message}")
    return block


async def _plant(
    world: World, block: int, stake: int, limits: Limits, progress: Progress
) -> PhaseResult:
    """Call plant a little before the boundary; the first ledger is the first one past it."""
    before = (await world.caller.block(block - 1)).block
    boundary = before.closes_at.ToSeconds()
    progress(f"waiting for the end of block {block - 1}")
    await asyncio.sleep(max(0.0, boundary - LEAD_SECONDS - time.time()))
    stakes = _stakes(world, stake)
    progress(f"planting {len(stakes)} farmers")
    seen = await latest_ledger(world.session, world.rpc_url)
    early = max(0.0, boundary - time.time())
    operations, reading = await _timed(world, world.caller.plant(f"plant {block}", block, stakes))
    reading.wall_seconds -= early
    last = await latest_ledger(world.session, world.rpc_url)
    times = await close_times(world.session, world.rpc_url, seen + 1, last)
    first = min(ledger for ledger, closed in times.items() if closed >= boundary)
    return await _result(world, "plant", operations, reading, first=first, limits=limits)


def _stakes(world: World, stake: int) -> dict[Farmer, int]:
    """Return stakes that rise by a little, so that amounts differ; 0 for all if `stake` is 0."""
    return {farmer: stake and stake + number for number, farmer in enumerate(world.farmers)}


async def _work(world: World, block: int, limits: Limits, progress: Progress) -> PhaseResult:
    entropy = (await world.caller.block(block)).block.entropy
    progress("searching nonces")
    shown = await asyncio.to_thread(mine, world.farmers, block, entropy)
    first = await _after_a_close(world) + 1
    progress(f"working {len(shown)} farmers")
    operations, reading = await _timed(world, world.caller.work(f"work {block}", shown, block))
    return await _result(world, "work", operations, reading, first=first, limits=limits)


async def _harvest(world: World, block: int, limits: Limits, progress: Progress) -> PhaseResult:
    first = await _after_a_close(world) + 1
    progress(f"harvesting {len(world.farmers)} farmers")
    call = world.caller.harvest(f"harvest {block}", block, world.farmers)
    operations, reading = await _timed(world, call)
    return await _result(world, "harvest", operations, reading, first=first, limits=limits)


async def _after_a_close(world: World) -> int:
    """Wait until a ledger closes and the wallet has seen it, so that the next one is empty."""
    before = await latest_ledger(world.session, world.rpc_url)

    async def closed() -> bool:
        return (await world.caller.block()).head.ledger > before

    await wait_until(closed, "no ledger closes", seconds=60, poll=0.05)
    return await latest_ledger(world.session, world.rpc_url)


async def _timed(
    world: World, call: Awaitable[list[wallet_pb2.Operation]]
) -> tuple[list[wallet_pb2.Operation], Reading]:
    async with measure(world.wallet_pids()) as reading:
        operations = await call
    return operations, reading


async def _result(
    world: World,
    name: str,
    operations: Sequence[wallet_pb2.Operation],
    reading: Reading,
    *,
    first: int,
    limits: Limits,
) -> PhaseResult:
    newest = await latest_ledger(world.session, world.rpc_url)
    carried = await farm_transactions(world.session, world.rpc_url, first, newest)
    bars = _bars(carried, first)
    best = fewest(len(operations), leanest(carried), limits, collide=name != "harvest")
    return PhaseResult(
        name=name,
        requested=len(operations),
        succeeded=sum(item.state == SUCCEEDED for item in operations),
        failures=_failures(operations),
        on_chain=sum(item.operations for item in carried),
        first_ledger=first,
        ledgers_used=len(bars),
        fewest=best,
        ledgers=bars,
        transactions=len(carried),
        failed_transactions=sum(not item.ok for item in carried),
        most_in_one=max(item.operations for item in carried),
        fee_total=sum(item.fee for item in carried),
        fee_dearest=max(item.fee for item in carried),
        wall_seconds=reading.wall_seconds,
        cpu_seconds=reading.cpu_seconds,
        peak_mib=reading.peak_mib,
    )


def _bars(carried: Sequence[FarmTransaction], first: int) -> list[LedgerBar]:
    """Return the bars from the first possible ledger to the last that carried an operation."""
    last = max((item.ledger for item in carried if item.operations), default=first)
    operations: Counter[int] = Counter()
    for item in carried:
        operations[item.ledger] += item.operations
    transactions = Counter(item.ledger for item in carried)
    return [
        LedgerBar(ledger=ledger, operations=operations[ledger], transactions=transactions[ledger])
        for ledger in range(first, last + 1)
    ]


def _failures(operations: Sequence[wallet_pb2.Operation]) -> dict[str, int]:
    reasons = Counter(
        common_pb2.FailureReason.Name(item.reason) for item in operations if item.state != SUCCEEDED
    )
    return dict(reasons)
