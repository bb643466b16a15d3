"""The plan of a Plant call: stakes; what comes of the call."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import FarmerId, PoolerId, new_id
from services.plant.domain import errors
from services.plant.domain.model import Candidate, Planting, PlantSummary
from services.plant.domain.planning import plan
from tests.support.batch_events import event_values
from tests.support.reasons import reasons_of

candidates = st.lists(
    st.builds(
        Candidate,
        farmer_id=st.builds(lambda: FarmerId(new_id())),
        address=st.just("G"),
        balance=st.integers(0, 2**63 - 1),
        stake_bps=st.integers(0, 10_000),
    ),
    max_size=30,
)


@given(candidates)
def test_everyone_is_planned_once_in_order_with_its_floor(people: list[Candidate]) -> None:
    planned = plan(people, {})
    assert [one.farmer_id for one in planned] == [one.farmer_id for one in people]
    for one, candidate in zip(planned, people, strict=True):
        assert one.stake == candidate.balance * candidate.stake_bps // 10_000


@given(candidates, st.data())
def test_a_chosen_stake_counts_where_it_is_less_than_was_agreed(
    people: list[Candidate], data: st.DataObject
) -> None:
    chosen = data.draw(
        st.dictionaries(
            st.sampled_from([one.farmer_id for one in people] or [FarmerId(new_id())]),
            st.integers(0, 2**63 - 1),
        )
    )
    agreed = plan(people, {})
    for one, most in zip(plan(people, chosen), agreed, strict=True):
        assert one.stake == min(most.stake, chosen.get(one.farmer_id, most.stake))


def planting(status: str, stake: int) -> Planting:
    return Planting(**event_values(status), stake_amount=stake)


def test_a_summary_counts_who_is_planted_and_sums_up_their_stakes() -> None:
    summary = PlantSummary(
        block_index=7,
        pooler_id=PoolerId(new_id()),
        plantings=(planting("success", 5), planting("failed", 600), planting("success", 7)),
        processing_time_ms=1,
    )
    assert (summary.successful, summary.total_staked) == (2, 12)


#: What callers decide by.
REASONS = {
    errors.PoolerSuspendedError: "POOLER_SUSPENDED",
}


def test_reasons_of_errors_stay_as_callers_know_them() -> None:
    assert reasons_of(errors) == REASONS
