"""Limits: the bucket as arithmetic, rates per caller and method, and what is in progress."""

import math
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from libs.common.config import ServiceSettings, parse_rate_limits
from libs.common.errors import ResourceExhaustedError, UnavailableError
from libs.common.grpc import limits
from libs.common.grpc.bucket import PERIOD, Bucket
from libs.common.grpc.identity import host_of_peer, is_service, is_sharer
from libs.common.grpc.limits import Admission, RateLimit, Rates

METHOD = "/kalepool.plant.v1.PlantService/Plant"
RATES = st.integers(1, 2000)
#: Seconds between two calls.
STEPS = st.lists(st.floats(0, 120), max_size=300)


@given(RATES, STEPS)
def test_no_stretch_of_time_lets_more_through_than_a_bucket_and_its_refill(
    per_minute: int, steps: list[float]
) -> None:
    bucket, now, taken = Bucket(), 1000.0, list[float]()
    for step in steps:
        now += step
        if not bucket.take(per_minute, now):
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            seconds = taken[last] - start
            allowed = per_minute + per_minute * seconds / PERIOD
            assert last - first + 1 <= math.floor(allowed + 0.01) + 1e-9


@given(RATES, STEPS)
def test_whoever_waits_as_told_is_let_in_and_not_before(
    per_minute: int, steps: list[float]
) -> None:
    bucket, now = Bucket(), 0.0
    for step in steps:
        now += step / per_minute
        wait = bucket.take(per_minute, now)
        if wait:
            assert wait <= PERIOD / per_minute * 1.001
            early = wait - PERIOD / per_minute * 0.01  # ten times what counts as rounding
            assert early <= 0 or bucket.take(per_minute, now + early) > 0
            now += wait
            assert bucket.take(per_minute, now) == 0


@given(RATES)
def test_a_full_bucket_has_all_its_tokens_and_is_full_again_after_a_minute(per_minute: int) -> None:
    bucket = Bucket()
    assert [bucket.take(per_minute, 5.0) for _ in range(per_minute)] == [0.0] * per_minute
    assert bucket.take(per_minute, 5.0) > 0
    assert not bucket.is_full(5.0 + PERIOD * 0.99)
    assert bucket.is_full(5.0 + PERIOD * 1.01)


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def calls_until_refused(limit: RateLimit, identity: str, method: str, most: int = 50) -> int:
    """Calls that pass at once."""
    for number in range(most):
        try:
            limit.check(identity=identity, method=method)
        except ResourceExhaustedError:
            return number
    return most


def test_each_caller_and_method_has_its_own_bucket() -> None:
    clock = Clock()
    limit = RateLimit(Rates(default=3), clock=clock)
    assert calls_until_refused(limit, "one", METHOD) == 3
    assert calls_until_refused(limit, "two", METHOD) == 3
    assert calls_until_refused(limit, "one", METHOD + "s") == 3
    clock.now += 20
    assert calls_until_refused(limit, "one", METHOD) == 1


def test_a_refusal_says_what_the_limit_is_and_when_to_come_back() -> None:
    limit = RateLimit(Rates(default=2), clock=Clock())
    assert calls_until_refused(limit, "one", METHOD) == 2
    with pytest.raises(ResourceExhaustedError) as caught:
        limit.check(identity="one", method=METHOD)
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.metadata == {"limit_per_minute": "2"}
    assert caught.value.retry_after == pytest.approx(30)


@pytest.mark.parametrize(
    ("method", "identity", "expected"),
    [
        ("/a.B/Free", "10.0.0.1", 7),
        ("/a.B/Short", "10.0.0.1", 2),
        ("/a.B/Whole", "10.0.0.1", 3),
        ("/a.C/Whole", "10.0.0.1", 7),
        ("/a.B/Off", "10.0.0.1", 0),
        ("/a.B/Internal", "10.0.0.1", 0),
        ("/a.B/Named", "10.0.0.1", 5),
        ("/a.B/Internal", "spiffe://pool.example/service/plant", 0),
        ("/a.B/Internal", "spiffe://pool.example/pooler/7", 9),
        ("/a.B/Internal", "spiffe://pool.example/operator/ann", 9),
        ("/a.B/Named", "spiffe://pool.example/pooler/7", 5),
        ("/a.B/Free", "spiffe://pool.example/service/plant", 0),
        ("/a.B/Whole", "spiffe://pool.example/service/plant", 3),
        ("/a.B/Free", "spiffe://pool.example/pooler/7/service/x", 7),
    ],
)
def test_which_limit_holds(method: str, identity: str, expected: int) -> None:
    rates = Rates(
        default=7,
        methods={"Short": 2, "/a.B/Whole": 3, "Off": 0, "/a.B/Named": 5, "Internal": 9},
        internal=frozenset({"/a.B/Internal", "/a.B/Named"}),
    )
    assert rates.of(method, identity) == expected


def test_many_callers_take_no_more_than_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 100)
    clock = Clock()
    limit = RateLimit(Rates(default=60), clock=clock)
    for number in range(1000):
        limit.check(identity=str(number), method=METHOD)
        assert limit.size <= 100
    clock.now += 2
    limit.check(identity="new", method=METHOD)
    assert limit.size == 1


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7"),
        ("ipv6:[::1]:4711", "[::1]"),
        ("unix:/run/pool.sock", "unix:/run/pool.sock"),
        ("", ""),
    ],
)
def test_the_host_of_a_peer(peer: str, host: str) -> None:
    assert host_of_peer(peer) == host


