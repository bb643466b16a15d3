"""A whole measurement: all engines and programs in turns, so that each meets the same machine."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from time import monotonic

from miner.bench.measure import (
    change_seconds,
    checked_finds,
    first_hash_seconds,
    medians,
    sample,
    schedule_seconds,
)
from miner.bench.model import EngineFigures, Figures, RivalFigures
from miner.bench.rivals import Task
from miner.choice import ENGINES, Choice, check_names, made_ready, vectors
from miner.engine import Engine
from miner.model import EngineUnavailableError, MinerError, Rates
from miner.processors import describe, model

#: Engines that are not measured by themselves: programs do not tell what they hash.
_LEFT_OUT = {"programs"}
#: Hears in words what is measured now.
Tell = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured."""

    #: Engines by name; none: all that this machine has.
    engines: Sequence[str] = ()
    #: Threads; 0: one per processor.
    threads: int = 0
    #: Seconds of a sample.
    seconds: float = 1.0
    #: Samples of each figure.
    rounds: int = 3
    #: Finds of each engine that are checked.
    finds: int = 10_000
    #: Builds of kale-miner to measure in between.
    rivals: Sequence[Path] = ()


@dataclass(kw_only=True)
class _Measured:
    """An engine, and its samples so far."""

    engine: Engine
    first_ready: float
    ready: float
    one: list[Rates] = field(default_factory=list)
    every: list[Rates] = field(default_factory=list)


def measure(plan: Plan, tell: Tell) -> Figures:
    """Measure.

    Raise MinerError for an engine or a program that does not exist, and when a program does not do
    what it should.
    """
    check_names(plan.engines)
    for path in plan.rivals:
        if shutil.which(path) is None:
            raise EngineUnavailableError(f"{path}: is no program to run")
    found, missing = _engines(plan, tell)
    rates: dict[Path, list[float]] = {path: [] for path in plan.rivals}
    task = _task(found, missing) if plan.rivals else None
    for number in range(plan.rounds):
        for measured in found:
            tell(f"round {number + 1} of {plan.rounds}: {measured.engine.name}")
            _take_samples(measured, plan.seconds)
        for path in plan.rivals:
            tell(f"round {number + 1} of {plan.rounds}: {path}")
            assert task is not None  # noqa: S101  (there is one where there are rivals)
            rates[path].append(task.per_cpu_second(path))
    engines = [_figures(measured, plan, tell) for measured in found]
    return Figures(
        processors=describe(),
        model=model(),
        seconds=plan.seconds,
        rounds=plan.rounds,
        engines=engines,
        missing=missing,
        rivals=[_rival(path, median(each), engines) for path, each in rates.items()],
    )


def _engines(plan: Plan, tell: Tell) -> tuple[list[_Measured], dict[str, str]]:
    """Return the engines, made ready twice: from nothing, and with what is on disk then."""
    found: list[_Measured] = []
    missing: dict[str, str] = {}
    for name in plan.engines or [name for name in ENGINES if name not in _LEFT_OUT]:
        choice = Choice(threads=plan.threads)
        kinds = vectors() if name == "llvm" else [""]
        for kind in kinds or [""]:
            tell(f"making {' '.join((name, kind)).strip()} ready")
            try:
                found += _made_twice(name, replace(choice, vectors=kind))
            except MinerError as error:
                missing[name] = str(error)
    return found, missing


def _made_twice(name: str, choice: Choice) -> list[_Measured]:
    with tempfile.TemporaryDirectory() as folder:
        empty = replace(choice, cache=Path(folder))
        seconds = []
        for _ in range(2):
            began = monotonic()
            engines = made_ready(name, empty)
            seconds.append((monotonic() - began) / len(engines))
    return [
        _Measured(engine=engine, first_ready=seconds[0], ready=seconds[1]) for engine in engines
    ]


def _take_samples(measured: _Measured, seconds: float) -> None:
    engine = measured.engine
    measured.one.append(sample(engine, 1, seconds))
    if engine.appetite.threads > 1:
        measured.every.append(sample(engine, engine.appetite.threads, seconds))


def _figures(measured: _Measured, plan: Plan, tell: Tell) -> EngineFigures:
    engine = measured.engine
    tell(f"checking finds of {engine.name}")
    finds, wrong = checked_finds(engine, plan.finds)
    return EngineFigures(
        name=engine.name,
        first_ready_seconds=measured.first_ready,
        ready_seconds=measured.ready,
        first_hash_seconds=asyncio.run(first_hash_seconds(engine)),
        one=medians(measured.one),
        every=medians(measured.every) if measured.every else None,
        threads=engine.appetite.threads,
        change_seconds=change_seconds(engine),
        schedule_seconds=schedule_seconds(engine),
        finds=finds,
        wrong=wrong,
    )


def _task(found: Sequence[_Measured], missing: Mapping[str, str]) -> Task:
    """Return a task for programs, made by the engine that is named first: the fastest.

    Raise EngineUnavailableError when there is none.
    """
    if not found:
        raise EngineUnavailableError("; ".join(missing.values()))
    return Task(found[0].engine)


def _rival(path: Path, rate: float, engines: Sequence[EngineFigures]) -> RivalFigures:
    ratios = {
        one.name: one.one.per_cpu_second / rate for one in engines if one.name.startswith("llvm")
    }
    return RivalFigures(path=str(path), per_cpu_second=rate, ratios=ratios)
