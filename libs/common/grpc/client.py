"""Typed calls of other services: deadlines passed on, errors restored, streams closed."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc

from libs.common.errors import DeadlineExceededError
from libs.common.grpc.deadlines import remaining
from libs.common.grpc.errors import from_rpc_error
from libs.common.grpc.renewing import Options, RenewingChannel
from libs.common.grpc.tls import PLAINTEXT, Transport
from libs.common.grpc.trace import passed_on
from libs.common.local import is_local

Request = TypeVar("Request")
Response = TypeVar("Response")
#: Pairs of name and value that go with a call.
Metadata = Sequence[tuple[str, str]]

#: With these a peer that restarts is found again within a second, and a dead connection is noticed.
_OPTIONS: Options = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    # In spite of its name, how long one try may take at least, TLS included: a peer that is busy,
    # or beset by strangers, needs more than the 100 ms after which the next try would begin.
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


def _options(target: str, name: str = "") -> Options:
    """Return the options of a channel to a service of this name.

    A proxy (http_proxy, https_proxy) leads away from this machine: no channel to itself goes there.
    """
    options = _OPTIONS
    if is_local(target):
        options = (*options, ("grpc.enable_http_proxy", 0))
    if name:
        options = (*options, ("grpc.ssl_target_name_override", name))
    return options


@asynccontextmanager
async def open_channel(
    target: str, transport: Transport = PLAINTEXT, *, name: str = ""
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to `host:port`; it connects when it is used, and again whenever it must.

    With mutual TLS the other side has to show that it is the service `name`.
    """
    if transport.certificates is None:
        async with grpc.aio.insecure_channel(target, options=_options(target)) as channel:
            yield channel
        return
    options = _options(target, name)
    async with RenewingChannel(target, transport.certificates, options) as renewing:
        yield renewing


@asynccontextmanager
async def open_nameless_channel(
    target: str, authority: bytes, *, name: str
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel over TLS that shows no certificate of ours: each call has an access token.

    The other side has to show that it is the service `name`, by the word of `authority` (PEM).
    """
    credentials = grpc.ssl_channel_credentials(root_certificates=authority)
    options = _options(target, name)
    async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
        yield channel


async def call(
    method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]",
    request: Request,
    *,
    timeout: float,
    metadata: Metadata = (),
) -> Response:
    """Call a unary method; raise the PoolError that the peer raised.

    `timeout` (s) is the method's cap; the caller's own deadline shortens it.
    """
    seconds = _affordable(timeout)
    try:
        return await method(request, timeout=seconds, metadata=_metadata(metadata))
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def stream(
    method: "grpc.aio.UnaryStreamMultiCallable[Request, Response]",
    request: Request,
    *,
    timeout: float | None,
    metadata: Metadata = (),
) -> AsyncGenerator[Response, None]:
    """Call a streaming method and yield its responses; raise the PoolError that the peer raised.

    `timeout` None is for streams without an end. Leaving the loop early cancels the call.
    """
    seconds = None if timeout is None else _affordable(timeout)
    started = method(request, timeout=seconds, metadata=_metadata(metadata))
    try:
        async for response in started:
            yield response
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    finally:
        started.cancel()


def _affordable(timeout: float) -> float:
    seconds = remaining(timeout)
    if seconds <= 0:
        raise DeadlineExceededError("the call's time is over; what was accepted goes on")
    return seconds


def _metadata(own: Metadata) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*passed_on(), *own)
