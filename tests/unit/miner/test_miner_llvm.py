"""The native code finds what the judge finds: every nonce, no other, for every kind of vector."""

import threading
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.engine import Hit, Slice
from miner.engines import selfcheck
from miner.engines.llvm.cache import ObjectCache
from miner.engines.llvm.compiler import assembly
from miner.engines.llvm.cpu import Cpu, kinds, shape_for, this_cpu
from miner.engines.llvm.engine import LlvmEngine, LlvmScanner
from miner.engines.llvm.kernel import Shape
from miner.engines.python import PythonEngine
from miner.judge import ANY_HEAD, found, head_of, most_head
from miner.model import Target, Work

CPU = this_cpu()
WORK = Work(
    index=194_614,
    entropy=bytes(range(32)),
    targets=tuple(Target(key=bytes([number]) * 32) for number in range(1, 8)),
)


#: All kinds of code that run on this processor.
CPUS = [pytest.param(cpu, id=kind) for kind, cpu in kinds(CPU).items()]


@cache
def engine(cpu: Cpu, shape: Shape | None = None) -> LlvmEngine:
    """A warm engine; nothing is kept on disk."""
    made = LlvmEngine(1, ObjectCache(Path("/dev/null/nowhere")), cpu=cpu, shape=shape)
    made.warm()
    return made


def scanner(cpu: Cpu) -> LlvmScanner:
    """A scanner of WORK."""
    return engine(cpu).scanner(WORK)


def first_good(piece: Slice) -> Hit | None:
    """The first good nonce of a slice by the judge."""
    for nonce in range(piece.first, piece.first + piece.nonces):
        if head_of(found(WORK, piece.target, nonce).digest) <= piece.at_most:
            return Hit(piece.target, nonce)
    return None


#: Runs of nonces, among them some about the boundaries where their upper half changes.
FIRSTS = st.one_of(
    st.integers(0, 2**64 - 1000),
    st.builds(lambda half, off: half * 2**32 - off, st.integers(1, 2**32 - 1), st.integers(0, 300)),
)
SLICES = st.builds(
    Slice,
    target=st.integers(0, len(WORK.targets) - 1),
    first=FIRSTS,
    nonces=st.integers(1, 300),
    at_most=st.one_of(
        st.sampled_from([0, most_head(1), most_head(2), ANY_HEAD]), st.integers(0, ANY_HEAD)
    ),
)


@pytest.mark.parametrize("cpu", CPUS)
@settings(max_examples=60, deadline=None)
@given(slices=st.lists(SLICES, min_size=1, max_size=12))
def test_each_slice_ends_at_its_first_good_nonce(cpu: Cpu, slices: list[Slice]) -> None:
    true = [first_good(piece) for piece in slices]
    scan = scanner(cpu).scan(slices)
    assert scan.hits == [hit for hit in true if hit is not None]
    assert scan.hashes == sum(
        piece.nonces if hit is None else hit.nonce - piece.first + 1
        for piece, hit in zip(slices, true, strict=True)
    )


@pytest.mark.parametrize("cpu", CPUS)
def test_it_finds_all_that_the_other_engine_finds(cpu: Cpu) -> None:
    piece = Slice(target=3, first=2**32 - 10_000, nonces=20_000, at_most=most_head(1))
    native = selfcheck.all_hits(scanner(cpu), piece)
    assert native == selfcheck.all_hits(PythonEngine().scanner(WORK), piece)
    # One in sixteen of 20,000: 1,250, give or take five standard deviations of 34.
    assert abs(len(native) - 1250) < 175


@pytest.mark.parametrize(
    "shape",
    [
        Shape(lanes=1),
        Shape(lanes=2),
        Shape(lanes=16, rounds_per_turn=1),
        Shape(lanes=4, rounds_per_turn=11),
    ],
    ids=str,
)
def test_the_generator_takes_any_shape(shape: Shape) -> None:
    piece = Slice(target=0, first=2**40 - 77, nonces=5_000, at_most=most_head(1))
    native = selfcheck.all_hits(engine(CPU, shape).scanner(WORK), piece)
    assert native == selfcheck.all_hits(scanner(CPU), piece)


@pytest.mark.parametrize(
    ("cpu", "lanes", "instructions"),
    [
        ("x86_64-unknown-linux-gnu:skylake-avx512:+avx512f", 8, ["vprolq", "vpternlogq", "zmm"]),
        ("x86_64-unknown-linux-gnu:haswell:+avx2", 4, ["vpandn", "ymm"]),
        ("x86_64-unknown-linux-gnu:x86-64:+sse2", 2, ["pandn", "xmm"]),
        ("aarch64-unknown-linux-gnu:cortex-a72:+neon", 2, ["bic", "eor", ".16b"]),
        # Keccak's own instructions, as Apple's processors have them.
        ("arm64-apple-darwin:apple-m1:+neon,+sha3", 2, ["eor3", "rax1", "xar", "bcax"]),
    ],
)
def test_every_processors_best_instructions_are_used(
    cpu: str, lanes: int, instructions: list[str]
) -> None:
    triple, name, features = cpu.split(":")
    other = Cpu(triple=triple, name=name, features=features)
    shape = shape_for(other)
    assert shape.lanes == lanes
    code = assembly(other, shape)
    assert [one for one in instructions if one not in code] == []


def test_the_best_vectors_come_first_and_lesser_ones_do_without() -> None:
    best = Cpu(
        triple="x86_64-unknown-linux-gnu",
        name="znver4",
        features="+sse2,+avx,+avx2,+avx512f,+avx512vl,+vaes,+bmi2",
    )
    lesser = kinds(best)
    assert list(lesser) == ["AVX-512", "AVX2", "SSE2"]
    assert lesser["AVX-512"] == best
    assert lesser["AVX2"].features == "+sse2,+avx,+avx2,-avx512f,-avx512vl,+vaes,+bmi2"
    assert lesser["SSE2"].features == "+sse2,-avx,-avx2,-avx512f,-avx512vl,-vaes,+bmi2"
    assert [shape_for(cpu).lanes for cpu in lesser.values()] == [8, 4, 2]
    other = Cpu(triple="riscv64-unknown-linux-gnu", name="", features="")
    assert (list(kinds(other)), shape_for(other).lanes) == (["plain"], 2)


def test_more_slices_than_fit_into_one_call_are_all_scanned() -> None:
    slices = [
        Slice(target=number % 7, first=number, nonces=3, at_most=0) for number in range(10_000)
    ]
    assert scanner(CPU).scan(slices).hashes == 30_000


def test_stop_ends_a_scan_that_runs_and_later_ones() -> None:
    running = scanner(CPU)
    scanned: list[int] = []
    endless = Slice(target=0, first=0, nonces=2**62, at_most=0)
    thread = threading.Thread(target=lambda: scanned.append(running.scan([endless]).hashes))
    thread.start()
    running.stop()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert running.scan([endless]).hashes == 0


def test_a_hundred_thousand_finds_are_all_true() -> None:
    """Every find is one that the judge would have told, for farmers in turn."""
    running = scanner(CPU)
    count, first = 0, 0
    while count < 100_000:
        slices = [
            Slice(target=at % 7, first=first + 64 * at, nonces=64, at_most=most_head(1))
            for at in range(4_000)
        ]
        hits = running.scan(slices).hits
        wrong = [hit for hit in hits if head_of(found(WORK, *hit).digest) > most_head(1)]
        assert wrong == []
        count += len(hits)
        first += 64 * len(slices)
