"""The plan of a Plant call: stakes."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import FarmerId, new_id
from services.plant.domain.model import Candidate
from services.plant.domain.planning import plan

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
    planned = plan(people)
    assert [one.farmer_id for one in planned] == [one.farmer_id for one in people]
    for one, candidate in zip(planned, people, strict=True):
        assert one.stake == candidate.balance * candidate.stake_bps // 10_000
