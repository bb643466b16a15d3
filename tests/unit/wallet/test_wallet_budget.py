"""Fee budgets: never exceeded by a stroop, and plants leave what works and harvests need."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import PoolerId
from services.wallet.domain.budget import SPONSORED, Books, FeeTerms, Purse, shared_costs

A, B = PoolerId(UUID(int=1)), PoolerId(UUID(int=2))
RICH = 10**15

poolers = st.sampled_from([A, B, None])
envelopes = st.lists(
    st.tuples(st.integers(1, 500), st.lists(poolers, max_size=4), st.booleans()), max_size=30
)


def books(
    committed: dict[PoolerId | None, int] | None = None,
    obligations: dict[PoolerId | None, int] | None = None,
    treasury: int = RICH,
) -> Books:
    return Books(committed=committed or {}, obligations=obligations or {}, treasury=treasury)


@given(envelopes, st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 50))
def test_no_budget_is_ever_exceeded(
    made: list[tuple[int, list[PoolerId | None], bool]], daily: int, each: int, reserve: int
) -> None:
    terms = FeeTerms(daily=daily, daily_per_pooler=each, reserve=reserve)
    purse, spent, by_pooler = Purse(terms, books()), 0, {A: 0, B: 0}
    for bid, owners, plants in made:
        if not purse.exceeded(shared_costs(bid, owners), plants=owners if plants else []):
            spent += bid
            for owner in owners:
                if owner is not None:
                    by_pooler[owner] += bid // len(owners)
    assert spent <= daily
    assert max(by_pooler.values()) <= each


@given(st.integers(1, 10**6), st.lists(poolers, max_size=9))
def test_shares_are_never_less_than_the_bid(bid: int, owners: list[PoolerId | None]) -> None:
    costs = shared_costs(bid, owners)
    assert bid <= sum(costs.values()) < bid + max(1, len(owners))


@given(st.integers(1, 200), st.integers(1, 100))
def test_whatever_was_planted_can_be_worked_and_harvested(daily: int, cost: int) -> None:
    """As long as a work or harvest bids no more than its reserve."""
    purse = Purse(FeeTerms(daily=daily * 100, reserve=cost), books())
    planted = 0
    while planted < 1000 and not purse.exceeded({A: cost}, plants=[A]):
        planted += 1
    assert not any(purse.exceeded({A: cost}) for _ in range(2 * max(0, planted - 1)))


@pytest.mark.parametrize(
    ("found", "plants", "allowed"),
    [
        (books({A: 900}), False, True),
        (books({A: 901}), False, False),
        (books({A: 880}, {A: 2}), True, True),
        (books({A: 881}, {A: 2}), True, False),
        (books({A: 881}, {A: 2}), False, True),
        # Somebody else's money is nobody's budget.
        (books({B: 5000}, {B: 500}), True, True),
    ],
)
def test_a_poolers_plants_leave_its_own_reserve(found: Books, plants: bool, allowed: bool) -> None:
    purse = Purse(FeeTerms(daily_per_pooler=1000, reserve=10), found)
    assert (not purse.exceeded({A: 100}, plants=[A] if plants else [])) is allowed


@pytest.mark.parametrize(
    ("treasury", "plants", "allowed"),
    [(150, True, True), (149, True, False), (0, False, True)],
)
def test_a_poor_treasury_stops_plants_alone(treasury: int, plants: bool, allowed: bool) -> None:
    found = books(obligations={A: 5}, treasury=treasury)
    purse = Purse(FeeTerms(reserve=10), found)
    assert (not purse.exceeded({A: 100}, plants=[A] if plants else [])) is allowed


def test_what_was_signed_is_not_in_the_treasury_any_more() -> None:
    purse = Purse(FeeTerms(), books(treasury=150))
    assert not purse.exceeded({A: 100}, plants=[A])
    assert purse.exceeded({A: 51}, plants=[A]) == {A}
    assert not purse.exceeded({A: 50}, plants=[A])


def test_the_pools_own_transactions_are_nobodys_share() -> None:
    purse = Purse(FeeTerms(daily_per_pooler=10), books())
    assert not purse.exceeded({None: 50})
    assert purse.exceeded({A: 11, None: 50}) == {A}


def test_nothing_is_limited_or_kept_back_that_the_operator_does_not_name() -> None:
    terms = FeeTerms()
    assert not terms.has_caps
    assert FeeTerms(daily=1).has_caps
    assert FeeTerms(daily_per_pooler=1).has_caps
    assert (terms.reserve, terms.rent_daily) == (0, 0)


def test_each_plant_of_a_pack_keeps_its_reserve() -> None:
    purse = Purse(FeeTerms(daily=1000, reserve=10), books())
    assert not purse.exceeded({A: 100, B: 50}, plants=[A, A, B])
    # 150 are bid; 60 are kept for two works and harvests of A's, one of B's.
    assert purse.exceeded({B: 791}, plants=[B]) == {B}
    assert not purse.exceeded({B: 790}, plants=[B])


def test_one_poolers_budget_says_nothing_of_anothers() -> None:
    purse = Purse(FeeTerms(daily_per_pooler=100), books(committed={A: 95}))
    assert purse.exceeded({A: 6, B: 60}) == {A}
    assert not purse.exceeded({B: 60})
    assert purse.exceeded({A: 6, B: 41}) == {A, B}
    assert not purse.exceeded({A: 5, B: 40})


def test_the_pools_own_budget_stops_everybody_in_the_envelope() -> None:
    purse = Purse(FeeTerms(daily=100), books())
    assert purse.exceeded({A: 60, B: 60}) == {A, B}


def test_a_farmer_is_sponsored_with_three_reserves_of_half_an_xlm() -> None:
    assert SPONSORED == 15_000_000
