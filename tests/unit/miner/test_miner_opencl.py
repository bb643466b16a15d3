"""The OpenCL kernel finds what the judge finds, on the processor by PoCL."""

from collections.abc import Sequence

import pytest

from miner.choice import Choice, made_ready, roster_of
from miner.engine import Hit, Slice
from miner.judge import ANY_HEAD, found, head_of, most_head
from miner.model import EngineUnavailableError, Target, Work
from miner.search import open_search

pyopencl = pytest.importorskip("pyopencl")

from miner.engines.opencl import engine as engines  # noqa: E402
from miner.engines.opencl.devices import devices  # noqa: E402

try:
    DEVICES = devices(processors=True)
except EngineUnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)

WORK = Work(
    index=194_614,
    entropy=bytes(range(32)),
    targets=tuple(Target(key=bytes([number]) * 32) for number in range(1, 8)),
)
#: Runs that begin anywhere, have odd lengths, and cross the boundary between a nonce's halves.
SLICES = [
    Slice(target=0, first=0, nonces=1, at_most=ANY_HEAD),
    Slice(target=3, first=2**32 - 100, nonces=333, at_most=most_head(1)),
    Slice(target=6, first=2**63 - 1, nonces=129, at_most=2**58 + 12345),
    Slice(target=1, first=0x0123456789ABCDEF, nonces=1_000, at_most=most_head(2)),
    Slice(target=2, first=5, nonces=700, at_most=0),
]


@pytest.fixture(scope="module")
def engine() -> engines.OpenClEngine:
    """The kernel on the processor, compared with the judge already."""
    made = engines.OpenClEngine(DEVICES[0], 0)
    made.warm()
    return made


def true_hits(slices: Sequence[Slice]) -> list[Hit]:
    """All hits by the judge."""
    return sorted(
        Hit(piece.target, nonce)
        for piece in slices
        for nonce in range(piece.first, piece.first + piece.nonces)
        if head_of(found(WORK, piece.target, nonce).digest) <= piece.at_most
    )


def scanner(engine: engines.OpenClEngine, *, tell_all: bool) -> engines.OpenClScanner:
    """A scanner of WORK."""
    assert engine._context is not None
    assert engine._program is not None
    return engines.OpenClScanner(engine, engine._context, engine._program, WORK, tell_all=tell_all)


def test_a_launch_finds_all_that_the_judge_finds_in_many_slices(
    engine: engines.OpenClEngine,
) -> None:
    running = scanner(engine, tell_all=True)
    scan = running.scan(SLICES)
    assert sorted(scan.hits) == true_hits(SLICES)
    assert scan.hashes == sum(piece.nonces for piece in SLICES)
    running.close()


def test_ten_thousand_finds_are_all_true_and_none_is_missing(
    engine: engines.OpenClEngine,
) -> None:
    slices = [
        Slice(target=at, first=2**32 - 12_000, nonces=24_000, at_most=most_head(1))
        for at in range(7)
    ]
    hits = scanner(engine, tell_all=True).scan(slices).hits
    assert len(hits) > 10_000
    assert sorted(hits) == true_hits(slices)


def test_of_each_slice_the_best_hit_is_told(engine: engines.OpenClEngine) -> None:
    slices = [Slice(target=at, first=77, nonces=3_000, at_most=most_head(1)) for at in (5, 2, 4)]
    hits = engine.scanner(WORK).scan(slices).hits
    best = {
        piece.target: min(
            true_hits([piece]), key=lambda hit: found(WORK, hit.target, hit.nonce).digest
        )
        for piece in slices
    }
    assert {hit.target: hit for hit in hits} == best


def test_more_hits_than_there_is_room_for_cost_the_rest_only(
    engine: engines.OpenClEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_ROOM", 10)
    piece = Slice(target=0, first=0, nonces=500, at_most=ANY_HEAD)
    hits = scanner(engine, tell_all=True).scan([piece]).hits
    assert len(hits) == 10
    assert set(hits) <= set(true_hits([piece]))


def test_a_stopped_scanner_launches_nothing(engine: engines.OpenClEngine) -> None:
    running = engine.scanner(WORK)
    running.stop()
    assert running.scan(SLICES) == (0, ())
    running.close()


async def test_a_search_uses_a_device_as_any_engine() -> None:
    roster = roster_of(Choice(engines=["opencl-cpu"]))
    work = Work(index=7, entropy=bytes(32), targets=WORK.targets, cap=2)
    told: list[str] = []
    async with open_search(work, roster, seconds=None, notice=told.append) as search:
        best = await search.finish()
    assert told == []
    assert all(find.zeros >= 2 for find in best.values())
    assert [name for name in search.rates() if name.startswith("opencl 0: ")]


def test_without_a_gpu_the_reason_is_told() -> None:
    try:
        found_gpus = made_ready("opencl", Choice())
    except EngineUnavailableError as error:
        assert "no GPU" in str(error)
    else:
        assert all(one.name.startswith("opencl") for one in found_gpus)
