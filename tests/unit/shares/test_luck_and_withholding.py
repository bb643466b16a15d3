"""Luck of a best nonce, and the test for nonces that are withheld."""

from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.shares.domain.luck import chance_below, luck_of
from pooler.shares.domain.withholding import FEWEST, SIGNIFICANCE, Tally, chance_of


def test_luck_is_the_part_of_those_who_have_worse() -> None:
    assert luck_of(3, 0) is None
    assert luck_of(-1, 100) == 0
    one = luck_of(0, 1)
    assert one is not None
    assert one == pytest.approx((15 / 16) / 2)
    # 16^6 hashes have 6 zeros on average; 4 are poor, 9 are great.
    lucks = [luck_of(zeros, 16**6) for zeros in (4, 6, 9)]
    assert lucks == pytest.approx([0.0, 0.65, 1.0], abs=0.02)


def test_no_hash_has_nothing_and_every_hash_has_no_zeros_or_more() -> None:
    assert [chance_below(zeros, 0) for zeros in (-1, 0, 1)] == [1.0, 1.0, 1.0]
    assert [chance_below(zeros, 1) for zeros in (-1, 0)] == [0.0, 0.0]
    assert chance_below(1, 1) == pytest.approx(15 / 16)


@given(st.integers(1, 10**12), st.integers(0, 14))
def test_more_zeros_are_more_luck_and_more_hashes_less(hashes: int, zeros: int) -> None:
    now, better, more = (
        luck_of(zeros, hashes),
        luck_of(zeros + 1, hashes),
        luck_of(zeros, hashes * 2),
    )
    assert now is not None
    assert better is not None
    assert more is not None
    assert 0 <= more <= now <= better <= 1


def test_luck_is_even_on_average() -> None:
    chance, hashes, total = Random(5), 10_000, 0.0
    for _ in range(2000):
        level = chance.random()
        best = next(zeros for zeros in range(17) if chance_below(zeros + 1, hashes) >= level)
        found = luck_of(best, hashes)
        assert found is not None
        total += found
    assert total / 2000 == pytest.approx(0.5, abs=0.02)


@given(st.integers(1, 400), st.integers(0, 400))
def test_the_chance_is_the_binomial_sum(shares: int, better: int) -> None:
    better = min(better, shares)
    exact = sum(comb(shares, k) * 15 ** (shares - k) for k in range(better + 1)) / 16**shares
    found = chance_of(better, shares)
    if better < shares / 16:
        assert found == pytest.approx(exact, rel=1e-6)
    else:
        assert found == 1.0


def sent(tally: Tally, chance: Random, shares: int, *, level: int, keeps: float) -> bool:
    """Send shares of a level; of those with more zeros a part is kept back. Tell what is found."""
    for _ in range(shares):
        zeros = level
        while chance.random() < 1 / 16:
            zeros += 1
        if zeros > level and chance.random() < keeps:
            continue
        tally.count(level=level, zeros=zeros)
        if any(True for _ in tally.suspicions()):
            return True
    return False


def test_an_honest_worker_is_not_suspected() -> None:
    found = [sent(Tally(), Random(seed), 5000, level=6, keeps=0.0) for seed in range(200)]
    assert not any(found)


def test_who_keeps_the_good_ones_is_found_soon() -> None:
    found = [sent(Tally(), Random(seed), 600, level=6, keeps=1.0) for seed in range(100)]
    assert all(found)


def test_who_keeps_half_of_the_good_ones_is_found_later() -> None:
    found = [sent(Tally(), Random(seed), 6000, level=6, keeps=0.5) for seed in range(60)]
    assert sum(found) >= 58


def test_a_level_below_the_target_says_nothing() -> None:
    tally = Tally()
    tally.count(level=5, zeros=7)
    counted = {zeros: (level.shares, level.better) for zeros, level in tally.levels.items()}
    assert counted == {5: (1, 1), 6: (1, 1), 7: (1, 0)}


def test_nothing_is_tested_before_there_is_enough_and_not_at_each_share() -> None:
    tally = Tally()
    for _ in range(FEWEST - 1):
        tally.count(level=3, zeros=3)
    assert list(tally.suspicions()) == []
    tally.count(level=3, zeros=3)
    # 200 shares without a better one happen to an honest worker 2.5 times in a million.
    assert list(tally.suspicions()) == []
    for _ in range(99):
        tally.count(level=3, zeros=3)
    assert list(tally.suspicions()) == []
    tally.count(level=3, zeros=3)
    (found,) = tally.suspicions()
    assert (found.zeros, found.shares, found.better) == (3, 300, 0)
    assert found.chance < SIGNIFICANCE
    assert str(found).startswith("of 300 shares with 3 zeros or more only 0 have 4: ")


def test_a_level_of_a_run_before_is_not_tested_again_at_once() -> None:
    tally = Tally()
    tally.restore(3, 300, 0)
    assert list(tally.suspicions()) == []
    assert tally.size == 300
    for _ in range(150):
        tally.count(level=3, zeros=3)
    assert len(list(tally.suspicions())) == 1
