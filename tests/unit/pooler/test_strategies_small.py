"""Zeros, second works, grouped harvests, and the gate."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.reward import BlockStats, reward, weights
from pooler.strategies import harvests, profit, works, zeros
from pooler.strategies.model import EarlyFacts, GateFacts, HarvestFacts, ZerosFacts
from pooler.strategies.profit import Outlook, Prices

CLOSED = BlockStats(
    min_gap=1, max_gap=58, min_stake=0, max_stake=10**10, min_zeros=4, max_zeros=9,
    staked_total=0, normalized_total=0,
)  # fmt: skip

# Zeros and works --------------------------------------------------------------------------------


@given(st.integers(0, 64), st.integers(0, 64))
def test_a_young_chains_maximum_can_grow(low: int, high: int) -> None:
    assert zeros.cap(ZerosFacts(min_zeros=low, max_zeros=high)) >= 6


@given(st.integers(0, 64), st.integers(0, 64))
def test_more_zeros_than_the_cap_weigh_no_more(low: int, extra: int) -> None:
    high = min(64, low + extra)
    block = replace(CLOSED, min_zeros=low, max_zeros=high)
    stop = zeros.cap(ZerosFacts(min_zeros=low, max_zeros=high))
    assert weights(block, gap=1, stake=0, zeros=64) == weights(block, gap=1, stake=0, zeros=stop)


def test_endless_stops_for_no_hash() -> None:
    assert zeros.endless(ZerosFacts(min_zeros=0, max_zeros=3)) == 64


def test_a_second_work_begins_the_ledger_after_the_plant() -> None:
    """In the plant's own ledger the gap would be 0, which the contract refuses."""
    assert not works.second_work(EarlyFacts(ledger=10, planted=10, stake=0))
    assert works.second_work(EarlyFacts(ledger=11, planted=10, stake=0))
    assert not works.once(EarlyFacts(ledger=11, planted=10, stake=0))


# Harvests ---------------------------------------------------------------------------------------

WAITING = HarvestFacts(
    closed=(7, 8, 9), expires=(17_280, 17_340, 17_400), ledger=300, short=0, saved=4_000, group=12
)


def test_blocks_wait_until_the_group_is_full() -> None:
    assert harvests.grouped(WAITING) == ()
    assert harvests.grouped(replace(WAITING, group=3)) == (7, 8, 9)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(replace(WAITING, short=1), id="a plant lacks a stroop of its stake"),
        pytest.param(replace(WAITING, saved=0), id="together costs no less"),
        pytest.param(replace(WAITING, ledger=17_280 - 4_319), id="the oldest expires soon"),
    ],
)
def test_nothing_waits_when(facts: HarvestFacts) -> None:
    assert harvests.grouped(facts) == (7, 8, 9)


@given(
    blocks=st.lists(st.integers(0, 10**6), unique=True, max_size=30).map(sorted),
    ledger=st.integers(0, 10**6),
    short=st.integers(0, 10),
    group=st.integers(1, 40),
)
def test_a_harvest_is_of_closed_blocks_and_never_of_a_few_of_them(
    blocks: list[int], ledger: int, short: int, group: int
) -> None:
    facts = HarvestFacts(
        closed=tuple(blocks),
        expires=tuple(index + 17_280 for index in blocks),
        ledger=ledger,
        short=short,
        saved=1,
        group=group,
    )
    assert harvests.grouped(facts) in {(), facts.closed}
    assert harvests.each(facts) == facts.closed


@given(st.integers(0, 17_280), st.integers(2, 100))
def test_no_pail_waits_until_it_expires(ledger: int, group: int) -> None:
    facts = replace(WAITING, ledger=ledger, group=group)
    if not harvests.grouped(facts):
        assert min(facts.expires) - ledger >= harvests.EXPIRY_MARGIN


# The gate ---------------------------------------------------------------------------------------

PRICED = GateFacts(
    reward=10_000_000, fees=40_000, kale_price=Decimal("0.001"), xlm_price=Decimal("0.25")
)


def test_a_reward_worth_its_fees_is_farmed() -> None:
    assert profit.profitable(PRICED)
    assert not profit.profitable(replace(PRICED, reward=9_999_999))
    assert profit.always(replace(PRICED, reward=0))


def test_without_a_price_everybody_takes_part() -> None:
    assert profit.profitable(replace(PRICED, reward=0, kale_price=None))
    assert profit.profitable(replace(PRICED, reward=0, xlm_price=None))


shares = st.tuples(st.integers(0, 70), st.integers(0, 2 * 10**10), st.integers(0, 12))
#: A KALE is worth as much as an XLM.
EVEN = Prices(kale=Decimal(1), xlm=Decimal(1))


def closed_with(works: list[tuple[int, int, int]]) -> BlockStats:
    """The block after these works, each a gap, a stake and zeros."""
    return replace(CLOSED, normalized_total=profit.weight_in(CLOSED, works))


def outlook(work: tuple[int, int, int], fees: int) -> Outlook:
    gap, stake, number = work
    return Outlook(gap=gap, stake=stake, zeros=number, fees=fees)


@given(
    st.lists(shares, min_size=1, max_size=8),
    st.lists(shares, max_size=8),
    st.integers(0, 200_000),
    st.data(),
)
def test_what_is_expected_is_what_the_same_block_would_pay(
    mine: list[tuple[int, int, int]],
    others: list[tuple[int, int, int]],
    index: int,
    data: st.DataObject,
) -> None:
    """A farmer whose reward is a stroop less than its fees is the only one who sits out."""
    closed = closed_with([*mine, *others])
    paid = [
        reward(closed, index=index, gap=gap, stake=stake, zeros=number)
        for gap, stake, number in mine
    ]
    # The last one to be asked.
    least = max(range(len(mine)), key=lambda number: (-paid[number], number))
    extra = data.draw(st.integers(0, 1))
    fees = [0] * len(mine)
    fees[least] = paid[least] + extra
    taking_part = profit.who_takes_part(
        profit.profitable,
        closed,
        index=index,
        ours=profit.weight_in(closed, mine),
        outlooks=list(map(outlook, mine, fees)),
        prices=EVEN,
    )
    assert taking_part.count(False) == extra
    assert taking_part[least] is not bool(extra)


@given(st.lists(shares, min_size=1, max_size=12), st.integers(1, 10**11), st.booleans())
def test_nobody_takes_part_at_a_loss_and_nobody_misses_a_gain(
    mine: list[tuple[int, int, int]], fees: int, was_there: bool
) -> None:
    """Whoever was in the block before: those who take part earn their fees beside each other."""
    stranger = (58, 10**10, 9)
    closed = closed_with([stranger, *(mine if was_there else [])])
    ours = profit.weight_in(closed, mine) if was_there else 0
    taking_part = profit.who_takes_part(
        profit.profitable,
        closed,
        index=0,
        ours=ours,
        outlooks=[outlook(work, fees) for work in mine],
        prices=EVEN,
    )
    inside = [work for work, takes in zip(mine, taking_part, strict=True) if takes]
    outside = [work for work, takes in zip(mine, taking_part, strict=True) if not takes]
    block = closed_with([stranger, *inside])
    assert all(_paid(block, work) >= fees for work in inside)
    for work in outside:
        assert _paid(closed_with([stranger, *inside, work]), work) < fees


def _paid(block: BlockStats, work: tuple[int, int, int]) -> int:
    gap, stake, number = work
    return reward(block, index=0, gap=gap, stake=stake, zeros=number)
