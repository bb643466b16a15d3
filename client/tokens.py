"""Access tokens: an API token is exchanged at wallet for one that lives a minute."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING

from kalepool.wallet.v1 import token_pb2

from libs.common.errors import DeadlineExceededError, UnauthenticatedError, UnavailableError
from libs.common.grpc.client import call
from libs.common.singleflight import SingleFlight

if TYPE_CHECKING:
    import grpc

#: The call that exchanges a token; wallet's second port serves it to anybody.
METHOD = "/kalepool.wallet.v1.TokenService/ExchangeToken"
#: Seconds that an exchange may take.
_TIMEOUT = 10.0
#: Seconds before its end from which a token is replaced: a call with it has to reach its service.
_MARGIN = 10.0
#: Seconds that a token which was just given lives at least and at most, whatever our clock says.
_SHORTEST, _LONGEST = 20.0, 60.0


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """An access token, and when it ends."""

    #: What a service is shown.
    text: str = field(repr=False)
    #: Unix seconds.
    expires_at: float


Exchange = Callable[[], Awaitable[AccessToken]]


class AccessTokens:
    """The access token of the moment, replaced before it ends; one exchange at a time."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """Take `exchange`, which gives a fresh access token; nothing is asked for yet."""
        self._exchange = exchange
        self._clock = clock
        self._wall_clock = wall_clock
        self._flights: SingleFlight[str] = SingleFlight()
        self._text = ""
        #: When the token is replaced, and when it ends at the latest, by `clock`.
        self._renew_at, self._ends_at = 0.0, 0.0

    async def current(self) -> str:
        """Return an access token that has some seconds left. Raise UnauthenticatedError."""
        if self._text and self._clock() < self._renew_at:
            return self._text
        try:
            return await self._flights.run("exchange", self._renew)
        except (UnavailableError, DeadlineExceededError):
            # The one before still counts for a moment, in which wallet may come back.
            if self._text and self._clock() < self._ends_at:
                return self._text
            raise

    def forget(self, text: str) -> None:
        """Drop a token that a service has refused; the next call exchanges anew."""
        if text == self._text:
            self._text = ""

    async def aclose(self) -> None:
        """End an exchange that still runs."""
        await self._flights.aclose()

    async def _renew(self) -> str:
        asked_at = self._clock()
        given = await self._exchange()
        # It was made a moment ago, so that a clock of ours which is wrong changes little.
        life = min(max(given.expires_at - self._wall_clock(), _SHORTEST), _LONGEST)
        self._text = given.text
        self._renew_at, self._ends_at = asked_at + life - _MARGIN, asked_at + life
        return given.text


def exchange_at(wallet: "grpc.aio.Channel", read_token: Callable[[], str]) -> Exchange:
    """Return an exchange at wallet's second port.

    The API token is read each time, so that its file may be replaced; `read_token` raises
    ValueError when there is none.
    """
    method: grpc.aio.UnaryUnaryMultiCallable[
        token_pb2.ExchangeTokenRequest, token_pb2.ExchangeTokenResponse
    ] = wallet.unary_unary(
        METHOD,
        request_serializer=token_pb2.ExchangeTokenRequest.SerializeToString,
        response_deserializer=token_pb2.ExchangeTokenResponse.FromString,
    )

    async def exchange() -> AccessToken:
        try:
            request = token_pb2.ExchangeTokenRequest(token=read_token())
        except ValueError as error:
            raise UnauthenticatedError(str(error), reason="TOKEN_UNREADABLE") from error
        answer = await call(method, request, timeout=_TIMEOUT)
        return AccessToken(
            text=answer.access_token, expires_at=answer.expires_at.ToNanoseconds() / 1e9
        )

    return exchange
