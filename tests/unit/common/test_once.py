"""What is told once, however often it is met."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.once import Once


@given(items=st.lists(st.integers(min_value=0, max_value=9)))
def test_each_item_is_first_once(items: list[int]) -> None:
    once = Once[int]()
    assert [item for item in items if once.is_first(item)] == list(dict.fromkeys(items))


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    once = Once[int](most=2)
    assert [once.is_first(item) for item in (1, 2, 2, 3)] == [True, True, False, True]
    # The third forgot the others.
    assert [once.is_first(item) for item in (3, 1)] == [False, True]
