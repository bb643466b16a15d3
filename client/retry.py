"""Repeats of calls until a pool, whose processes may restart, answers them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic
from typing import TypeVar

from libs.common.errors import (
    ConflictError,
    DeadlineExceededError,
    InternalError,
    PoolError,
    ResourceExhaustedError,
    UnavailableError,
)

T = TypeVar("T")

#: The call may succeed when repeated. INTERNAL is among them because a connection that breaks while
#: a service dies may look so; every call of the library is idempotent.
_PASSING = (UnavailableError, DeadlineExceededError, ConflictError, InternalError)
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0


async def patiently(
    call: Callable[[], Awaitable[T]],
    *,
    patience: float,
    notice: Callable[[PoolError, float], None] = lambda _error, _delay: None,
) -> T:
    """Repeat `call` while its error may pass, for `patience` seconds; then raise the error.

    `call` must be idempotent: it carries the same request_id each time. `notice` gets each error
    and the seconds until the next try.
    """
    ends_at = monotonic() + patience
    for delay in backoff():
        try:
            return await call()
        except PoolError as error:
            wait = wait_after(error, delay)
            if wait is None or monotonic() + wait > ends_at:
                raise
            notice(error, wait)
        await asyncio.sleep(wait)
    raise AssertionError("backoff has no end")


def backoff() -> Iterator[float]:
    """Yield seconds to wait, each twice the one before up to 5.

    They have jitter so that callers spread.
    """
    delay = _FIRST_DELAY
    while True:
        yield delay * random.uniform(0.75, 1.25)
        delay = min(_LONGEST_DELAY, 2 * delay)


def wait_after(error: PoolError, delay: float) -> float | None:
    """Return the seconds to wait before a repeat, or None when a repeat would fail the same way."""
    if isinstance(error, ResourceExhaustedError):
        # A rate limit says when it ends; other limits (a full pool) stay.
        return error.retry_after
    return max(delay, error.retry_after or 0) if isinstance(error, _PASSING) else None
