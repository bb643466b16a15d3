"""A reward is divided to the stroop: no fee is more than agreed, the odd one is the farmer's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.amounts import WHOLE
from libs.kale.fees import Split, Terms, by_largest_remainder, split

BPS = st.integers(0, WHOLE)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Terms whose fees together are a whole reward at most."""
    pooler = draw(BPS)
    return Terms(
        pooler_bps=pooler,
        operator_bps=draw(st.integers(0, WHOLE - pooler)),
        miners_bps=draw(BPS),
    )


@given(reward=st.integers(0, 2**63 - 1), agreed=terms())
def test_the_parts_are_the_reward_and_no_fee_is_more_than_agreed(
    reward: int, agreed: Terms
) -> None:
    parts = split(reward, agreed)
    fee = parts.pooler + parts.operator + parts.miners
    assert parts.farmer + fee == reward
    assert min(parts.farmer, parts.pooler, parts.operator, parts.miners) >= 0
    assert fee == reward * (agreed.pooler_bps + agreed.operator_bps) // WHOLE
    # Each is within a stroop of its exact part of the fee.
    whole = (agreed.pooler_bps + agreed.operator_bps) * WHOLE
    for part, weight in (
        (parts.pooler, agreed.pooler_bps * (WHOLE - agreed.miners_bps)),
        (parts.operator, agreed.operator_bps * WHOLE),
        (parts.miners, agreed.pooler_bps * agreed.miners_bps),
    ):
        assert abs(part * whole - fee * weight) < max(whole, 1)


@given(
    amount=st.integers(0, 2**63 - 1),
    weights=st.lists(st.integers(1, 10**8), min_size=1, max_size=9),
)
def test_the_largest_remainders_get_the_odd_stroops(amount: int, weights: list[int]) -> None:
    parts, whole = by_largest_remainder(amount, weights), sum(weights)
    assert sum(parts) == amount
    rests = [amount * weight % whole for weight in weights]
    raised = [part > amount * weight // whole for part, weight in zip(parts, weights, strict=True)]
    got = [rest for rest, more in zip(rests, raised, strict=True) if more]
    left = [rest for rest, more in zip(rests, raised, strict=True) if not more]
    assert not got or not left or min(got) >= max(left)


@pytest.mark.parametrize(
    ("reward", "agreed", "parts"),
    [
        # Without agreements everything is the farmer's.
        (7, (0, 0, 0), (7, 0, 0, 0)),
        # The odd stroop is the farmer's.
        (9, (1000, 0, 0), (9, 0, 0, 0)),
        (19, (1000, 0, 0), (18, 1, 0, 0)),
        # Of equal remainders the pooler's goes first, then the operator's.
        (10, (500, 500, 0), (9, 1, 0, 0)),
        (10, (1000, 0, 5000), (9, 1, 0, 0)),
        (30, (5000, 5000, 5000), (0, 8, 15, 7)),
        (3, (10000, 0, 10000), (0, 0, 0, 3)),
    ],
)
def test_examples(
    reward: int, agreed: tuple[int, int, int], parts: tuple[int, int, int, int]
) -> None:
    found = split(reward, Terms(pooler_bps=agreed[0], operator_bps=agreed[1], miners_bps=agreed[2]))
    farmer, pooler, operator, miners = parts
    assert found == Split(farmer=farmer, pooler=pooler, operator=operator, miners=miners)
