"""`miner bench` and `miner engines`: what is measured, how it is told, and what is not believed."""

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from miner.bench.measure import change_seconds, checked_finds, medians, sample, schedule_seconds
from miner.bench.model import EngineFigures, Figures, RivalFigures, as_json
from miner.bench.rivals import Task
from miner.bench.run import Plan, measure
from miner.bench.table import show
from miner.choice import vectors
from miner.command import main
from miner.engine import Hit, Scan, Slice
from miner.engines.python import PythonEngine
from miner.model import EngineFailedError, EngineUnavailableError, Rates
from tests.support.engines import FakeEngine, breaker, idler

OTHER = Path(__file__).resolve().parents[2] / "support" / "other_miner.py"


def engine_figures(**changes: object) -> EngineFigures:
    """Figures of an engine on two threads."""
    figures = EngineFigures(
        name="llvm AVX2",
        first_ready_seconds=0.3,
        ready_seconds=0.04,
        first_hash_seconds=0.011,
        one=Rates(hashes=10_000_000, seconds=2.0, cpu_seconds=1.0),
        every=Rates(hashes=18_000_000, seconds=2.0, cpu_seconds=2.0),
        threads=2,
        change_seconds=2e-7,
        schedule_seconds=4e-7,
        finds=10_000,
        wrong=0,
    )
    return replace(figures, **changes)  # type: ignore[arg-type]


FIGURES = Figures(
    processors="2 processors, each a core of its own",
    model="A Processor",
    seconds=1.0,
    rounds=3,
    engines=[
        engine_figures(),
        engine_figures(
            name="opencl 0: a device with a long name",
            one=Rates(hashes=10**9, seconds=1.0),
            every=None,
            threads=1,
            change_seconds=None,
        ),
    ],
    missing={"opencl": "no GPU [driver]"},
    rivals=[RivalFigures(path="/a/miner", per_cpu_second=2.5e6, ratios={"llvm AVX2": 4.0})],
)


def test_all_engines_of_this_machine_are_measured() -> None:
    told: list[str] = []
    plan = Plan(engines=["llvm", "python"], threads=2, seconds=0.02, rounds=2, finds=50)
    figures = measure(plan, told.append)
    names = [one.name for one in figures.engines]
    assert names == [*(f"llvm {kind}" for kind in vectors()), "python"]
    for one in figures.engines:
        assert one.one.hashes > 0
        assert one.one.per_cpu_second > 0
        assert (one.finds >= 50, one.wrong) == (True, 0)
        assert one.first_hash_seconds > 0
        assert (one.every is None) == (one.name == "python")
    assert figures.missing == {}
    assert any(text.startswith("round 2 of 2") for text in told)


def test_what_this_machine_has_not_is_told_with_its_reason() -> None:
    figures = measure(
        Plan(engines=["programs", "python"], seconds=0.01, rounds=1, finds=1), lambda _text: None
    )
    assert figures.missing == {"programs": "programs: none is given"}
    assert [one.name for one in figures.engines] == ["python"]


def test_threads_are_added_up_and_medians_taken_of_each_quotient() -> None:
    both = sample(PythonEngine(), 2, 0.02)
    assert both.hashes > 0
    assert both.cpu_seconds > 0
    three = [
        Rates(hashes=10, seconds=1.0, cpu_seconds=10.0),
        Rates(hashes=20, seconds=1.0, cpu_seconds=1.0),
        Rates(hashes=90, seconds=1.0, cpu_seconds=30.0),
    ]
    middle = medians(three)
    assert middle.per_second == pytest.approx(20)
    assert middle.per_cpu_second == pytest.approx(3)


def test_the_time_of_a_thread_that_waits_for_a_device_is_none_of_its_hashes() -> None:
    engine = FakeEngine(idler)
    engine.appetite = replace(engine.appetite, is_own_thread=False)
    rates = sample(engine, 1, 0.01)
    assert rates.hashes > 0
    assert rates.cpu_seconds == 0


def test_what_an_engine_raises_in_a_thread_ends_the_sample() -> None:
    """No other thread waits for the one that has failed."""
    deeds = iter((idler, breaker))

    def second_breaks(slices: Sequence[Slice]) -> Scan:
        return next(deeds, idler)(slices)

    for deed in (breaker, second_breaks):
        engine = FakeEngine(deed, threads=2)
        with pytest.raises(RuntimeError, match="the device is gone"):
            sample(engine, 2, 0.01)
        assert engine.opened == 0


def test_small_costs_are_those_of_one_farmer() -> None:
    assert change_seconds(FakeEngine(idler)) is not None
    assert schedule_seconds(FakeEngine(idler)) > 0
    coarse = FakeEngine(idler)
    coarse.appetite = replace(coarse.appetite, least=10_000)
    assert change_seconds(coarse) is None


