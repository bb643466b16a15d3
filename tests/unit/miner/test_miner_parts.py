"""The small parts: heads and zeros, the judge, the pace, what a work may be."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.hash import leading_zeros, work_hash
from miner.engine import Appetite, Hit, Scan, Slice
from miner.engines import selfcheck
from miner.engines.python import PythonEngine
from miner.judge import ANY_HEAD, found, head_of, judge, most_head
from miner.model import Rates, Target, Work, WrongFindError
from miner.pace import Pace
from miner.processors import cores, describe, processors

WORK = Work(index=7, entropy=bytes(32), targets=(Target(key=bytes([1]) * 32),))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 20))
def test_a_head_tells_zeros_up_to_sixteen(digest: bytes, zeros: int) -> None:
    digest = bytes(zeros // 2) + digest[zeros // 2 :]
    told = head_of(digest) <= most_head(zeros)
    assert told == (leading_zeros(digest) >= min(zeros, 16))


def test_the_bounds_of_heads() -> None:
    assert [most_head(zeros) for zeros in (0, 1, 15, 16, 64)] == [ANY_HEAD, 2**60 - 1, 15, 0, 0]


def test_the_judge_hashes_by_the_contracts_rule() -> None:
    find = found(WORK, 0, 123)
    assert find.digest == work_hash(
        index=7, nonce=123, entropy=bytes(32), farmer_key=WORK.targets[0].key
    )
    assert find.zeros == leading_zeros(find.digest)


def test_the_judge_refuses_what_is_not_as_told() -> None:
    head = head_of(found(WORK, 0, 5).digest)
    exact = Slice(target=0, first=0, nonces=10, at_most=head)
    assert judge(WORK, exact, Hit(0, 5)).nonce == 5
    with pytest.raises(WrongFindError, match="hashes to"):
        judge(WORK, exact._replace(at_most=head - 1), Hit(0, 5))
    with pytest.raises(WrongFindError, match="not asked for"):
        judge(WORK, None, Hit(0, 5))


def test_the_python_engine_is_as_the_judge_says() -> None:
    selfcheck.check(PythonEngine().scanner(selfcheck.PIECE))


def test_the_python_engine_stops_within_a_row() -> None:
    scanner = PythonEngine().scanner(WORK)
    scanner.stop()
    assert scanner.scan([Slice(target=0, first=0, nonces=10**9, at_most=0)]).hashes == 0


def test_the_check_finds_a_miss_and_an_excess() -> None:
    true = PythonEngine().scanner(selfcheck.PIECE)

    class Misses:
        """Every fourth hit is passed over."""

        def scan(self, slices: Sequence[Slice]) -> Scan:
            scan = true.scan(slices)
            return scan._replace(hits=[hit for hit in scan.hits if hit.nonce % 4])

        def stop(self) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(WrongFindError, match="are good"):
        selfcheck.check(Misses())


APPETITE = Appetite(threads=1, hashes=1_000, seconds=0.02, least=16)


def test_the_pace_comes_to_the_wished_time_within_few_scans() -> None:
    pace = Pace(APPETITE)
    for _ in range(10):
        pace.took(pace.hashes, pace.hashes / 5e6)
    assert pace.hashes == 100_000


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 100)), max_size=30))
def test_the_pace_never_falls_below_the_least(scans: list[tuple[int, float]]) -> None:
    pace = Pace(APPETITE)
    for hashes, seconds in scans:
        before = pace.hashes
        pace.took(hashes, seconds)
        assert 16 <= pace.hashes <= 4 * max(before, 16)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("index", {"index": 2**32}),
        ("entropy", {"entropy": bytes(31)}),
        ("cap", {"cap": 65}),
    ],
)
def test_a_work_names_what_is_wrong(field: str, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{field} must"):
        Work(**{"index": 1, "entropy": bytes(32), "targets": (), **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "values"), [("key", {"key": b"short"}), ("zeros", {"zeros": -2})]
)
def test_a_target_names_what_is_wrong(field: str, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{field} must"):
        Target(**{"key": bytes(32), **values})  # type: ignore[arg-type]


def test_rates_without_time_are_none() -> None:
    assert (Rates().per_second, Rates().per_cpu_second) == (0.0, 0.0)
    rates = Rates(hashes=10, seconds=2.0, cpu_seconds=4.0)
    assert (rates.per_second, rates.per_cpu_second) == (5.0, 2.5)


def test_processors_are_counted_and_told_apart_from_cores() -> None:
    assert processors() >= 1
    own = cores()
    assert own is None or 1 <= own <= processors()
    assert str(processors()) in describe()
