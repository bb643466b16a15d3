"""Who is paid, and why not: rules that say something of every amount, and pay no more."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import PoolerId
from services.harvest.domain.payout_runs import chunks_of
from services.harvest.domain.payouts import (
    Cause,
    Claims,
    Due,
    History,
    Left,
    Order,
    Payee,
    PayeeKind,
    Pending,
    Reason,
    Rules,
    Terms,
    Waits,
    amount_now,
    decide,
    pay_of_miner,
    pay_of_pooler,
    pending_of,
    plan,
    retried_at,
    room_of,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POOLER = PoolerId(UUID(int=7))
RULES = Rules(
    is_off=False,
    minimum=10,
    sweep=Terms(threshold=500, interval=7 * 86_400),
    approval=10_000,
    daily_payee=0,
    daily_pool=0,
    pause=60,
    next_run=NOW + timedelta(seconds=60),
)


def farmer(
    payable: int = 100,
    *,
    number: int = 1,
    threshold: int | None = 100,
    interval: int = 0,
    since: datetime = NOW - HOUR,
    **more: Any,
) -> Payee:
    """A farmer, and what came of its payouts so far."""
    own = {name: more.pop(name) for name in list(more) if name in Payee.__dataclass_fields__}
    return Payee(
        kind=PayeeKind.FARMER,
        payee_id=UUID(int=number),
        pooler_id=POOLER,
        payable=payable,
        terms=None if threshold is None else Terms(threshold=threshold, interval=interval),
        history=History(since=since, **more),
        **own,
    )


def found(payee: Payee, rules: Rules = RULES, order: Order | None = None) -> Any:
    """What is decided, in short: an amount and its cause, or the reason."""
    decided = decide(payee, rules, NOW, order or Order())
    if isinstance(decided, Due):
        return decided.amount, decided.cause
    return None if decided is None else decided.reason


# What is due -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payee", "expected"),
    [
        (farmer(100), (100, Cause.THRESHOLD)),
        (farmer(99), Reason.BELOW_THRESHOLD),
        (farmer(99, interval=3600), (99, Cause.INTERVAL)),
        (farmer(99, interval=3601), Reason.INTERVAL),
        (farmer(9, interval=60), Reason.BELOW_THRESHOLD),
        # Whatever there is, but nothing that is worth less than its payment.
        (farmer(10, threshold=0), (10, Cause.THRESHOLD)),
        (farmer(9, threshold=0), Reason.TOO_SMALL),
        (farmer(1000, threshold=None), Reason.NO_TERMS),
        (farmer(0), None),
        (farmer(-5), None),
        # Who leaves gets all of it, whatever was agreed.
        (farmer(1, is_leaving=True), (1, Cause.LEAVING)),
        (farmer(100, is_leaving=True), (100, Cause.LEAVING)),
        (farmer(9, threshold=None, is_leaving=True), (9, Cause.LEAVING)),
        (farmer(0, is_leaving=True), None),
        (farmer(-1, is_leaving=True), None),
        (farmer(10_001, is_leaving=True), Reason.NEEDS_APPROVAL),
        (farmer(5, is_leaving=True, standing=Reason.SIGNING_PAUSED), Reason.SIGNING_PAUSED),
        # Of who leaves each stroop of fees goes, too.
        (farmer(0, fees=1, is_leaving=True), (0, Cause.SWEEP)),
        (farmer(0, fees=0, is_leaving=True), None),
        (farmer(0, fees=9, fees_left=9, swept_at=NOW, is_leaving=True), None),
        (farmer(0, fees=9, fees_left=8, swept_at=NOW, is_leaving=True), (0, Cause.SWEEP)),
        (farmer(0, fees=1, fees_left=1, swept_at=NOW - 7 * DAY, is_leaving=True), (0, Cause.SWEEP)),
        (
            farmer(0, fees=9, sweep_failures=1, sweep_failed_at=NOW, is_leaving=True),
            None,
        ),
        # Fees of who is not paid itself.
        (farmer(0, fees=499, fees_since=NOW - 6 * DAY), None),
        (farmer(0, fees=499, fees_since=NOW - 7 * DAY), (0, Cause.SWEEP)),
        (farmer(0, fees=499, fees_since=NOW - 9 * DAY, swept_at=NOW - DAY), None),
        (farmer(50, fees=500), (0, Cause.SWEEP)),
        # What a sweep has left cannot go: it makes no other one due before the interval is over.
        (farmer(0, fees=9_999, fees_left=9_500, swept_at=NOW), None),
        (farmer(0, fees=10_000, fees_left=9_500, swept_at=NOW), (0, Cause.SWEEP)),
        (farmer(0, fees=9_500, fees_left=9_500, swept_at=NOW - 7 * DAY), (0, Cause.SWEEP)),
        (farmer(100, fees=500), (100, Cause.THRESHOLD)),
        (farmer(0, fees=9, fees_since=NOW - 99 * DAY), None),
        # What keeps the farmer's own back keeps no fees back, and the other way round.
        (farmer(100, fees=500, failures=1, failed_at=NOW), (0, Cause.SWEEP)),
        (farmer(20_000, fees=500), (0, Cause.SWEEP)),
        (farmer(50, fees=500, sweep_failures=1, sweep_failed_at=NOW), Reason.BELOW_THRESHOLD),
        (
            farmer(100, fees=500, sweep_failures=1, sweep_failed_at=NOW),
            (100, Cause.THRESHOLD),
        ),
    ],
)
def test_a_farmer_is_paid_by_its_terms(payee: Payee, expected: Any) -> None:
    assert found(payee) == expected


@pytest.mark.parametrize(
    ("payee", "rules", "expected"),
    [
        (farmer(), replace(RULES, is_off=True), Reason.SWITCHED_OFF),
        (farmer(standing=Reason.SIGNING_PAUSED), RULES, Reason.SIGNING_PAUSED),
        (farmer(20_000), RULES, Reason.NEEDS_APPROVAL),
        # Nothing is paid beside what is on its way.
        (farmer(run_id=UUID(int=9), open_amount=7), RULES, Reason.DUE),
        (farmer(left_today=50), replace(RULES, daily_payee=149), Reason.DAILY_LIMIT),
        (farmer(left_today=50), replace(RULES, daily_payee=150), (100, Cause.THRESHOLD)),
        (farmer(failures=1, failed_at=NOW - timedelta(seconds=59)), RULES, Reason.REFUSED),
        (
            farmer(failures=1, failed_at=NOW - timedelta(seconds=60)),
            RULES,
            (100, Cause.THRESHOLD),
        ),
    ],
)
def test_what_holds_a_payout_up_is_named(payee: Payee, rules: Rules, expected: Any) -> None:
    assert found(payee, rules) == expected


def test_operators_pay_what_is_large_or_has_failed_and_the_suspended_by_name() -> None:
    by_hand = Order(by_hand=True)
    assert found(farmer(20_000), order=by_hand) == (20_000, Cause.THRESHOLD)
    assert found(farmer(failures=3, failed_at=NOW), order=by_hand) == (100, Cause.THRESHOLD)
    suspended = farmer(standing=Reason.FARMER_SUSPENDED)
    assert found(suspended, order=by_hand) is Reason.FARMER_SUSPENDED
    by_name = Order(by_hand=True, whatever_stands=True)
    assert found(suspended, order=by_name) == (100, Cause.THRESHOLD)
    paused = farmer(standing=Reason.SIGNING_PAUSED)
    assert found(paused, order=by_name) is Reason.SIGNING_PAUSED
    assert found(farmer(99), order=by_name) is Reason.BELOW_THRESHOLD


def test_pauses_grow_and_end() -> None:
    def after(failures: int) -> timedelta | None:
        again = retried_at(failures, NOW, 60)
        return None if again is None else again - NOW

    minutes = [after(failures) for failures in (0, 1, 2, 3, 6, 7, 10**6)]
    assert minutes == [None, *(timedelta(minutes=count) for count in (1, 2, 4, 32, 32, 32))]


# Why and when ------------------------------------------------------------------------------------


def test_a_time_is_reckoned_from_what_was_earned_so_far() -> None:
    (waiting,) = pending_of(farmer(50, since=NOW - HOUR), RULES, Left(), NOW)
    assert (waiting.expected_at, waiting.is_estimate) == (NOW + HOUR, True)
    # What comes first is told.
    (waiting,) = pending_of(farmer(50, interval=5400), RULES, Left(), NOW)
    assert (waiting.reason, waiting.expected_at) == (Reason.INTERVAL, NOW + HOUR / 2)
    (waiting,) = pending_of(farmer(1, threshold=10**18), RULES, Left(), NOW)
    assert (waiting.reason, waiting.expected_at) == (Reason.BELOW_THRESHOLD, None)
    (waiting,) = pending_of(farmer(), RULES, Left(), NOW)
    assert (waiting.reason, waiting.expected_at) == (Reason.DUE, RULES.next_run)


def test_the_rest_of_a_payee_is_told_beside_what_can_be_paid() -> None:
    staked = Waits(amount=30, reason=Reason.STAKED, since=NOW)
    nothing = Waits(amount=0, reason=Reason.ON_ITS_WAY, since=NOW)
    told = list(pending_of(farmer(99, others=[staked, nothing]), RULES, Left(), NOW))
    assert [(one.amount, one.reason) for one in told] == [
        (99, Reason.BELOW_THRESHOLD),
        (30, Reason.STAKED),
    ]
    # Its fees are moved on, and what is its own waits.
    (told_now,) = pending_of(farmer(50, fees=500), RULES, Left(), NOW)
    assert (told_now.amount, told_now.reason) == (50, Reason.BELOW_THRESHOLD)


def test_the_limit_of_a_day_ends_when_what_left_first_is_a_day_ago() -> None:
    rules = replace(RULES, daily_pool=150)
    first = NOW - 5 * HOUR
    (told,) = pending_of(farmer(), rules, Left(amount=51, since=first), NOW)
    assert (told.reason, told.expected_at) == (Reason.DAILY_LIMIT, first + DAY)
    payees = [farmer(100, number=1, since=NOW - HOUR), farmer(100, number=2, since=NOW - DAY)]
    made = plan(payees, rules, Left(), NOW)
    # Who has waited longest goes first.
    assert [one.payee.payee_id.int for one in made.due] == [2]
    assert [(one.payee.payee_id.int, one.reason) for one in made.left] == [(1, Reason.DAILY_LIMIT)]


def test_what_is_more_than_a_day_lets_out_is_paid_in_parts() -> None:
    rules = replace(RULES, daily_payee=80)
    first = NOW - 5 * HOUR
    whole = farmer(200)
    assert found(whole, rules) == (80, Cause.THRESHOLD)
    told = [(one.amount, one.reason) for one in pending_of(whole, rules, Left(), NOW)]
    assert told == [(80, Reason.DUE), (120, Reason.DAILY_LIMIT)]
    # Of what is left of the day, when that is worth a payment.
    assert found(farmer(200, left_today=70, left_since=first), rules) == (10, Cause.THRESHOLD)
    (told_then,) = pending_of(farmer(200, left_today=71, left_since=first), rules, Left(), NOW)
    assert (told_then.reason, told_then.expected_at) == (Reason.DAILY_LIMIT, first + DAY)
    # What fits into a day waits until it does: two payments cost twice.
    assert found(farmer(80, threshold=0, left_today=1), rules) is Reason.DAILY_LIMIT
    # A large one is for operators, whatever part of it would go.
    assert found(farmer(20_000), rules) is Reason.NEEDS_APPROVAL


def test_nobody_is_told_a_time_that_never_comes() -> None:
    rules = replace(RULES, daily_payee=9)
    (told,) = pending_of(farmer(200), rules, Left(), NOW)
    assert (told.reason, told.expected_at) == (Reason.DAILY_LIMIT, None)
    (told,) = pending_of(farmer(200), replace(RULES, daily_pool=9), Left(), NOW)
    assert (told.reason, told.expected_at) == (Reason.DAILY_LIMIT, None)


def test_what_is_more_than_the_pool_lets_out_a_day_is_paid_in_parts() -> None:
    rules = replace(RULES, daily_pool=150)
    large, small = farmer(200, number=1, since=NOW - DAY), farmer(100, number=2)
    made = plan([large, small], rules, Left(), NOW)
    assert [(one.payee.payee_id.int, one.amount) for one in made.due] == [(1, 150)]
    assert [(one.payee.payee_id.int, one.amount, one.reason) for one in made.left] == [
        (1, 50, Reason.DAILY_LIMIT),
        (2, 100, Reason.DAILY_LIMIT),
    ]
    told = pending_of(large, rules, Left(amount=100, since=NOW), NOW)
    assert [(one.amount, one.reason) for one in told] == [
        (50, Reason.DUE),
        (150, Reason.DAILY_LIMIT),
    ]


def test_what_is_paid_at_once_is_what_there_is() -> None:
    assert [amount_now(farmer(99), wanted) for wanted in (None, 99, 100, 1)] == [99, 99, 0, 1]
    assert amount_now(farmer(-4), None) == 0
    rules = replace(RULES, daily_payee=100, daily_pool=70)
    assert room_of(farmer(left_today=40), rules, Left(amount=5)) == 60
    assert room_of(farmer(left_today=140), rules, Left(amount=5)) == 0
    assert room_of(farmer(), RULES, Left(amount=5)) is None


# Poolers and miners ------------------------------------------------------------------------------


def claims(**values: int) -> Claims:
    """Claims that are 0 but for these."""
    names = Claims.__dataclass_fields__
    return Claims(**{name: values.get(name, 0) for name in names})


def test_a_pooler_gets_what_was_collected_and_its_miners_are_kept_theirs() -> None:
    assert pay_of_pooler(claims(fee=10, uncollected=10)) == (0, 0)
    assert pay_of_pooler(claims(fee=10, uncollected=4, pooler_funds=6)) == (6, 0)
    # 5 of the miners' part are for its own hashes.
    mined = claims(fee=15, pooler_funds=10, miner_funds=12, divided=7)
    assert pay_of_pooler(mined) == (10, 5)
    assert pay_of_pooler(replace(mined, undivided=3)) == (10, 2)
    assert pay_of_pooler(replace(mined, miner_funds=7)) == (10, 0)


def test_a_miner_is_paid_all_or_waits() -> None:
    assert [pay_of_miner(4, until=until, funds=10) for until in (4, 10, 11)] == [4, 4, 0]


# Properties --------------------------------------------------------------------------------------

AMOUNTS = st.integers(-1_000, 100_000)
MOMENTS = st.integers(0, 40 * 86_400).map(lambda ago: NOW - timedelta(seconds=ago))


@st.composite
def payees(draw: st.DrawFn) -> list[Payee]:
    """Farmers in all states."""
    return [
        farmer(
            draw(AMOUNTS),
            number=number,
            threshold=draw(st.none() | st.integers(0, 2_000)),
            interval=draw(st.integers(0, 40 * 86_400)),
            since=draw(MOMENTS),
            fees=draw(st.integers(0, 1_000)),
            fees_since=draw(MOMENTS),
            swept_at=draw(st.none() | MOMENTS),
            standing=draw(st.sampled_from([None, None, None, Reason.FARMER_SUSPENDED])),
            failures=draw(st.integers(0, 3)),
            failed_at=draw(MOMENTS),
            run_id=draw(st.sampled_from([None, None, UUID(int=9)])),
            open_amount=draw(st.integers(0, 50)),
            left_today=draw(st.integers(0, 2_000)),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


RULES_OF_ALL_KINDS = st.builds(
    Rules,
    is_off=st.booleans(),
    minimum=st.integers(0, 100),
    sweep=st.builds(Terms, threshold=st.integers(0, 1_000), interval=st.integers(0, 86_400)),
    approval=st.integers(0, 50_000),
    daily_payee=st.integers(0, 50_000),
    daily_pool=st.integers(0, 100_000),
    pause=st.floats(1, 3_600),
    next_run=st.none() | st.just(NOW),
)
ORDERS = st.builds(Order, by_hand=st.booleans(), whatever_stands=st.booleans())


@given(payees(), RULES_OF_ALL_KINDS, ORDERS, st.integers(0, 100_000))
def test_a_plan_pays_nobody_more_than_there_is_and_nothing_twice(
    people: Sequence[Payee], rules: Rules, order: Order, gone: int
) -> None:
    made = plan(people, rules, Left(amount=gone, since=NOW), NOW, order)
    names = Counter(one.payee.payee_id for one in made.due)
    assert all(count == 1 for count in names.values())
    for one in made.due:
        assert 0 <= one.amount <= max(0, one.payee.payable)
        assert one.payee.history.run_id is None
        assert not rules.is_off
        assert one.amount or one.payee.fees
        if rules.daily_payee and one.amount:
            assert one.payee.history.left_today + one.amount <= rules.daily_payee
        if not order.by_hand:
            assert one.amount <= rules.approval
    if rules.daily_pool and made.total:
        assert gone + made.total <= rules.daily_pool


@given(payees(), RULES_OF_ALL_KINDS, st.integers(0, 100_000))
def test_every_amount_has_a_reason(people: Sequence[Payee], rules: Rules, gone: int) -> None:
    left = Left(amount=gone, since=NOW)
    for payee in people:
        told = list(pending_of(payee, rules, left, NOW))
        going = payee.history.open_amount if payee.history.run_id is not None else 0
        assert sum(one.amount for one in told) == max(0, payee.payable) + going
        for one in told:
            assert isinstance(one, Pending)
            assert one.amount > 0
            assert one.since == payee.history.since


@given(payees(), RULES_OF_ALL_KINDS)
def test_what_is_due_and_what_is_left_is_all_that_there_is(
    people: Sequence[Payee], rules: Rules
) -> None:
    made = plan(people, rules, Left(), NOW)
    for payee in people:
        going = payee.history.open_amount if payee.history.run_id is not None else 0
        due = sum(one.amount for one in made.due if one.payee == payee)
        rest = sum(one.amount for one in made.left if one.payee == payee)
        assert due + rest == max(0, payee.payable) + going


def test_farmers_go_together_miners_by_pooler_and_each_pooler_by_itself() -> None:
    def due(kind: PayeeKind, pooler: int, number: int) -> Due:
        one = replace(
            farmer(number=number), kind=kind, pooler_id=PoolerId(UUID(int=pooler)), address="G"
        )
        return Due(payee=one, amount=1, cause=Cause.NOW)

    many = [due(PayeeKind.FARMER, 1 + number % 2, number) for number in range(1001)]
    others = [
        due(PayeeKind.MINER, 1, 2000),
        due(PayeeKind.MINER, 2, 2001),
        due(PayeeKind.MINER, 1, 2002),
        due(PayeeKind.POOLER, 1, 2003),
        due(PayeeKind.POOLER, 2, 2004),
    ]
    chunks = chunks_of([*many, *others])
    assert chunks[:1000] == [0] * 1000
    assert chunks[1000:] == [1, 2, 3, 2, 4, 5]


def test_who_leaves_is_told_so() -> None:
    leaves = farmer(7, is_leaving=True)
    (told,) = pending_of(leaves, RULES, Left(), NOW)
    assert (told.amount, told.reason, told.expected_at) == (7, Reason.LEAVING, RULES.next_run)
    on_its_way = farmer(7, is_leaving=True, run_id=UUID(int=3), open_amount=2)
    reasons = [(one.amount, one.reason) for one in pending_of(on_its_way, RULES, Left(), NOW)]
    assert reasons == [(2, Reason.ON_ITS_WAY), (7, Reason.LEAVING)]
    assert found(replace(leaves, payable=7), replace(RULES, is_off=True)) is Reason.SWITCHED_OFF
