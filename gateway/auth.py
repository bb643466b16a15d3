"""Who calls: a token is exchanged with wallet for an access token, which the services check.

The gateway believes nothing by itself. What it keeps is what wallet gave, for less than a minute.
"""

import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from kalepool.wallet.v1 import token_pb2

from gateway.errors import TokenUnknownError
from libs.common.errors import ErrorCode, PoolError, ResourceExhaustedError, UnauthenticatedError
from libs.common.grpc.bucket import Bucket
from libs.common.singleflight import SingleFlight
from libs.http.addresses import limited_by

#: An API token: 256 random bits in base64url after a prefix that scanners of secrets know.
_API_TOKEN = r"kp_[A-Za-z0-9_-]{43}"  # noqa: S105  (a pattern, no secret)
#: A login token: a JSON Web Token with wallet's signature.
_LOGIN_TOKEN = r"[A-Za-z0-9_-]{16,256}\.[A-Za-z0-9_-]{16,1024}\.[A-Za-z0-9_-]{86}"  # noqa: S105
_TOKEN = re.compile(f"{_API_TOKEN}|{_LOGIN_TOKEN}")
#: Seconds before its end from which an access token is not used any more: a call takes time.
_MARGIN = 10.0
#: Seconds that an access token is used at most, whatever wallet's clock says.
_LONGEST = 60.0
#: Seconds for which a token that wallet does not know is not asked for again.
_REFUSED = 10.0
#: Tokens that are kept at most, and addresses whose failures are counted.
_KEPT = 20_000

Exchange = Callable[[str], Awaitable[token_pb2.ExchangeTokenResponse]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What wallet gave for an API token, or a login token."""

    #: The SPIFFE name that the calls have.
    identity: str
    #: The signed access token; the services check it.
    access_token: str = field(repr=False)
    #: Until when it is used, on the clock of this process (s).
    ends_at: float


class Tokens:
    """The access tokens of callers who were here within the last minute."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        wrong_per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Take wallet's ExchangeToken, and how many wrong tokens an address may try in a minute."""
        self._exchange = exchange
        self._clock = clock
        self._wall_clock = wall_clock
        # Keys are hashes: an API token is not kept.
        self._kept: dict[bytes, Credentials] = {}
        self._refused: dict[bytes, float] = {}
        self._failures = _Attempts(wrong_per_minute, clock)
        self._logins = _Attempts(wrong_per_minute, clock)
        self._flights: SingleFlight[Credentials] = SingleFlight()

    async def credentials(self, token: str, address: str) -> Credentials:
        """Return the credentials for an API token, or a login token.

        Raise TokenUnknownError when there is no such token, ResourceExhaustedError when the address
        has tried too many of those, and UnavailableError while wallet is away.
        """
        if not _TOKEN.fullmatch(token):
            raise self._failure(address)
        key = hashlib.sha256(token.encode()).digest()
        known = self._kept.get(key)
        now = self._clock()
        if known is not None and known.ends_at > now:
            return known
        if self._refused.get(key, now) > now:
            raise self._failure(address)
        self._failures.check(address)
        try:
            return await self._flights.run(key, lambda: self._ask(key, token))
        except UnauthenticatedError:
            raise self._failure(address) from None
        except PoolError as error:
            # Only a text that cannot be a token is INVALID_ARGUMENT; the caller hears one answer.
            if error.code is ErrorCode.INVALID_ARGUMENT:
                raise self._failure(address) from None
            raise

    async def _ask(self, key: bytes, token: str) -> Credentials:
        try:
            answer = await self._exchange(token)
        except UnauthenticatedError:
            self._kept.pop(key, None)
            self._refused = _with_room(self._refused, lambda until: until > self._clock())
            self._refused[key] = self._clock() + _REFUSED
            raise
        left = answer.expires_at.ToMilliseconds() / 1000 - self._wall_clock() - _MARGIN
        credentials = Credentials(
            identity=answer.info.subject,
            access_token=answer.access_token,
            ends_at=self._clock() + min(left, _LONGEST - _MARGIN),
        )
        self._kept = _with_room(self._kept, lambda one: one.ends_at > self._clock())
        self._kept[key] = credentials
        return credentials

    def _failure(self, address: str) -> TokenUnknownError:
        """Count a wrong token; return the one error that there is for all of them."""
        self._failures.count(address)
        return TokenUnknownError("there is no such token")

    def count_login(self, address: str) -> None:
        """Count an attempt to log in, which is one to find a token that counts.

        Raise ResourceExhaustedError when the address has made too many of those. They are counted
        by themselves: a page of anybody's can have a browser try to log in, and must not keep the
        tokens of its address from counting.
        """
        self._logins.count(address)

    async def aclose(self) -> None:
        """Cancel exchanges that are under way."""
        await self._flights.aclose()


class _Attempts:
    """What addresses have tried within a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def check(self, address: str) -> None:
        """Raise ResourceExhaustedError when the address has to wait before it tries again."""
        bucket = self._buckets.get(limited_by(address))
        if bucket is None:
            return
        wait = Bucket(bucket.full_at).take(self._per_minute, self._clock())
        if wait:
            raise ResourceExhaustedError(
                "too many wrong tokens", reason="RATE_LIMITED", retry_after=wait
            )

    def count(self, address: str) -> None:
        """Count an attempt; raise ResourceExhaustedError when there were too many."""
        self.check(address)
        now = self._clock()
        self._buckets = _with_room(self._buckets, lambda one: not one.is_full(now))
        self._buckets.setdefault(limited_by(address), Bucket()).take(self._per_minute, now)


K = TypeVar("K")


def _with_room(kept: dict[K, T], counts: Callable[[T], bool]) -> dict[K, T]:
    """Return a dictionary with room for one more: without what counts no longer, or the oldest."""
    if len(kept) < _KEPT:
        return kept
    left = {key: value for key, value in kept.items() if counts(value)}
    while len(left) >= _KEPT:
        del left[next(iter(left))]
    return left
