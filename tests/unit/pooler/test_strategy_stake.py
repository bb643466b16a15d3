"""Stakes: never more than is allowed, and always enough left for the next block."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.reward import BlockStats, weights
from pooler.strategies import stake
from pooler.strategies.model import StakeFacts, StakeStrategy

KALE = 10_000_000

amounts = st.integers(0, 10**14)
facts_of_farmers = st.builds(
    StakeFacts,
    balance=amounts,
    locked=amounts,
    agreed=amounts,
    max_stake=st.none() | amounts,
)


@pytest.mark.parametrize("strategy", [stake.full, stake.agreed, stake.none])
@given(facts=facts_of_farmers)
def test_no_stake_is_more_than_the_farmer_has_and_agreed_to(
    strategy: StakeStrategy, facts: StakeFacts
) -> None:
    assert 0 <= strategy(facts) <= min(facts.balance, facts.agreed)


@given(facts_of_farmers)
def test_a_full_stake_is_never_more_than_weighs(facts: StakeFacts) -> None:
    if facts.max_stake:
        assert stake.full(facts) <= facts.max_stake


@given(
    total=st.integers(0, 10**13),
    blocks=st.lists(st.integers(1, 10**13), min_size=1, max_size=12),
)
def test_each_block_gets_half_of_what_there_is_as_far_as_it_weighs(
    total: int, blocks: list[int]
) -> None:
    """The stake of one block comes back before the block after the next one, whatever weighs."""
    locked = 0
    for max_stake in blocks:
        facts = StakeFacts(balance=total - locked, locked=locked, agreed=total, max_stake=max_stake)
        planted = stake.full(facts)
        fair = min(max_stake, total // 2)
        assert planted >= min(fair, total - locked)
        locked = planted


def test_what_is_locked_now_is_there_for_the_next_block() -> None:
    first = StakeFacts(balance=3_000 * KALE, locked=0, agreed=3_000 * KALE, max_stake=2_000 * KALE)
    second = replace(first, balance=1_500 * KALE, locked=1_500 * KALE)
    assert stake.full(first) == 1_500 * KALE
    assert stake.full(second) == 1_500 * KALE


def test_rich_farmers_stake_the_maximum_and_keep_the_rest() -> None:
    facts = StakeFacts(balance=9_000 * KALE, locked=0, agreed=9_000 * KALE, max_stake=1_000 * KALE)
    assert stake.full(facts) == 1_000 * KALE


def test_the_agreement_bounds_every_stake() -> None:
    facts = StakeFacts(balance=1_000 * KALE, locked=0, agreed=100 * KALE, max_stake=1_000 * KALE)
    assert stake.full(facts) == 100 * KALE
    assert stake.agreed(facts) == 100 * KALE
    assert stake.none(facts) == 0


@pytest.mark.parametrize("max_stake", [None, 0])
def test_where_nobody_staked_somebody_begins(max_stake: int | None) -> None:
    facts = StakeFacts(balance=1_000, locked=0, agreed=1_000, max_stake=max_stake)
    assert stake.full(facts) == 500


@given(facts_of_farmers)
def test_more_than_the_maximum_would_weigh_no_more(facts: StakeFacts) -> None:
    block = BlockStats(
        min_gap=1, max_gap=58, min_zeros=4, max_zeros=9, min_stake=0,
        max_stake=facts.max_stake or 1, staked_total=0, normalized_total=0,
    )  # fmt: skip
    at_most = weights(block, gap=1, stake=block.max_stake, zeros=4)
    above = weights(block, gap=1, stake=block.max_stake + facts.balance, zeros=4)
    assert above == at_most
