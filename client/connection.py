"""Connections to the five services, by a certificate or by an API token."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from client.tokens import AccessTokens, exchange_at
from libs.common.errors import UnauthenticatedError
from libs.common.grpc.client import call, open_channel, open_nameless_channel, stream
from libs.common.grpc.tls import CertificateError, TlsFiles, Transport, transport_of

if TYPE_CHECKING:
    import grpc

Request = TypeVar("Request")
Response = TypeVar("Response")

#: How every API token begins.
TOKEN_PREFIX = "kp_"  # noqa: S105  (what tokens begin with is no secret)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where the five services listen (host:port); with an API token, their TOKEN_PORT."""

    #: Poolers and farmers.
    registry: str = "127.0.0.1:50051"
    #: Blocks.
    wallet: str = "127.0.0.1:50052"
    #: Planting.
    plant: str = "127.0.0.1:50053"
    #: Nonces.
    work: str = "127.0.0.1:50054"
    #: Rewards.
    harvest: str = "127.0.0.1:50055"

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Targets":
        """Return the addresses that WALLET_TARGET and so on name; the default ones for the rest."""
        named = {name: environment.get(f"{name.upper()}_TARGET") for name in cls().by_name()}
        return cls(**{name: target for name, target in named.items() if target})

    def by_name(self) -> dict[str, str]:
        """Return the addresses by the services' names."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, kw_only=True)
class TokenFiles:
    """An API token, or a login token, in place of a certificate."""

    #: File with the token and nothing else; read at each exchange.
    token: Path
    #: Certificates of the authorities whose word about the services counts (PEM).
    authority: Path

    @classmethod
    def both_of(cls, token: Path, authority: Path | None) -> "TokenFiles":
        """Return the two files as a command was told them. Raise CertificateError."""
        if authority is None:
            raise CertificateError("give --tls-ca-file (TLS_CA_FILE) with --token-file")
        return cls(token=token, authority=authority)

    def read(self) -> bytes:
        """Return the authorities' certificates. Raise CertificateError when a file is of no use."""
        self.read_token()
        return _read(self.authority)

    def read_token(self) -> str:
        """Return the API token. Raise CertificateError when the file holds none."""
        text = _read(self.token).decode("utf-8", "replace").strip()
        # A login token is a JSON Web Token: three parts between dots.
        if not text.startswith(TOKEN_PREFIX) and text.count(".") != 2:
            raise CertificateError(f"{self.token} holds no API token ({TOKEN_PREFIX}...)")
        return text


@dataclass(frozen=True, kw_only=True)
class Nobody:
    """Neither certificate nor token: for who logs in, by calls that are for strangers."""

    #: Certificates of the authorities whose word about the services counts (PEM).
    authority: Path

    def read(self) -> bytes:
        """Return the authorities' certificates. Raise CertificateError when the file is away."""
        return _read(self.authority)


class Connections:
    """Channels to the services, and what calls over them show."""

    def __init__(
        self,
        channels: "Mapping[str, grpc.aio.Channel]",
        tokens: AccessTokens | None = None,
    ) -> None:
        """Take channels by the services' names; `tokens` is None where certificates name us."""
        #: Channels by the services' names.
        self.channels = channels
        self._tokens = tokens

    @property
    def by_token(self) -> bool:
        """Tell whether calls show an access token."""
        return self._tokens is not None

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        timeout: float,
    ) -> Response:
        """Call a unary method, within `timeout` seconds; raise the PoolError of the service.

        An access token that the service refuses is replaced once: nothing was done with it.
        """
        if self._tokens is None:
            return await call(method, request, timeout=timeout)
        shown = await self._tokens.current()
        try:
            return await call(method, request, timeout=timeout, metadata=_bearer(shown))
        except UnauthenticatedError:
            self._tokens.forget(shown)
        fresh = await self._tokens.current()
        return await call(method, request, timeout=timeout, metadata=_bearer(fresh))

    async def stream(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
        *,
        timeout: float | None = None,
    ) -> AsyncGenerator[Response, None]:
        """Call a streaming method and yield its responses; raise the PoolError of the service.

        A service ends a stream when the access token that began it has ended.
        """
        shown = "" if self._tokens is None else await self._tokens.current()
        metadata = _bearer(shown) if shown else ()
        messages = stream(method, request, timeout=timeout, metadata=metadata)
        try:
            async with aclosing(messages):
                async for message in messages:
                    yield message
        except UnauthenticatedError:
            if self._tokens is not None:
                self._tokens.forget(shown)
            raise


@asynccontextmanager
async def open_connections(
    targets: Mapping[str, str], caller: Transport | TokenFiles | Nobody
) -> AsyncIterator[Connections]:
    """Open a channel to each target, which connects when it is used.

    Raise CertificateError when a file of a token cannot be used.
    """
    async with AsyncExitStack() as stack:
        if isinstance(caller, Transport):
            channels = {
                name: await stack.enter_async_context(open_channel(target, caller, name=name))
                for name, target in targets.items()
            }
            yield Connections(channels)
            return
        authority = caller.read()
        channels = {
            name: await stack.enter_async_context(
                open_nameless_channel(target, authority, name=name)
            )
            for name, target in targets.items()
        }
        if isinstance(caller, Nobody):
            yield Connections(channels)
            return
        tokens = AccessTokens(exchange_at(channels["wallet"], caller.read_token))
        stack.push_async_callback(tokens.aclose)
        yield Connections(channels, tokens)


def caller_of_environment(
    environment: Mapping[str, str] = os.environ,
) -> Transport | TokenFiles:
    """Return who calls, by the variables that `kalepool` has: TLS_CERT_FILE, KALEPOOL_TOKEN_FILE.

    Raise CertificateError when they name nobody, or a file cannot be used.
    """
    paths = {
        name: Path(environment[name])
        for name in ("KALEPOOL_TOKEN_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")
        if environment.get(name)
    }
    if "KALEPOOL_TOKEN_FILE" in paths:
        return TokenFiles.both_of(paths["KALEPOOL_TOKEN_FILE"], paths.get("TLS_CA_FILE"))
    files = (paths.get(name) for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"))
    otherwise = "set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE"
    return transport_of(TlsFiles.all_of(*files, otherwise=otherwise))


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error
