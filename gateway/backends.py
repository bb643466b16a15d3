"""Calls of the services: by an access token, or for what is public by the gateway's certificate."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from kalepool.wallet.v1 import login_pb2, login_pb2_grpc, token_pb2, token_pb2_grpc

from gateway.auth import Credentials
from gateway.bindings import EVERYWHERE, Method
from gateway.errors import NoServiceError
from libs.common.errors import DeadlineExceededError, UnavailableError
from libs.common.grpc.client import open_channel
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.tls import Transport
from libs.common.grpc.trace import passed_on
from libs.http.request import ClientGoneError

#: Seconds that one service gets to answer what any service can.
_ANY = 3.0
#: Seconds of an exchange of a token.
_EXCHANGE = 10.0
#: Seconds of a step of a login: nodes are asked who signs for the account.
_LOGIN = 20.0

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """For whom a service is called."""

    #: The token's; None: nobody's, and the gateway's certificate counts.
    credentials: Credentials | None
    #: The address that the request came from, for records.
    address: str

    def metadata(self) -> grpc.aio.Metadata:
        """Return the metadata of a call."""
        pairs = [*passed_on(), ("x-forwarded-for", self.address)]
        if self.credentials is not None:
            pairs.append(("authorization", f"Bearer {self.credentials.access_token}"))
        return grpc.aio.Metadata(*pairs)


class Backends:
    """Channels to the services, and the methods that are called over them."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], *, timeout: float) -> None:
        """Take a channel by each service's short name, and the seconds of a call at most."""
        self.channels = channels
        self._timeout = timeout
        self._tokens = token_pb2_grpc.TokenServiceStub(channels["wallet"])
        self._logins: login_pb2_grpc.LoginServiceAsyncStub = login_pb2_grpc.LoginServiceStub(
            channels["wallet"]
        )
        self._callables: dict[tuple[str, str], Any] = {}

    async def call(
        self, method: Method, request: Message, caller: Caller, gone: "Gone | None" = None
    ) -> Message:
        """Call a method that answers once; raise the PoolError that the service raised.

        Raise ClientGoneError when nobody waits for the answer any more.
        """
        if method.served_by != EVERYWHERE:
            return await self._call(
                method, method.served_by, request, caller, gone=gone, timeout=self._timeout
            )
        for name in self.channels:
            try:
                return await self._call(method, name, request, caller, gone=gone, timeout=_ANY)
            except (UnavailableError, DeadlineExceededError):
                continue
        raise NoServiceError("no service answers", retry_after=1.0)

    async def _call(
        self,
        method: Method,
        service: str,
        request: Message,
        caller: Caller,
        *,
        gone: "Gone | None",
        timeout: float,
    ) -> Message:
        begun = self._callable(method, service)(
            request, timeout=timeout, metadata=caller.metadata()
        )
        if gone is not None:
            gone.ends(begun.cancel)
        try:
            response: Message = await begun
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            if gone is not None and gone.is_so:
                raise ClientGoneError from None
            raise
        return response

    async def stream(
        self, method: Method, request: Message, caller: Caller
    ) -> AsyncGenerator[Message, None]:
        """Call a method that streams; yield its responses, raise the PoolError that it raised.

        Leaving the loop early cancels the call.
        """
        begun = self._callable(method, method.served_by)(request, metadata=caller.metadata())
        try:
            async for response in begun:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            begun.cancel()

    async def exchange(self, token: str) -> token_pb2.ExchangeTokenResponse:
        """Exchange an API token; raise the PoolError that wallet raised."""
        request = token_pb2.ExchangeTokenRequest(token=token)
        try:
            return await self._tokens.ExchangeToken(
                request, timeout=_EXCHANGE, metadata=grpc.aio.Metadata(*passed_on())
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def get_login(self) -> login_pb2.GetLoginResponse:
        """Read what wallets have to know; raise the PoolError that wallet raised."""
        return await _login(self._logins.GetLogin, login_pb2.GetLoginRequest(), "")

    async def start_login(
        self, request: login_pb2.StartLoginRequest, address: str
    ) -> login_pb2.StartLoginResponse:
        """Have wallet make a challenge; raise the PoolError that it raised."""
        return await _login(self._logins.StartLogin, request, address)

    async def finish_login(
        self, request: login_pb2.FinishLoginRequest, address: str
    ) -> login_pb2.FinishLoginResponse:
        """Have wallet judge a challenge that was signed; raise the PoolError that it raised."""
        return await _login(self._logins.FinishLogin, request, address)

    def _callable(self, method: Method, service: str) -> Any:
        key = (method.path, service)
        found = self._callables.get(key)
        if found is None:
            channel = self.channels[service]
            make = channel.unary_unary if method.resume is None else channel.unary_stream
            found = self._callables[key] = make(
                method.path,
                request_serializer=method.request_class.SerializeToString,
                response_deserializer=method.response_class.FromString,
            )
        return found


async def _login(
    method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
    request: RequestT,
    address: str,
) -> ResponseT:
    """Call wallet for who has nothing to show yet, and comes from an address."""
    metadata = Caller(credentials=None, address=address).metadata()
    try:
        return await method(request, timeout=_LOGIN, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


class Gone:
    """The look-out for a caller who closes the connection before the answer is there."""

    def __init__(self) -> None:
        #: Whether the caller is gone.
        self.is_so = False
        self._cancel: Callable[[], object] | None = None

    def ends(self, cancel: Callable[[], object]) -> None:
        """Have the caller's going away end a call: the newest one, and it alone."""
        self._cancel = cancel
        if self.is_so:
            cancel()

    def notice(self) -> None:
        """Note that the caller is gone; end the call that is made for it."""
        self.is_so = True
        if self._cancel is not None:
            self._cancel()


@asynccontextmanager
async def open_backends(
    targets: Mapping[str, str], transport: Transport, *, timeout: float
) -> AsyncIterator[Backends]:
    """Open a channel to each service; channels connect when they are used."""
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(open_channel(target, transport, name=name))
            for name, target in targets.items()
        }
        yield Backends(channels, timeout=timeout)
