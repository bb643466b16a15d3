"""Rate limit per caller and method: a moving window over a minute (API_RATE_LIMIT)."""

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from libs.common.errors import ResourceExhaustedError


class RateLimit:
    """Counts calls of this process; several replicas allow their sum."""

    def __init__(self, per_minute: int, *, unlimited: frozenset[str] = frozenset()) -> None:
        """`per_minute` 0 means no limit; `unlimited` are full method names that never count."""
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._unlimited = unlimited
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, *, caller: str, method: str) -> None:
        """Counts one call; raises ResourceExhaustedError with the time to wait."""
        if self._item is None or method in self._unlimited:
            return
        if self._limiter.hit(self._item, caller, method):
            return
        reset = self._limiter.get_window_stats(self._item, caller, method).reset_time
        raise ResourceExhaustedError(
            f"more than {self._item.amount} calls a minute of {method}",
            reason="RATE_LIMITED",
            metadata={"limit_per_minute": str(self._item.amount)},
            retry_after=max(0.1, reset - time.time()),
        )


def caller_of(peer: str) -> str:
    """The host part of grpc's peer string: a caller's many connections count as one."""
    scheme, _, rest = peer.partition(":")
    return rest.rpartition(":")[0] if scheme in {"ipv4", "ipv6"} else peer
