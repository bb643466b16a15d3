"""Patience: what is repeated, what is not, and for how long."""

import itertools
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from client.retry import backoff, patiently
from libs.common.errors import (
    ConflictError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PoolError,
    ResourceExhaustedError,
    UnavailableError,
)


def failing(*errors: PoolError) -> Callable[[], Awaitable[str]]:
    """A call that fails so many times, then works."""
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


@pytest.mark.parametrize(
    "kind", [UnavailableError, DeadlineExceededError, ConflictError, InternalError]
)
async def test_what_may_pass_is_repeated(kind: type[PoolError]) -> None:
    noticed: list[str] = []
    answer = await patiently(
        failing(kind("one"), kind("two")),
        patience=10,
        notice=lambda error, _: noticed.append(error.message),
    )
    assert answer == "done"
    assert noticed == ["one", "two"]


@pytest.mark.parametrize(
    "kind", [FailedPreconditionError, InvalidArgumentError, NotFoundError, ResourceExhaustedError]
)
async def test_what_stays_is_raised_at_once(kind: type[PoolError]) -> None:
    with pytest.raises(kind):
        await patiently(failing(kind("no")), patience=10)


async def test_a_rate_limit_says_how_long_to_wait() -> None:
    began = monotonic()
    limited = ResourceExhaustedError("slowly", reason="RATE_LIMITED", retry_after=0.3)
    assert await patiently(failing(limited), patience=10) == "done"
    assert monotonic() - began >= 0.3


async def test_patience_ends() -> None:
    with pytest.raises(UnavailableError):
        await patiently(failing(*[UnavailableError("away")] * 100), patience=0.5)


async def test_no_patience_still_tries_once() -> None:
    assert await patiently(failing(), patience=0) == "done"


def test_delays_double_up_to_five_seconds_and_never_more_than_a_quarter_off() -> None:
    delays = list(itertools.islice(backoff(), 12))
    for number, delay in enumerate(delays):
        middle = min(5.0, 0.1 * 2**number)
        assert 0.75 * middle <= delay <= 1.25 * middle