def test_wrong_finds_are_counted() -> None:
    def half_right(slices: Sequence[Slice]) -> Scan:
        hits = [Hit(piece.target, piece.first) for piece in slices]
        return Scan(len(hits), hits)

    finds, wrong = checked_finds(FakeEngine(half_right), 2_000)
    assert finds == 2_000
    # One in sixteen is good by chance: 125 of 2,000, give or take five standard deviations.
    assert abs(finds - wrong - 125) < 55


def test_scaling_is_by_processor_time_and_by_the_clock() -> None:
    figures = engine_figures()
    assert figures.cpu_scaling == pytest.approx(0.9)
    assert figures.scaling == pytest.approx(0.9)
    alone = engine_figures(every=None)
    assert (alone.cpu_scaling, alone.scaling) == (None, None)


def test_people_get_tables() -> None:
    output = io.StringIO()
    show(FIGURES, Console(file=output, width=80))
    text = output.getvalue()
    lines = [line.split() for line in text.splitlines()]
    assert ["llvm", "AVX2", "10.00", "5.00", "9.00", "9.00", "90.0%", "90.0%"] in lines
    assert ["miner", "2.50", "4.00"] in lines
    assert "0.20 µs" in text
    assert "opencl is not here: no GPU [driver]" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_programs_get_json() -> None:
    told = json.loads(json.dumps(as_json(FIGURES)))
    first, second = told["engines"]
    assert first["one"]["per_cpu_second"] == 10e6
    assert first["cpu_scaling"] == pytest.approx(0.9)
    assert (second["every"], second["scaling"]) == (None, None)
    assert told["rivals"][0]["ratios"] == {"llvm AVX2": 4.0}


# Other programs -------------------------------------------------------------------------------


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task of 2,000 hashes, for a program that is as slow as Python."""
    monkeypatch.setattr("miner.bench.rivals._NONCES", 2_000)
    monkeypatch.setattr("miner.bench.rivals._ZEROS", 2)
    return Task(PythonEngine())


def program(folder: Path, deed: str) -> Path:
    """An executable that is called as kale-miner is."""
    path = folder / "miner"
    path.write_text(
        f'#!/bin/sh\nindex=$1; shift\nexec {sys.executable} {OTHER} zeros "$index" "$1" "$2" "$3" '
        f'"$4" --deed {deed}\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def test_a_program_is_measured_by_a_task_of_known_length(tmp_path: Path, task: Task) -> None:
    rate = task.per_cpu_second(program(tmp_path, "work"))
    # 2,001 hashes, by a process that takes from a millisecond to a minute.
    assert 2_001 / 60 < rate < 2_001 / 0.001


def test_without_an_engine_there_is_no_task_for_programs(tmp_path: Path) -> None:
    plan = Plan(engines=["programs"], rivals=[program(tmp_path, "work")])
    with pytest.raises(EngineUnavailableError, match="programs: none is given"):
        measure(plan, lambda _text: None)


def test_a_program_that_does_something_else_is_not_measured(tmp_path: Path, task: Task) -> None:
    with pytest.raises(EngineFailedError, match="did not find the nonce"):
        task.per_cpu_second(program(tmp_path, "lie"))
    with pytest.raises(EngineFailedError, match="No such file"):
        task.per_cpu_second(tmp_path / "nowhere")


# The command ----------------------------------------------------------------------------------


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The command in this process."""
    monkeypatch.setattr(sys, "argv", ["miner", *arguments])
    try:
        return main()
    except SystemExit as ended:
        return int(ended.code or 0)


def test_the_command_measures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--engines", "python", "--seconds", "0.01", "--rounds", "1"]
    assert run(["bench", "--json", *options], monkeypatch) == 0
    output = capsys.readouterr()
    (engine,) = json.loads(output.out)["engines"]
    assert (engine["name"], engine["wrong"]) == ("python", 0)
    assert engine["finds"] >= 10_000
    assert "miner: round 1 of 1: python" in output.err
    assert run(["bench", *options], monkeypatch) == 0
    assert "Millions of hashes" in capsys.readouterr().out


def test_the_command_lists_the_engines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run(["engines", "--json"], monkeypatch) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["engines"]}
    assert listed["python"]["devices"] == ["python"]
    assert listed["programs"]["problem"] == "programs: none is given"
    assert listed["llvm"]["is_default"]
    assert run(["engines"], monkeypatch) == 0
    assert "when asked for" in capsys.readouterr().out


def test_the_command_says_in_one_line_what_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--engines", "python", "--seconds", "0.01", "--rounds", "1"]
    assert run(["bench", *options, "--kale-miner", "/nowhere"], monkeypatch) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("miner: /nowhere: ")
    assert run(["bench", "--engines", "magic"], monkeypatch) == 2
    assert capsys.readouterr().err.startswith("miner: engines: there is no magic; there are llvm")
