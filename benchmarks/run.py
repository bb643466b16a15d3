"""The runs of one `make bench`, one after another on the same machine."""

from dataclasses import dataclass, replace

from benchmarks.chain import read_limits
from benchmarks.machine import Origin, origin
from benchmarks.phases import run_block
from benchmarks.results import BenchResult, CarrierRun
from benchmarks.world import Carrier, WorldConfig, open_world
from demo.stack import Progress

#: Far above what any run needs, so that only the wallet limits itself.
UNLIMITED = {
    "contract_execution_lanes.ledger_max_tx_count": 100_000,
    "contract_compute_v0.ledger_max_instructions": 10**12,
    "contract_bandwidth_v0.ledger_max_txs_size_bytes": 10**9,
    "contract_ledger_cost_v0.ledger_max_disk_read_entries": 10**6,
    "contract_ledger_cost_v0.ledger_max_disk_read_bytes": 10**9,
    "contract_ledger_cost_v0.ledger_max_write_ledger_entries": 10**6,
    "contract_ledger_cost_v0.ledger_max_write_bytes": 10**9,
}
#: Seconds of a ledger where the chain is not to be the limit.
FAST_LEDGER = 1.0
#: Seconds of a block there.
FAST_BLOCK = 60


@dataclass(frozen=True, kw_only=True)
class BenchPlan:
    """What to measure."""

    #: Farmers.
    farmers: int
    #: Seconds between two ledgers.
    ledger_seconds: float
    #: Seconds of a KALE block.
    block_seconds: int
    #: How operations travel, one run each.
    carriers: tuple[Carrier, ...]
    #: Also one wallet process beside two, with the network's limits out of the way.
    compare: bool
    #: The command line, for the report.
    command: str


async def run_bench(plan: BenchPlan, progress: Progress) -> BenchResult:
    """All runs; the processes of one are gone before the next begins."""
    measured = WorldConfig(
        farmers=plan.farmers,
        ledger_seconds=plan.ledger_seconds,
        block_seconds=plan.block_seconds,
    )
    unlimited = replace(
        measured,
        network_settings=UNLIMITED,
        ledger_seconds=FAST_LEDGER,
        block_seconds=FAST_BLOCK,
    )
    configs = [replace(measured, carrier=carrier) for carrier in plan.carriers]
    if plan.compare:
        configs += [replace(unlimited, wallets=count) for count in (1, 2)]
    found = [await _run(config, progress) for config in configs]
    runs = [run for run, _ in found]
    return BenchResult(
        origin=found[0][1],
        command=plan.command,
        runs=[run for run in runs if run.network_as_measured],
        unlimited=[run for run in runs if not run.network_as_measured],
    )


async def _run(config: WorldConfig, progress: Progress) -> tuple[CarrierRun, Origin]:
    async with open_world(config, progress) as world:
        phases = await run_block(world, progress)
        run = CarrierRun(
            carrier=config.carrier,
            farmers=config.farmers,
            wallets=config.wallets,
            ledger_seconds=config.ledger_seconds,
            network_as_measured=not config.network_settings,
            limits=await read_limits(world.session, world.rpc_url),
            phases=phases,
        )
        return run, await origin(world.stack.admin_dsn)
