"""Rates with their errors: windows, and whether the errors are right (simulated, seeded)."""

from dataclasses import dataclass
from math import exp, log
from random import Random

import pytest

from pooler.shares.domain.difficulty import first
from pooler.shares.domain.rates import WINDOWS, Meter
from tests.support.share_simulation import BOUNDS, shares_of


def test_a_rate_is_points_by_the_seconds_of_whole_slots() -> None:
    meter = Meter(0.0)
    for second in range(10, 1000, 10):
        meter.add(float(second), 100)
    rate = meter.rates(1000.0, 100)["5m"]
    # The slots of 15 s from 705 s on.
    assert rate.seconds == 295
    assert rate.shares == 29
    assert rate.rate == pytest.approx(2900 / 295)
    assert rate.error == pytest.approx((33 * 100**2) ** 0.5 / 295)


def test_a_worker_that_has_just_begun_is_measured_from_its_beginning() -> None:
    meter = Meter(100.0)
    meter.add(110.0, 500)
    rates = meter.rates(120.0, 500)
    assert {name: rate.seconds for name, rate in rates.items()} == dict.fromkeys(WINDOWS, 20.0)
    assert Meter(100.0).rates(100.0, 1) == {}


def test_no_share_is_a_rate_of_nothing_give_or_take_its_difficulty() -> None:
    rate = Meter(0.0).rates(50.0, 1000)["1h"]
    assert (rate.rate, rate.shares) == (0, 0)
    assert rate.error == pytest.approx(2 * 1000 / 50)


def test_what_is_over_is_forgotten() -> None:
    meter = Meter(0.0)
    meter.add(10.0, 100)
    assert meter.rates(86_300.0, 100)["24h"].shares == 1
    assert meter.rates(90_100.0, 100)["24h"].shares == 0
    assert meter.rates(1000.0, 100)["5m"].rate == 0


def test_a_run_before_is_taken_up() -> None:
    fresh, restored = Meter(0.0), Meter(0.0)
    for second in (31.0, 32.0, 33.0):
        fresh.add(second, 200)
    restored.restore(30.0, 600, 3 * 200.0**2, 3)
    assert fresh.rates(100.0, 200) == restored.rates(100.0, 200)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A worker of which the true rate is known."""

    rate: float
    meter: Meter
    difficulty: int
    #: Points, and their variance, of all that it did.
    points: int
    squares: float


def simulated(seed: int, seconds: float) -> Simulated:
    """Let a worker of a random rate, from 100 kH/s to 4 GH/s, work for some seconds."""
    chance = Random(seed)
    rate = exp(chance.uniform(log(1e5), log(4e9)))
    hint = None if seed % 2 else rate * chance.uniform(0.3, 3)
    meter, total, squares, last = Meter(0.0), 0, 0.0, 0
    for now, points in shares_of(chance, rate, seconds, first(hint, 0.0, BOUNDS)):
        meter.add(now, points)
        total, squares, last = total + points, squares + float(points) ** 2, points
    return Simulated(rate=rate, meter=meter, difficulty=last, points=total, squares=squares)


@pytest.mark.parametrize(
    ("window", "seconds", "workers"),
    [("5m", 1500.0, 1500), ("1h", 4500.0, 600), ("24h", 87_000.0, 40)],
)
def test_stated_errors_are_right(window: str, seconds: float, workers: int) -> None:
    """Within three of them 99 % of all workers, within one 60 to 75 %; and credit is true."""
    within_one = within_three = 0
    for seed in range(workers):
        one = simulated(seed, seconds)
        rate = one.meter.rates(seconds, one.difficulty)[window]
        off = abs(rate.rate - one.rate) / rate.error
        within_one += off <= 1
        within_three += off <= 3
        # All hashes since the beginning against all points.
        assert abs(one.points - one.rate * seconds) <= 6 * one.squares**0.5, seed
    assert within_three >= 0.99 * workers
    if workers >= 500:
        assert 0.60 * workers <= within_one <= 0.75 * workers


def test_credit_is_true_for_everybody_together() -> None:
    """Credit by hashes done is 1 on average, give or take three standard errors."""
    workers, total, variance = 1000, 0.0, 0.0
    for seed in range(workers):
        one = simulated(10_000 + seed, 1800.0)
        hashes = one.rate * 1800
        total += one.points / hashes
        variance += one.squares / hashes**2
    assert abs(total - workers) <= 3 * variance**0.5
    # The error is small enough to tell a credit that is off by a percent.
    assert variance**0.5 < 0.01 * workers


def test_a_rate_is_told_from_the_first_moment_on() -> None:
    meter = Meter(0.0)
    assert meter.rates(0.0, 16) == {}
    meter.add(0.25, 16)
    found = meter.rates(0.5, 16)["5m"]
    assert (found.rate, found.seconds, found.shares) == (32.0, 0.5, 1)
