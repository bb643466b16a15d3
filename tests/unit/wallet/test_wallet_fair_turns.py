"""Turns of poolers: nobody's failures, and nobody's many wishes, keep others waiting."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.ids import OperationId, PoolerId, WalletId
from services.wallet.domain.fair_turns import Turns
from services.wallet.domain.model import OperationKind, QueuedOperation
from services.wallet.domain.settling import apart

HONEST, GREEDY, THIRD = (PoolerId(UUID(int=number)) for number in (1, 2, 3))


def payment(
    number: int,
    pooler: PoolerId | None,
    *,
    attempts: int = 0,
    pack_limit: int | None = None,
    is_suspect: bool = False,
) -> QueuedOperation:
    """A withdrawal; numbers are in the order of time."""
    return QueuedOperation(
        id=OperationId(UUID(int=number)),
        kind=OperationKind.WITHDRAW,
        wallet_id=WalletId(UUID(int=1000 + number)),
        address="",
        block_index=number,
        amount=1,
        nonce=None,
        hash=None,
        attempts=attempts,
        pack_limit=pack_limit,
        pooler_id=pooler,
        is_suspect=is_suspect,
    )


def numbers(chosen: list[QueuedOperation]) -> list[int]:
    return [item.id.int for item in chosen]


def test_the_first_of_each_pooler_goes_before_the_second_of_any() -> None:
    many = [payment(number, GREEDY) for number in range(100)]
    few = [payment(200, HONEST), payment(201, HONEST)]
    chosen = Turns().following([*many, *few], most=5)
    assert numbers(chosen) == [0, 200, 1, 201, 2]


def test_when_not_all_poolers_fit_those_who_waited_longest_go_first() -> None:
    poolers = [PoolerId(UUID(int=10 + number)) for number in range(5)]
    waiting = {number: payment(number, poolers[number % 5]) for number in range(20)}
    turns, went = Turns(), []
    for _ in range(5):
        chosen = turns.following(list(waiting.values()), most=2)
        went += [item.pooler_id for item in chosen]
        waiting = {key: item for key, item in waiting.items() if item not in chosen}
    assert went == poolers + poolers


def test_a_suspect_shares_with_nobody_and_has_every_second_turn() -> None:
    bad = [payment(number, GREEDY, is_suspect=True) for number in range(40)]
    good = [payment(100 + number, HONEST) for number in range(40)]
    turns, waiting, whose = Turns(), [*bad, *good], []
    for _ in range(4):
        chosen = turns.following(waiting, most=19)
        assert len({item.pooler_id for item in chosen}) == 1
        whose.append(chosen[0].pooler_id)
        waiting = [item for item in waiting if item not in chosen]
    assert whose == [HONEST, GREEDY, HONEST, GREEDY]


def test_of_two_that_keep_to_themselves_the_one_who_asked_first_goes_first() -> None:
    first = [payment(number, GREEDY, is_suspect=True) for number in (1, 50)]
    second = [payment(number, THIRD, is_suspect=True) for number in (2, 3)]
    assert numbers(Turns().following([*second, *first], most=19)) == [1, 50]


def test_a_hundred_that_go_alone_do_not_go_before_one_of_another_pooler_that_does() -> None:
    bad = [payment(number, GREEDY, attempts=1, pack_limit=1) for number in range(100)]
    good = payment(200, HONEST, attempts=1, pack_limit=1)
    turns = Turns()
    assert numbers(turns.following([*bad, good], most=19)) == [0]
    assert numbers(turns.following([*bad[1:], good], most=19)) == [200]
    assert numbers(turns.following(bad[1:], most=19)) == [1]


def test_what_only_failed_with_others_shares_again() -> None:
    one, two = payment(1, HONEST, attempts=1, pack_limit=7), payment(2, THIRD)
    assert numbers(Turns().following([one, two], most=19)) == [1, 2]


def test_payments_of_the_pool_itself_share_and_go_alone_after_a_failure() -> None:
    failed = payment(1, None, attempts=1, pack_limit=1)
    turns, fresh = Turns(), [payment(number, None) for number in (2, 3)]
    assert numbers(turns.following([failed, *fresh], most=99)) == [1]
    assert numbers(turns.following(fresh, most=99)) == [2, 3]


def test_nothing_waits() -> None:
    assert Turns().following([], most=19) == []


poolers = st.sampled_from([HONEST, GREEDY, THIRD, None])
wishes = st.lists(st.tuples(poolers, st.integers(0, 2), st.booleans()), max_size=60)


@given(wishes, st.integers(1, 19))
def test_everybody_has_a_turn_and_what_is_kept_apart_shares_with_nobody(
    asked: list[tuple[PoolerId | None, int, bool]], most: int
) -> None:
    suspects = {pooler for pooler, _, is_suspect in asked if is_suspect and pooler is not None}
    waiting = [
        payment(number, pooler, attempts=attempts, pack_limit=1 if attempts else None)
        for number, (pooler, attempts, _) in enumerate(asked)
    ]
    waiting = [replace(item, is_suspect=item.pooler_id in suspects) for item in waiting]
    turns = Turns()
    while waiting:
        chosen = turns.following(waiting, most=most)
        assert 1 <= len(chosen) <= most
        kept = [item for item in chosen if item.is_suspect or item.attempts]
        if kept:
            assert len({item.pooler_id for item in chosen}) == 1
        if any(item.attempts for item in chosen):
            assert len(chosen) == 1
        waiting = [item for item in waiting if item not in chosen]


@pytest.mark.parametrize(
    ("attempts", "together"),
    [([], []), ([0, 0], [0, 1]), ([0, 1, 0], [0, 2]), ([1, 3, 1], [0]), ([1, 0, 0], [0])],
)
def test_a_farmer_that_failed_before_is_onboarded_alone(
    attempts: list[int], together: list[int]
) -> None:
    arrivals = [payment(number, HONEST, attempts=count) for number, count in enumerate(attempts)]
    now, rest = apart(arrivals[::-1])  # the database gives them in any order
    assert now == [arrivals[number] for number in together]
    assert len(now) + len(rest) == len(arrivals)


@pytest.mark.parametrize(
    ("limits", "together"), [([7, 7, 1], [0, 1]), ([1, 7, 7], [0]), ([7, None, 7], [0, 2])]
)
def test_who_only_failed_with_others_shares_again(
    limits: list[int | None], together: list[int]
) -> None:
    waiting = [
        payment(number, HONEST, attempts=1, pack_limit=limit) for number, limit in enumerate(limits)
    ]
    now, rest = apart(waiting)
    assert now == [waiting[number] for number in together]
    assert len(now) + len(rest) == len(waiting)
