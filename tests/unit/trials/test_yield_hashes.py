"""The zeros that hashes find: as mined hash by hash, and as published for whole pools."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from trials.yields.hashes import (
    Sharing,
    best_of,
    equal_turns,
    fewest_first,
    more_zeros,
    one_after_another,
)

ALL = 64


def test_one_hash_in_sixteen_has_a_zero_more() -> None:
    draw = Random(1)
    found = Counter(more_zeros(draw) for _ in range(160_000))
    for zeros in range(3):
        expected = 160_000 * 15 / 16 ** (zeros + 1)
        assert abs(found[zeros] - expected) < 5 * expected**0.5


def test_the_best_of_many_hashes_is_that_of_trying_them() -> None:
    draw = Random(2)
    tried = [max(more_zeros(draw) for _ in range(50)) for _ in range(4_000)]
    drawn = [best_of(draw, 50) for _ in range(4_000)]
    assert abs(sum(tried) - sum(drawn)) / 4_000 < 0.06
    assert min(drawn) >= 0


@pytest.mark.parametrize(
    ("sharing", "rate", "farmers", "cap", "mean"),
    [
        (equal_turns, 12e6, 25, ALL, 6.43),
        (fewest_first, 12e6, 25, ALL, 6.55),
        (equal_turns, 99e6, 1_000, ALL, 5.90),
        (fewest_first, 99e6, 1_000, ALL, 6.11),
        (equal_turns, 1.9e9, 1_000, ALL, 6.97),
        (fewest_first, 1.9e9, 1_000, ALL, 7.13),
        (equal_turns, 1.9e9, 1_000, 7, 6.85),
        (fewest_first, 1.9e9, 1_000, 7, 7.00),
    ],
)
def test_mean_zeros_are_those_of_the_exact_simulation(
    sharing: Sharing, rate: float, farmers: int, cap: int, mean: float
) -> None:
    """Over 270 s, with zeros above the cap counted as the cap."""
    draw = Random(3)
    blocks = 60_000 // farmers // 6
    found = [
        min(zeros, cap) for _ in range(blocks) for zeros in sharing(draw, rate * 270, farmers, cap)
    ]
    assert sum(found) / len(found) == pytest.approx(mean, abs=0.04)


def _mined_one_by_one(draw: Random, hashes: int, farmers: int, cap: int) -> list[int]:
    """Fewest zeros first, as a miner does it."""
    best = [more_zeros(draw) for _ in range(farmers)]
    for _ in range(hashes - farmers):
        farmer = min(range(farmers), key=best.__getitem__)
        if best[farmer] >= cap:
            break
        best[farmer] = max(best[farmer], more_zeros(draw))
    return best


@pytest.mark.parametrize(("hashes", "cap"), [(1_000, ALL), (4_000, ALL), (4_000, 2)])
def test_drawing_is_mining(hashes: int, cap: int) -> None:
    draw = Random(4)

    def mean(mined: Callable[[], list[int]], blocks: int) -> float:
        return sum(sum(mined()) for _ in range(blocks)) / blocks / 10

    by_hash = mean(lambda: _mined_one_by_one(draw, hashes, 10, cap), 60)
    drawn = mean(lambda: fewest_first(draw, hashes, 10, cap), 600)
    assert drawn == pytest.approx(by_hash, abs=0.12)


def test_homestead_leaves_those_behind_whom_it_does_not_reach() -> None:
    found = one_after_another(Random(5), 3 * 16**6, 20, 6)
    reached = sum(zeros >= 6 for zeros in found)
    assert 0 < reached < 10
    assert len(found) == 20


@pytest.mark.parametrize("sharing", [equal_turns, fewest_first, one_after_another])
def test_every_farmer_has_a_nonce_however_few_hashes_there_are(sharing: Sharing) -> None:
    assert len(sharing(Random(6), 0.0, 30, 5)) == 30
