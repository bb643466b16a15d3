"""A fake pool whose callers have no certificates: calls show access tokens, as on a TOKEN_PORT."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.wallet.v1 import token_pb2

from client import Targets, TokenFiles
from libs.common.authority import make_authority
from libs.common.errors import PoolError, UnauthenticatedError, UnavailableError
from libs.common.grpc.errors import to_status
from libs.common.grpc.identity import CallerKind
from tests.support.fake_pool import FakePool

API_TOKEN = "kp_" + "A" * 43
EXCHANGE = "/kalepool.wallet.v1.TokenService/ExchangeToken"
#: Seconds that an access token lives.
LIFE = 60.0


@dataclass
class TokenPort:
    """The tokens that count, and who has asked for what."""

    #: API tokens that are known.
    api_tokens: set[str] = field(default_factory=lambda: {API_TOKEN})
    #: Access tokens that count now.
    access_tokens: set[str] = field(default_factory=set)
    #: Exchanges that were answered.
    exchanges: int = 0
    #: Whether exchanges are answered at all.
    is_away: bool = False
    #: Where it listens.
    targets: Targets = field(default_factory=Targets)
    #: The files of a caller.
    files: TokenFiles | None = None

    def exchange(self, request: token_pb2.ExchangeTokenRequest) -> token_pb2.ExchangeTokenResponse:
        """Give an access token."""
        if self.is_away:
            raise UnavailableError("no database")
        if request.token not in self.api_tokens:
            raise UnauthenticatedError("no such token", reason="TOKEN_UNKNOWN")
        self.exchanges += 1
        text = f"access-{self.exchanges}"
        self.access_tokens.add(text)
        expires_at = Timestamp(seconds=int(time() + LIFE))
        return token_pb2.ExchangeTokenResponse(access_token=text, expires_at=expires_at)

    def check(self, authorization: object) -> None:
        """Refuse a call that shows no access token that counts."""
        if str(authorization).removeprefix("Bearer ") not in self.access_tokens:
            raise UnauthenticatedError("the access token does not count", reason="BAD_TOKEN")


class _Guard(grpc.aio.ServerInterceptor):
    """Lets calls in that show an access token, and answers exchanges."""

    def __init__(self, port: TokenPort) -> None:
        self._port = port

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        """grpc's hook."""
        if details.method == EXCHANGE:
            return grpc.unary_unary_rpc_method_handler(
                self._exchange,
                request_deserializer=token_pb2.ExchangeTokenRequest.FromString,
                response_serializer=token_pb2.ExchangeTokenResponse.SerializeToString,
            )
        handler = await continuation(details)
        try:
            self._port.check(dict(details.invocation_metadata).get("authorization"))
        except PoolError as error:
            return _refusing(handler, error)
        return handler

    async def _exchange(
        self, request: token_pb2.ExchangeTokenRequest, context: Any
    ) -> token_pb2.ExchangeTokenResponse:
        try:
            return self._port.exchange(request)
        except PoolError as error:
            await context.abort_with_status(to_status(error))
            raise


def _refusing(handler: Any, error: PoolError) -> Any:
    async def unary(_request: Any, context: Any) -> Any:
        await context.abort_with_status(to_status(error))

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield await unary(request, context)

    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(unary)


@asynccontextmanager
async def open_token_port(pool: FakePool, folder: Path) -> AsyncIterator[TokenPort]:
    """Serve the pool to callers with tokens while the block runs."""
    authority = make_authority("kalepool")
    authority.save(folder)
    # One server stands for the five.
    names = ("registry", "plant", "work", "harvest", "127.0.0.1")
    issued = authority.issue(CallerKind.SERVICE, "wallet", addresses=names)
    port = TokenPort()
    server = grpc.aio.server(interceptors=[_Guard(port)])
    for name, methods in pool.services().items():
        service = f"kalepool.{name}.v1.{name.capitalize()}Service"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    own = grpc.ssl_server_credentials([(issued.key, issued.certificate)])
    target = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', own)}"
    port.targets = Targets(
        registry=target, wallet=target, plant=target, work=target, harvest=target
    )
    token = folder / "token"
    token.write_text(API_TOKEN + "\n", encoding="utf-8")
    port.files = TokenFiles(token=token, authority=folder / "ca.pem")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
