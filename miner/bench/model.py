"""What a measurement says."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from miner.model import Rates


@dataclass(frozen=True, kw_only=True)
class EngineFigures:
    """One engine on this machine."""

    #: Its name.
    name: str
    #: Seconds from nothing to an engine that is compiled, loaded and compared with the judge.
    first_ready_seconds: float
    #: The same where the object code is on disk already.
    ready_seconds: float
    #: Seconds from a block with 1,000 farmers to its first hash by this engine, once it is ready.
    first_hash_seconds: float
    #: One thread: medians of all rounds.
    one: Rates
    #: All threads together; None where it has one only.
    every: Rates | None
    #: How many threads that is.
    threads: int
    #: Seconds of a processor that a change of farmer costs: in the engine, and in the schedule;
    #: None where slices do not end at their finds, or are long.
    change_seconds: float | None
    schedule_seconds: float
    #: Finds that the judge hashed again, and how many of them were wrong.
    finds: int
    wrong: int

    @property
    def cpu_scaling(self) -> float | None:
        """Return the hashes per second of a processor with all threads, over those with one."""
        if self.every is None or not self.one.per_cpu_second:
            return None
        return self.every.per_cpu_second / self.one.per_cpu_second

    @property
    def scaling(self) -> float | None:
        """Return the hashes per second with all threads, over those of one and their number."""
        if self.every is None or not self.one.per_second:
            return None
        return self.every.per_second / self.one.per_second / self.threads


@dataclass(frozen=True, kw_only=True)
class RivalFigures:
    """A program of somebody else, one thread of it."""

    #: Its path.
    path: str
    #: Hashes per second of a processor: the median of all rounds.
    per_cpu_second: float
    #: Our fastest engines' hashes per second of a processor over its own, by engine.
    ratios: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A whole measurement."""

    #: The processors in words: how many, and whether they are cores.
    processors: str
    #: Their model, as the system names it; empty where nothing tells.
    model: str
    #: Seconds of each sample, and how many samples there were of each figure.
    seconds: float
    rounds: int
    #: The engines.
    engines: Sequence[EngineFigures]
    #: Engines that this machine has not, with the reason.
    missing: dict[str, str]
    #: Other programs, measured in between.
    rivals: Sequence[RivalFigures]


def as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures for JSON: fields by their names, and with the quotients of rates."""
    found = asdict(figures)
    for engine, entry in zip(figures.engines, found["engines"], strict=True):
        entry |= {"cpu_scaling": engine.cpu_scaling, "scaling": engine.scaling}
        for name, rates in (("one", engine.one), ("every", engine.every)):
            if rates is not None:
                entry[name] |= {
                    "per_second": rates.per_second,
                    "per_cpu_second": rates.per_cpu_second,
                }
    return found
