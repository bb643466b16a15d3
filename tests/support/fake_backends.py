"""Services that answer as a test says, over mutual TLS, for tests of the gateway.

One server stands for all five. It admits the gateway's certificate alone, and holds calls against
the access token that the fake TokenService gave: like the services, but for the signature.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import token_pb2

from libs.common.authority import CERTIFICATE_FILE, make_authority
from libs.common.errors import PermissionDeniedError, PoolError, UnauthenticatedError
from libs.common.grpc.errors import to_status
from libs.common.grpc.identity import CallerKind, parse_identity, uris_of
from libs.common.grpc.rpcs import services
from libs.common.grpc.tls import TlsFiles, transport_of
from libs.common.names import SERVICES

DOMAIN = "kalepool"
POOLER = "0190a5f0-0000-7000-8000-000000000001"
FARMER = "0190a5f0-0000-7000-8000-000000000002"
#: Tokens that the fake TokenService knows.
OPERATOR_TOKEN = "kp_" + "o" * 43
POOLER_TOKEN = "kp_" + "p" * 43
#: Tokens of owner accounts that have logged in.
ACCOUNTS = ("G" + "A" * 55, "G" + "B" * 55)
LOGIN_TOKENS = tuple(f"{'h' * 60}.{account * 4}.{'s' * 86}" for account in ACCOUNTS)
#: An account that is one, and its login token.
ACCOUNT = "GABXLH7NA4UHS3OQQ34SJZ5CT42LUIR7ZZOIOH35W6BKON5KMZ3NQAOQ"
OWNER_TOKEN = f"{'h' * 60}.{ACCOUNT * 4}.{'s' * 86}"
SUBJECTS = {
    OPERATOR_TOKEN: f"spiffe://{DOMAIN}/operator/ann",
    POOLER_TOKEN: f"spiffe://{DOMAIN}/pooler/{POOLER}",
    OWNER_TOKEN: f"spiffe://{DOMAIN}/owner/{ACCOUNT}",
    **{
        token: f"spiffe://{DOMAIN}/owner/{account}"
        for token, account in zip(LOGIN_TOKENS, ACCOUNTS, strict=True)
    },
}
#: What the gateway's own certificate may call.
PUBLIC = (
    *("GetInfo", "GetStatus", "GetBlock", "WatchBlocks", "ExchangeToken"),
    *("GetPoolSummary", "GetFarmerSummary", "ListBlockReports", "GetBlockReport"),
    *("ListPublicPoolers", "GetAgreementRules"),
    *("GetLogin", "StartLogin", "FinishLogin"),
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that arrived."""

    #: Full name of the method.
    method: str
    #: Its request.
    request: Any
    #: Its metadata.
    metadata: Mapping[str, str]
    #: The token's subject; the gateway's own name without a token.
    identity: str


#: Answers a call: a message, or a list of messages for a stream. May raise a PoolError.
Answer = Callable[[Any], Any]


@dataclass(kw_only=True)
class FakePool:
    """What the services answer, and what they were asked."""

    #: Where they listen (host:port).
    target: str = ""
    #: The gateway's certificate.
    files: TlsFiles | None = None
    #: By short name of the method; others answer an empty message.
    answers: dict[str, Answer] = field(default_factory=dict)
    #: Calls that arrived, without those of health checks.
    calls: list[Call] = field(default_factory=list)
    #: Seconds for which access tokens are given.
    life: float = 60.0
    #: Tokens that count no more.
    revoked: set[str] = field(default_factory=set)
    #: Streams that are open, and how many were.
    open_streams: int = 0
    streams: int = 0
    #: Access tokens that were given, with their subjects.
    given: dict[str, str] = field(default_factory=dict)

    def asked(self, method: str) -> list[Call]:
        """Return the calls of one method."""
        return [call for call in self.calls if call.method.endswith(f"/{method}")]

    def exchange(self, request: token_pb2.ExchangeTokenRequest) -> Message:
        """Answer as wallet's TokenService does."""
        subject = SUBJECTS.get(request.token)
        if subject is None or request.token in self.revoked:
            raise UnauthenticatedError("no such token", reason="TOKEN_UNKNOWN")
        access = secrets.token_urlsafe(24)
        self.given[access] = subject
        answer = token_pb2.ExchangeTokenResponse(
            access_token=access, info=token_pb2.TokenInfo(subject=subject)
        )
        answer.expires_at.FromMilliseconds(round((time.time() + self.life) * 1000))
        return answer

    def identify(self, method: str, context: Any, metadata: Mapping[str, str]) -> str:
        """Return who calls; raise as a service does for who may not."""
        (leaf,) = context.auth_context()["x509_pem_cert"]
        (uri,) = uris_of(leaf)
        caller = parse_identity(uri, trust_domain=DOMAIN)
        if (caller.kind, caller.name) != (CallerKind.SERVICE, "gateway"):
            raise PermissionDeniedError("only the gateway", reason="ACCESS_DENIED")
        authorization = metadata.get("authorization")
        if authorization is not None:
            subject = self.given.get(authorization.removeprefix("Bearer "))
            if subject is None:
                raise UnauthenticatedError("a wrong access token", reason="TOKEN_INVALID")
            return subject
        if not method.endswith(tuple(f"/{name}" for name in PUBLIC)):
            raise PermissionDeniedError("not without a token", reason="ACCESS_DENIED")
        return uri


