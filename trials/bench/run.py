"""The runs of one `make bench`, one after another on the same machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from devstack.stack import Progress
from trials.bench.authenticators import authenticator_seconds
from trials.bench.chain import read_limits
from trials.bench.phases import STAKE, run_block
from trials.bench.results import BenchResult, CarrierRun
from trials.bench.throttle import throttled
from trials.machine import Origin, origin
from trials.world import Carrier, World, WorldConfig, open_world

#: Limits far above what any run needs, so that only the wallet itself is the limit.
UNLIMITED = {
    "contract_execution_lanes.ledger_max_tx_count": 100_000,
    "contract_compute_v0.ledger_max_instructions": 10**12,
    "contract_bandwidth_v0.ledger_max_txs_size_bytes": 10**9,
    "contract_ledger_cost_v0.ledger_max_disk_read_entries": 10**6,
    "contract_ledger_cost_v0.ledger_max_disk_read_bytes": 10**9,
    "contract_ledger_cost_v0.ledger_max_write_ledger_entries": 10**6,
    "contract_ledger_cost_v0.ledger_max_write_bytes": 10**9,
}
#: Seconds of a ledger where the chain must not be the limit.
FAST_LEDGER = 1.0
#: Share of a core that each wallet process gets in the comparison of one process with two, so that
#: the wallet is the limit: so small a share that a thousand operations take many times the
#: unavoidable wait for ledgers.
SMALL_SHARE = 0.05
#: Seconds of a block in that comparison: a thousand plants have to be done before it ends.
SLOW_BLOCK = 120


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """Settings of one benchmark."""

    #: Farmers.
    farmers: int
    #: Seconds between two ledgers.
    ledger_seconds: float
    #: Seconds of a KALE block.
    block_seconds: int
    #: How operations are carried, one run for each carrier.
    carriers: tuple[Carrier, ...]
    #: Whether also to compare one wallet process with two, with the network's limits out of the way
    #: and a small share of a core for each process.
    compare: bool
    #: The command line, for the report.
    command: str


async def run_bench(plan: BenchPlan, progress: Progress) -> BenchResult:
    """Run all measurements; the processes of one run are gone before the next run begins."""
    measured = WorldConfig(
        farmers=plan.farmers,
        ledger_seconds=plan.ledger_seconds,
        block_seconds=plan.block_seconds,
    )
    unlimited = replace(
        measured,
        network_settings=UNLIMITED,
        ledger_seconds=FAST_LEDGER,
        block_seconds=SLOW_BLOCK,
    )
    carried = [
        await _run(replace(measured, carrier=carrier), progress, stakes=(STAKE, 0))
        for carrier in plan.carriers
    ]
    compared = [
        await _run(replace(unlimited, wallets=count), progress, cpu_share=SMALL_SHARE)
        for count in ((1, 2) if plan.compare else ())
    ]
    return BenchResult(
        origin=[*carried, *compared][0][1],
        command=plan.command,
        runs=[run for runs, _ in carried for run in runs],
        unlimited=[run for runs, _ in compared for run in runs],
        authenticator_seconds=authenticator_seconds(),
    )


async def _run(
    config: WorldConfig,
    progress: Progress,
    *,
    stakes: Sequence[int] = (STAKE,),
    cpu_share: float | None = None,
) -> tuple[list[CarrierRun], Origin]:
    """Run one block for each of these stakes, all with the same processes."""
    async with open_world(config, progress) as world:
        runs = [await _farm(world, progress, stake, cpu_share) for stake in stakes]
        return runs, await origin(world.stack.admin_dsn)


async def _farm(
    world: World, progress: Progress, stake: int, cpu_share: float | None
) -> CarrierRun:
    config = world.config
    async with throttled(world.wallet_pids(), cpu_share):
        # With a small share of a core a second block would not be done in time.
        phases = await run_block(world, progress, stake=stake, warm_up=cpu_share is None)
    return CarrierRun(
        carrier=config.carrier,
        farmers=config.farmers,
        wallets=config.wallets,
        ledger_seconds=config.ledger_seconds,
        network_as_measured=not config.network_settings,
        limits=await read_limits(world.session, world.rpc_url),
        phases=phases,
        staked=stake > 0,
        cpu_share=cpu_share,
    )
