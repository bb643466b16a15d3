"""How much one caller may ask for: by credential, and by address for those who show none."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from libs.common.errors import ResourceExhaustedError
from libs.common.grpc.bucket import Bucket
from libs.common.grpc.limits import RateLimit, Rates
from pooler.shares.domain.errors import LimitedError

#: Addresses whose wrong credentials are counted.
_KEPT = 10_000


class CallRate:
    """Calls a minute; what is too much is told by the code that miners know."""

    def __init__(self, per_minute: int) -> None:
        """Allow so many calls of one path; 0: no limit."""
        self._rates = RateLimit(Rates(default=per_minute))

    def check(self, caller: str, route: str) -> None:
        """Count a call; raise LimitedError."""
        try:
            self._rates.check(identity=caller, method=route)
        except ResourceExhaustedError as error:
            raise LimitedError(
                error.message, metadata=error.metadata, retry_after=error.retry_after
            ) from None


class Wrong:
    """Credentials that are none, by address: they are only looked up so often."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow so many of one address."""
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise LimitedError when an address has shown too many."""
        bucket = self._buckets.get(address)
        if bucket is None:
            return
        wait = replace(bucket).take(self._per_minute, self._clock())
        if wait:
            told = f"more than {self._per_minute} wrong credentials in a minute"
            raise LimitedError(told, retry_after=wait)

    def count(self, address: str) -> None:
        """Count one."""
        bucket = self._buckets.get(address)
        if bucket is None:
            if len(self._buckets) >= _KEPT:
                self._buckets.popitem(last=False)
            bucket = self._buckets[address] = Bucket()
        bucket.take(self._per_minute, self._clock())
