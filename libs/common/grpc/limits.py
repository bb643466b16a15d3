"""Limits of what one caller may ask for and of what the process takes on, enforced in advance."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from libs.common.errors import ResourceExhaustedError, UnavailableError
from libs.common.grpc.bucket import Bucket
from libs.common.grpc.identity import is_named, is_service, is_sharer

#: Buckets that are kept at most; the oldest is dropped when there are more callers than that.
MAX_BUCKETS = 50_000
#: Seconds after which a call that found the process full may come again.
RETRY = 1.0


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Calls a minute per caller and method; 0 means no limit."""

    #: For methods that are not named below.
    default: int
    #: By full name (/kalepool.plant.v1.PlantService/Plant) or short one (Plant).
    methods: Mapping[str, int] = field(default_factory=dict)
    #: Full names of methods that other services call: only a limit by their full name holds, where
    #: callers show no names. Where they do, services are known by theirs.
    internal: frozenset[str] = frozenset()

    def of(self, method: str, identity: str) -> int:
        """Return the limit of one method for one caller."""
        if method in self.methods:
            return self.methods[method]
        if is_service(identity) or (method in self.internal and not is_named(identity)):
            return 0
        return self.methods.get(method.rpartition("/")[2], self.default)


class RateLimit:
    """The count of calls of this process; several replicas allow their sum."""

    def __init__(self, rates: Rates, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = lru_cache(maxsize=MAX_BUCKETS)(rates.of)
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def check(self, *, identity: str, method: str) -> None:
        """Count one call; raise ResourceExhaustedError with the time to wait."""
        per_minute = self._per_minute(method, identity)
        if not per_minute:
            return
        wait = self._bucket((identity, method)).take(per_minute, self._clock())
        if wait:
            raise ResourceExhaustedError(
                f"more than {per_minute} calls a minute of {method}",
                reason="RATE_LIMITED",
                metadata={"limit_per_minute": str(per_minute)},
                retry_after=max(0.001, wait),
            )

    @property
    def size(self) -> int:
        """Return the number of buckets that are kept."""
        return len(self._buckets)

    def _bucket(self, key: tuple[str, str]) -> Bucket:
        found = self._buckets.get(key)
        if found is None:
            if len(self._buckets) >= MAX_BUCKETS:
                self._make_room()
            found = self._buckets[key] = Bucket()
        return found

    def _make_room(self) -> None:
        now = self._clock()
        self._buckets = {
            key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)
        }
        if len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]


class Admission:
    """The count of what is in progress: calls of the process, streams without an end per caller."""

    def __init__(self, *, max_calls: int, max_streams: int) -> None:
        """Allow at most `max_calls` at a time, and `max_streams` per caller."""
        self._max_calls = max_calls
        self._max_streams = max_streams
        self._calls = 0
        #: Calls in progress of each pooler, owner account or stranger who has any.
        self._own: dict[str, int] = {}
        self._streams: dict[str, int] = {}

    def call(self, identity: str, *, is_stranger: bool = False) -> AbstractContextManager[None]:
        """Count one call while the block runs; raise UnavailableError when there are too many.

        A quarter of the room is not for poolers: poolers whose calls wait for something must not
        keep everybody's plants out, nor the operator who stops all signing. And each of them has
        no more calls in progress than there is room left for others: a few cannot fill it. The
        same holds for owner accounts, and for strangers, who exchange a token.
        """
        if is_sharer(identity) or is_stranger:
            return _Call(self, self._max_calls - self._max_calls // 4, sharer=identity)
        return _Call(self, self._max_calls, sharer=None)

    def enter(self, room: int, sharer: str | None) -> None:
        """Count a call that begins, and for whom, where each has a share.

        Raise UnavailableError when `room` or more calls are in progress, or when whose it is has as
        many as the room that is left.
        """
        own = 0 if sharer is None else self._own.get(sharer, 0)
        if self._calls + own >= room:
            raise UnavailableError(
                f"{self._calls} calls are in progress, {own} of them the caller's",
                reason="OVERLOADED",
                retry_after=RETRY,
            )
        self._calls += 1
        if sharer is not None:
            self._own[sharer] = own + 1

    def leave(self, sharer: str | None) -> None:
        """Take a call that is over off the count."""
        self._calls -= 1
        if sharer is None:
            return
        left = self._own[sharer] - 1
        self._own.pop(sharer) if not left else self._own.update({sharer: left})

    @contextmanager
    def stream(self, identity: str) -> Iterator[None]:
        """Count one stream without an end while the block runs.

        Raise ResourceExhaustedError when there are too many.
        """
        open_now = self._streams.get(identity, 0)
        if open_now >= self._max_streams:
            raise ResourceExhaustedError(
                f"{open_now} streams are open",
                reason="TOO_MANY_STREAMS",
                metadata={"limit": str(self._max_streams)},
                retry_after=RETRY,
            )
        self._streams[identity] = open_now + 1
        try:
            yield
        finally:
            left = self._streams[identity] - 1
            self._streams.pop(identity) if not left else self._streams.update({identity: left})


class _Call:
    """One call in progress; a class, as a generator for each call costs several times as much."""

    __slots__ = ("_admission", "_room", "_sharer")

    def __init__(self, admission: Admission, room: int, sharer: str | None) -> None:
        self._admission = admission
        self._room = room
        self._sharer = sharer

    def __enter__(self) -> None:
        self._admission.enter(self._room, self._sharer)

    def __exit__(self, *_: object) -> None:
        self._admission.leave(self._sharer)
