"""Amounts, percentages and rewards hold their bounds for all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.amounts import (
    WHOLE,
    format_kale,
    format_percentage,
    parse_kale,
    parse_percentage,
    stake_amount,
)
from libs.kale.constants import MAX_I64
from libs.kale.hash import leading_zeros
from libs.kale.reward import BlockStats, block_reward, weights

parts = st.integers(0, WHOLE)


@given(st.integers(0, MAX_I64), parts)
def test_a_stake_is_the_floor_of_its_part(balance: int, bps: int) -> None:
    stake = stake_amount(balance, bps)
    assert stake * WHOLE <= balance * bps < (stake + 1) * WHOLE
    assert 0 <= stake <= balance


@given(parts)
def test_a_percentage_survives_its_text(bps: int) -> None:
    assert parse_percentage(format_percentage(bps)) == bps


@pytest.mark.parametrize("text", ["", "1.1", "1.0001", "-0.1", "0.12345", ".5", "0,5", "1e-1", "٠"])
def test_a_wrong_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        parse_percentage(text)


@given(st.integers(0, MAX_I64))
def test_an_amount_survives_its_text(stroops: int) -> None:
    assert parse_kale(format_kale(stroops)) == stroops


@given(st.integers(0, 4_100_000), st.integers(0, 100_000))
def test_rewards_never_rise(index: int, later: int) -> None:
    assert 0 <= block_reward(index + later) <= block_reward(index)


@given(st.binary(min_size=32, max_size=32))
def test_zeros_are_those_of_the_number(digest: bytes) -> None:
    number = int.from_bytes(digest, "big")
    assert leading_zeros(digest) == 64 - (number.bit_length() + 3) // 4


pairs = st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)).map(sorted)


shown = st.tuples(st.integers(0, 10**16), st.integers(0, 10**16), st.integers(0, 10**16))


@given(pairs, pairs, pairs, shown)
def test_a_weight_runs_from_one_to_the_widest_range(
    gaps: list[int], stakes: list[int], zeros: list[int], pail: tuple[int, int, int]
) -> None:
    block = BlockStats(
        min_gap=gaps[0],
        max_gap=gaps[1],
        min_stake=stakes[0],
        max_stake=stakes[1],
        min_zeros=zeros[0],
        max_zeros=zeros[1],
        staked_total=0,
        normalized_total=0,
    )
    widest = max(1, *(high - low for low, high in (gaps, stakes, zeros)))
    found = weights(block, gap=pail[0], stake=pail[1], zeros=pail[2])
    for weight in (found.gap, found.stake, found.zeros):
        assert 1 <= weight <= widest
