"""What is told once, however often it is met, and what counts once."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.once import Once, Spent


@given(items=st.lists(st.integers(min_value=0, max_value=9)))
def test_each_item_is_first_once(items: list[int]) -> None:
    once = Once[int]()
    assert [item for item in items if once.is_first(item)] == list(dict.fromkeys(items))


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    once = Once[int](most=2)
    assert [once.is_first(item) for item in (1, 2, 2, 3)] == [True, True, False, True]
    # The third forgot the others.
    assert [once.is_first(item) for item in (3, 1)] == [False, True]


def test_what_was_used_up_stays_so_while_there_is_room() -> None:
    spent = Spent[int](most=3)
    assert 1 not in spent
    for item in (1, 2, 2, 3):
        spent.add(item)
    assert all(item in spent for item in (1, 2, 3))
    spent.add(4)
    # The oldest one makes room, and no other.
    assert [item in spent for item in (1, 2, 3, 4, None)] == [False, True, True, True, False]
