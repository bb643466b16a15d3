"""How many calls go together: never too many, never too large, and none is lost."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from services.wallet.chain.node.lists import FIRST_PAUSE, LAST_PAUSE, LONGEST, ListSize
from tests.support.clock import FakeClock

MANY = ["envelope"] * 60


def sizes(size: ListSize, texts: list[str] = MANY) -> list[int]:
    """Calls of each list in which they would go."""
    return [part.stop - part.start for part in size.parts(texts)]


def send(size: ListSize, takes: Callable[[int], bool]) -> list[int]:
    """Sends many to a node that takes such lists; the sizes of those that failed."""
    failed = []
    for calls in sizes(size):
        if takes(calls):
            size.answered(calls)
        else:
            size.failed(calls)
            failed.append(calls)
    return failed


def grown(clock: FakeClock) -> ListSize:
    """The size for a node that has taken everything so far."""
    size = ListSize(clock)
    while size.sure < LONGEST:
        send(size, lambda _: True)
    return size


@given(st.lists(st.integers(0, 300_000).map(lambda length: "a" * length), max_size=40))
def test_lists_are_the_same_envelopes_in_their_order(texts: list[str]) -> None:
    parts = list(grown(FakeClock()).parts(texts))
    assert [text for part in parts for text in texts[part]] == texts
    for part in parts:
        assert 1 <= part.stop - part.start <= LONGEST
        # A single one may be larger: then it is the node's to refuse.
        assert len(texts[part]) == 1 or sum(map(len, texts[part])) <= 256 * 1024


def test_one_longer_list_is_tried_at_a_time() -> None:
    size = ListSize(FakeClock())
    assert sizes(size) == [2] + [1] * 58
    send(size, lambda _: True)
    assert sizes(size) == [4] + [2] * 28
    for _ in range(3):
        send(size, lambda _: True)
    assert sizes(size) == [25, 16, 16, 3]
    send(size, lambda _: True)
    assert sizes(size) == [25, 25, 10]


@given(st.integers(1, 1000))
def test_what_a_node_takes_is_found_and_kept(longest: int) -> None:
    clock = FakeClock()
    size = ListSize(clock)
    failed = [calls for _ in range(20) for calls in send(size, lambda n: n <= longest)]
    assert len(failed) <= 2
    assert size.sure <= longest
    assert 2 * size.sure >= min(longest, LONGEST)
    # It is tried again, ever more rarely: one list each time.
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
        clock.seconds += pause + 1
        assert len([calls for _ in range(9) for calls in send(size, lambda n: n <= longest)]) <= 2


def test_a_node_that_never_answers_a_list_costs_one_now_and_then() -> None:
    """For instance one behind a gateway that answers each with 500."""
    clock = FakeClock()
    size = ListSize(clock)
    trials = 0
    for _ in range(24 * 60):
        clock.seconds += 60.0
        trials += len(send(size, lambda calls: calls == 1))
    assert 20 <= trials <= 24 * 3600 / LAST_PAUSE + 8


def test_after_an_outage_lists_grow_again() -> None:
    clock = FakeClock()
    size = grown(clock)
    # Four in flight fail at once: that is one failure, not four.
    for calls in (25, 25, 10, 1):
        size.failed(calls)
    assert size.sure == 5
    assert sizes(size) == [5] * 12
    clock.seconds += FIRST_PAUSE + 1
    for _ in range(3):
        send(size, lambda _: True)
    assert size.sure == LONGEST


def test_a_single_call_says_nothing_of_lists() -> None:
    size = grown(FakeClock())
    size.failed(1)
    assert size.sure == LONGEST


def test_a_failed_trial_costs_a_minute_and_then_twice_as_long_up_to_an_hour() -> None:
    clock = FakeClock()
    size = ListSize(clock)
    pauses: list[float] = []
    for _ in range(9):
        began = clock.seconds
        size.failed(2)
        while sizes(size)[0] == 1:
            clock.seconds += 30.0
        pauses.append(clock.seconds - began)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]


def test_a_failure_within_the_pause_does_not_lengthen_it() -> None:
    clock = FakeClock()
    size = ListSize(clock)
    size.failed(2)
    clock.seconds += 59.0
    size.failed(2)
    clock.seconds += 59.0
    assert sizes(size)[0] == 1
    clock.seconds += 1.0
    assert sizes(size)[0] == 2


def test_an_answer_from_before_a_failure_proves_no_more_than_what_is_tried_now() -> None:
    size = grown(FakeClock())
    size.failed(8)
    assert size.sure == 4
    size.answered(25)
    assert size.sure == 4
    size.answered(2)
    assert size.sure == 4


def test_a_list_is_no_larger_than_half_of_a_body() -> None:
    size = grown(FakeClock())
    half = "a" * (128 * 1024)
    assert sizes(size, [half, half, half]) == [2, 1]
    assert sizes(size, [half, half + "a", half]) == [1, 1, 1]
    assert sizes(size, [half * 3, half]) == [1, 1]
    assert sizes(size, []) == []