class _Handler(grpc.GenericRpcHandler):
    """Handlers for every RPC of the pool, and for health."""

    def __init__(self, pool: FakePool) -> None:
        self._pool = pool
        self._methods = {
            f"/{service.full_name}/{method.name}": method
            for service in services()
            for method in service.methods
        }

    def service(self, details: Any) -> Any:
        """Return the handler of a method (grpc's hook)."""
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(
                self._health,
                request_deserializer=health_pb2.HealthCheckRequest.FromString,
                response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
            )
        method = self._methods.get(details.method)
        if method is None:
            return None
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        codecs: dict[str, Any] = {
            "request_deserializer": request_class.FromString,
            "response_serializer": response_class.SerializeToString,
        }
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(details.method, response_class), **codecs
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(details.method, response_class), **codecs
        )

    async def _health(self, request: Any, context: Any) -> Any:
        statuses = health_pb2.HealthCheckResponse
        return statuses(status=statuses.SERVING)

    def _unary(self, method: str, response_class: Any) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            try:
                answer = self._answer(method, request, context, response_class)
                return await answer if asyncio.iscoroutine(answer) else answer
            except PoolError as error:
                await context.abort_with_status(to_status(error))

        return handle

    def _stream(self, method: str, response_class: Any) -> Any:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            self._pool.open_streams += 1
            self._pool.streams += 1
            try:
                async for one in self._answer(method, request, context, response_class):
                    yield one
            except PoolError as error:
                await context.abort_with_status(to_status(error))
            finally:
                self._pool.open_streams -= 1

        return handle

    def _answer(self, method: str, request: Any, context: Any, response_class: Any) -> Any:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        identity = self._pool.identify(method, context, metadata)
        self._pool.calls.append(
            Call(method=method, request=request, metadata=metadata, identity=identity)
        )
        name = method.rpartition("/")[2]
        if name == "ExchangeToken":
            return self._pool.exchange(request)
        answer = self._pool.answers.get(name)
        return response_class() if answer is None else answer(request)


@asynccontextmanager
async def open_fake_pool(folder: Path) -> AsyncIterator[FakePool]:
    """Run the server while the block runs; the gateway's certificate is in the folder."""
    authority = make_authority(DOMAIN)
    authority.save(folder)
    shown = {}
    for name, addresses in (("gateway", ()), ("wallet", SERVICES)):
        issued = authority.issue(CallerKind.SERVICE, name, addresses=addresses)
        certificate, key = issued.save(folder, name)
        shown[name] = TlsFiles(
            certificate=certificate, key=key, authority=folder / CERTIFICATE_FILE
        )
    pool = FakePool(files=shown["gateway"])
    server = grpc.aio.server(handlers=[_Handler(pool)])
    certificates = transport_of(shown["wallet"]).certificates
    assert certificates is not None
    port = server.add_secure_port("127.0.0.1:0", certificates.server_credentials())
    await server.start()
    pool.target = f"127.0.0.1:{port}"
    try:
        yield pool
    finally:
        await server.stop(0)


def info_answer(_: Any) -> Message:
    """Return what GetInfo answers."""
    return common_pb2.GetInfoResponse(
        service="registry",
        version="0.1.0",
        network=common_pb2.NetworkInfo(type="testnet", kale_contract_id="CTEST"),
        limits=common_pb2.Limits(max_farmers=1000, rate_limit_per_minute=100),
        uptime_seconds=86400,
    )