def test_only_a_name_of_ours_is_a_service() -> None:
    assert is_service("spiffe://pool.example/service/wallet")
    assert not is_service("/service/wallet")
    assert not is_service("spiffe://pool.example/operator/service")
    assert not is_service("spiffe://evil/pooler/service/x")


def test_calls_in_progress_are_bounded_and_leave_by_any_way() -> None:
    admission = Admission(max_calls=1, max_streams=1)
    with pytest.raises(ZeroDivisionError), admission.call("one"):
        raise ZeroDivisionError
    with admission.call("one"):
        with pytest.raises(UnavailableError) as caught, admission.call("one"):
            pass
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.retry_after
    with admission.call("one"):
        pass


@pytest.mark.parametrize(
    ("identity", "shares"),
    [
        ("spiffe://pool.example/pooler/7", True),
        ("spiffe://pool.example/owner/GAAA", True),
        ("spiffe://pool.example/operator/ann", False),
        ("spiffe://pool.example/service/plant", False),
        ("192.0.2.1", False),
    ],
)
def test_poolers_and_owner_accounts_share_a_room(identity: str, shares: bool) -> None:
    assert is_sharer(identity) is shares
    admission = Admission(max_calls=4, max_streams=1)
    with ExitStack() as calls:
        for _ in range(2):
            calls.enter_context(admission.call(identity))
        if shares:  # a third of its own would leave others less than it has
            with pytest.raises(UnavailableError), admission.call(identity):
                pass
        else:
            calls.enter_context(admission.call(identity))


@pytest.mark.parametrize("other", ["service/plant", "operator/ann"])
def test_poolers_leave_a_quarter_of_the_room_to_others(other: str) -> None:
    admission, others = Admission(max_calls=4, max_streams=1), f"spiffe://pool.example/{other}"
    with ExitStack() as calls:
        for number in range(3):
            calls.enter_context(admission.call(f"spiffe://pool.example/pooler/{number}"))
        with pytest.raises(UnavailableError), admission.call("spiffe://pool.example/pooler/7"):
            pass
        with pytest.raises(UnavailableError), admission.call("192.0.2.1", is_stranger=True):
            pass
        calls.enter_context(admission.call(others))
        with pytest.raises(UnavailableError), admission.call(others):
            pass


@given(st.integers(1, 300), st.integers(1, 9))
def test_greedy_poolers_leave_room_for_one_more(most: int, greedy: int) -> None:
    """However many calls each of them tries to have in progress."""
    admission = Admission(max_calls=4 * most, max_streams=1)
    with ExitStack() as calls:
        held = dict.fromkeys(range(greedy), 0)
        going_on = True
        while going_on:
            going_on = False
            for number in held:
                with suppress(UnavailableError):
                    calls.enter_context(admission.call(f"spiffe://pool.example/pooler/{number}"))
                    held[number] += 1
                    going_on = True
        share = 3 * most // (greedy + 1)
        assert all(share <= own <= 3 * most // 2 + 1 for own in held.values())
        # Who has nothing in progress finds room, unless there are as many of them as places.
        assert (sum(held.values()) < 3 * most) == (greedy < 3 * most)
        if greedy < 3 * most:
            calls.enter_context(admission.call("spiffe://pool.example/pooler/new"))
    with admission.call("spiffe://pool.example/pooler/0"):
        pass


def test_a_share_grows_again_when_others_are_done() -> None:
    admission = Admission(max_calls=8, max_streams=1)
    one, other = (f"spiffe://pool.example/pooler/{number}" for number in range(2))
    with ExitStack() as calls:
        with admission.call(other), admission.call(other):
            for _ in range(2):
                calls.enter_context(admission.call(one))
            with pytest.raises(UnavailableError, match="2 of them the caller's"):
                calls.enter_context(admission.call(one))
        calls.enter_context(admission.call(one))
        with pytest.raises(UnavailableError):
            calls.enter_context(admission.call(one))
        # An operator has all the room that there is.
        for _ in range(5):
            calls.enter_context(admission.call("spiffe://pool.example/operator/ann"))
        with pytest.raises(UnavailableError):
            calls.enter_context(admission.call("spiffe://pool.example/operator/ann"))


def test_streams_are_bounded_by_caller() -> None:
    admission = Admission(max_calls=1, max_streams=2)
    with admission.stream("one"), admission.stream("one"), admission.stream("two"):
        with pytest.raises(ResourceExhaustedError) as caught, admission.stream("one"):
            pass
        assert caught.value.reason == "TOO_MANY_STREAMS"
        with admission.call("one"):
            pass
    with admission.stream("one"), admission.stream("one"):
        pass


def test_limits_by_method_are_read() -> None:
    assert parse_rate_limits("") == {}
    assert parse_rate_limits(" Plant=20, /kalepool.wallet.v1.WalletService/Plant=0,") == {
        "Plant": 20,
        "/kalepool.wallet.v1.WalletService/Plant": 0,
    }


@pytest.mark.parametrize("text", ["Plant", "Plant=", "Plant=-1", "Plant=1,Plant=2", "a b=3", "=3"])
def test_limits_by_method_that_make_no_sense_stop_the_start(text: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(
            transport="plaintext",
            database_url=SecretStr("postgresql://none"),
            api_rate_limits=text,
        )
