"""What a run of the benchmark came to."""

from dataclasses import dataclass

from benchmarks.chain import Limits
from benchmarks.machine import Origin
from benchmarks.phases import PhaseResult
from benchmarks.world import Carrier


@dataclass(frozen=True, kw_only=True)
class CarrierRun:
    """One block of one carrier."""

    #: How operations travelled.
    carrier: Carrier
    #: Farmers.
    farmers: int
    #: Wallet processes.
    wallets: int
    #: Seconds between two ledgers.
    ledger_seconds: float
    #: The network's limits were mainnet's as measured.
    network_as_measured: bool
    #: The limits of a ledger.
    limits: Limits
    #: Plant, work, harvest.
    phases: list[PhaseResult]

    @property
    def title(self) -> str:
        """For people."""
        processes = "" if self.wallets == 1 else f", {self.wallets} wallet processes"
        return f"{self.carrier.value}, {self.farmers} farmers{processes}"

    @property
    def wall_seconds(self) -> float:
        """Seconds of all phases."""
        return sum(phase.wall_seconds for phase in self.phases)

    @property
    def cpu_seconds(self) -> float:
        """CPU of the wallet in all phases."""
        return sum(phase.cpu_seconds for phase in self.phases)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two runs beside each other on one machine: what holds on any machine."""

    #: What is compared.
    name: str
    #: The first run's figure.
    left: float
    #: The second run's figure.
    right: float

    @property
    def ratio(self) -> float:
        """The first as a multiple of the second."""
        return self.left / self.right if self.right else float("inf")


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """Everything of one `make bench`."""

    #: Machine, versions, commit.
    origin: Origin
    #: The command that gave it.
    command: str
    #: Runs on the network as it was measured.
    runs: list[CarrierRun]
    #: Runs on a network whose limits do not matter.
    unlimited: list[CarrierRun]

    def ratios(self) -> list[Ratio]:
        """Single against multicall, one wallet process against two."""
        return [*_carriers(self.runs), *_processes(self.unlimited)]


def _carriers(runs: list[CarrierRun]) -> list[Ratio]:
    by_carrier = {run.carrier: run for run in runs}
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


def _processes(runs: list[CarrierRun]) -> list[Ratio]:
    if len(runs) < 2:
        return []
    one, two = runs
    name = "seconds of all phases, one wallet process / two"
    return [
        Ratio(name=name, left=one.wall_seconds, right=two.wall_seconds),
        *_phase_ratios(one, two),
    ]


def _phase_ratios(one: CarrierRun, two: CarrierRun) -> list[Ratio]:
    return [
        Ratio(
            name=f"seconds of {left.name}, one wallet process / two",
            left=left.wall_seconds,
            right=right.wall_seconds,
        )
        for left, right in zip(one.phases, two.phases, strict=True)
    ]
