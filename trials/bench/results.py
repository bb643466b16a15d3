"""The result of a run of the benchmark."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from trials.bench.chain import Limits
from trials.bench.phases import PhaseResult
from trials.machine import Origin
from trials.world import Carrier


@dataclass(frozen=True, kw_only=True)
class CarrierRun:
    """One block of one carrier."""

    #: How operations were carried.
    carrier: Carrier
    #: Farmers.
    farmers: int
    #: Wallet processes.
    wallets: int
    #: Seconds between two ledgers.
    ledger_seconds: float
    #: Whether the network's limits were mainnet's as measured.
    network_as_measured: bool
    #: The limits of a ledger.
    limits: Limits
    #: The results of plant, work and harvest.
    phases: list[PhaseResult]
    #: Whether farmers staked KALE.
    staked: bool = True
    #: Share of a core that each wallet process had; None: no limit.
    cpu_share: float | None = None

    @property
    def name(self) -> str:
        """Return the carrier's name, and whether nothing was staked."""
        return self.carrier.value if self.staked else f"{self.carrier.value} without stake"

    @property
    def title(self) -> str:
        """Return a title for people."""
        processes = "" if self.wallets == 1 else f", {self.wallets} wallet processes"
        share = "" if self.cpu_share is None else f", {self.cpu_share:.0%} of a core each"
        return f"{self.name}, {self.farmers} farmers{processes}{share}"

    @property
    def fee_each(self) -> float:
        """Return the stroops of XLM per farmer and block."""
        return sum(phase.fee_each for phase in self.phases)

    @property
    def wall_seconds(self) -> float:
        """Return the seconds of all phases."""
        return sum(phase.wall_seconds for phase in self.phases)

    @property
    def cpu_seconds(self) -> float:
        """Return the seconds of CPU that the wallet used in all phases."""
        return sum(phase.cpu_seconds for phase in self.phases)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two runs compared on one machine: their ratio holds on any machine."""

    #: What is compared.
    name: str
    #: The first run's figure.
    left: float
    #: The second run's figure.
    right: float

    @property
    def ratio(self) -> float:
        """Return the first figure as a multiple of the second."""
        return self.left / self.right if self.right else float("inf")


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """Everything that one `make bench` measured."""

    #: Machine, versions, commit.
    origin: Origin
    #: The command that gave the result.
    command: str
    #: Runs on the network with its limits as measured, with stake and without.
    runs: list[CarrierRun]
    #: Runs on a network whose limits are out of the way.
    unlimited: list[CarrierRun]
    #: Seconds of CPU that the authenticators of one operation's rows take.
    authenticator_seconds: float = 0.0

    def ratios(self) -> list[Ratio]:
        """Return the ratios of single calls to multicall, and of one wallet process to two."""
        pairs = processes_compared(self.unlimited)
        compared = [ratio for pair in pairs for ratio in _processes(*pair)]
        return [*_carriers(self.runs), *_stakes(self.runs), *compared]


def processes_compared(runs: Sequence[CarrierRun]) -> list[tuple[CarrierRun, CarrierRun]]:
    """Return pairs of runs, one wallet process and two, under the same limit of CPU.

    No other limit is reached before that limit of CPU.
    """
    found: list[tuple[CarrierRun, CarrierRun]] = []
    for one, two in itertools.pairwise(runs):
        if one.cpu_share == two.cpu_share and (one.wallets, two.wallets) == (1, 2):
            found.append((one, two))
    return found


def _stakes(runs: Sequence[CarrierRun]) -> list[Ratio]:
    """Return what a stake adds to the fee of a block."""
    with_stake = {run.carrier: run.fee_each for run in runs if run.staked}
    return [
        Ratio(
            name=f"XLM of a block, {run.carrier.value}, with stake / without",
            left=with_stake[run.carrier],
            right=run.fee_each,
        )
        for run in runs
        if not run.staked and run.carrier in with_stake
    ]


def _carriers(runs: Sequence[CarrierRun]) -> list[Ratio]:
    by_carrier = {run.carrier: run for run in runs if run.staked}
    if len(by_carrier) < 2:
        return []
    single, multi = by_carrier[Carrier.SINGLE], by_carrier[Carrier.MULTICALL]
    found = [
        Ratio(name="CPU, single / multicall", left=single.cpu_seconds, right=multi.cpu_seconds)
    ]
    for left, right in zip(single.phases, multi.phases, strict=True):
        name = f"{left.name}, single / multicall"
        found += [
            Ratio(name=f"ledgers of {name}", left=left.ledgers_used, right=right.ledgers_used),
            Ratio(name=f"XLM of {name}", left=left.fee_each, right=right.fee_each),
        ]
    return found


def _processes(one: CarrierRun, two: CarrierRun) -> list[Ratio]:
    share = "" if one.cpu_share is None else f" with {one.cpu_share:.0%} of a core each"
    name = f"one wallet process / two{share}"
    return [
        Ratio(name=f"seconds of all phases, {name}", left=one.wall_seconds, right=two.wall_seconds),
        *_phase_ratios(one, two, name),
    ]


def _phase_ratios(one: CarrierRun, two: CarrierRun, name: str) -> list[Ratio]:
    return [
        Ratio(
            name=f"seconds of {left.name}, {name}",
            left=left.wall_seconds,
            right=right.wall_seconds,
        )
        for left, right in zip(one.phases, two.phases, strict=True)
    ]
