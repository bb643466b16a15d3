"""The HTTP server: uvicorn, with limits on connections that say nothing, or take nothing."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.config import GatewaySettings
from gateway.errors import problem_of
from gateway.writer import to_json
from libs.common.descriptors import connections_for_callers, limit
from libs.common.errors import InvalidArgumentError
from libs.common.log import get_logger

log = get_logger(__name__)
#: Bytes of the head of a request at most: a query may have a thousand ids.
_HEAD = 65_536
#: Open files that are kept for calls of services.
_FOR_SERVICES = 100
#: Connections that the system holds for us until we take them.
_BACKLOG = 2048
#: Seconds in which a connection has to be through with TLS.
_HANDSHAKE = 10.0
#: Seconds between two looks at the files of the certificate.
_LOOK = 10.0


class _Connection(H11Protocol):
    """One connection, with limits on what it may leave out."""

    #: Connections at most.
    most: ClassVar[int]
    #: Seconds in which the head of a request has to come.
    head_seconds: ClassVar[float]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        # Handlers find it in the state of their scope.
        self.app_state = {**self.app_state, "abort": self._abort}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or close it when there are too many (asyncio's hook)."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection (asyncio's hook)."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the head of a request has to be whole in time (asyncio's hook)."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def on_response_complete(self) -> None:
        """Wait for the next request (uvicorn's hook)."""
        super().on_response_complete()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose other side takes nothing (uvicorn's hook)."""
        if self.transport.get_write_buffer_size():
            self._abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP (uvicorn's hook)."""
        error = InvalidArgumentError("this is no HTTP", reason="MALFORMED_HTTP")
        body = to_json(problem_of(error, instance="", request_id=""))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        has_begun = self.cycle is not None and self.cycle.response_started
        if not has_begun or self.cycle.response_complete:
            self.transport.write(head + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _abort(self) -> None:
        self.transport.abort()


def protocol_of(settings: GatewaySettings) -> type[H11Protocol]:
    """Return the class of connections, which has the settings' limits."""

    class Connection(_Connection):
        most = connections_for_callers(settings.max_connections, database=_FOR_SERVICES, of=limit())
        head_seconds = settings.head_timeout_ms / 1000

    return Connection


class _Server(uvicorn.Server):
    """uvicorn's server, whose process is ended by us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process (uvicorn's hook)."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen (uvicorn's hook): with a time for TLS, which uvicorn does not set."""
        loop = asyncio.get_running_loop()
        handshake = _HANDSHAKE if self.config.ssl else None

        def connection() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop
            )
            return made

        self.servers = [
            await loop.create_server(
                connection,
                sock=one,
                ssl=self.config.ssl,
                backlog=_BACKLOG,
                ssl_handshake_timeout=handshake,
            )
            for one in sockets or []
        ]
        self.started = True


@asynccontextmanager
async def open_http(app: Any, settings: GatewaySettings) -> AsyncIterator[int]:
    """Serve an ASGI application while the block runs; yield the port. Then let requests end."""
    # Its lines about strangers' bytes would be as many as strangers like.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=protocol_of(settings),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, settings.keep_alive_ms // 1000),
        timeout_graceful_shutdown=max(1, settings.shutdown_grace_ms // 1000),
        h11_max_incomplete_event_size=_HEAD,
        ssl_certfile=settings.gateway_tls_cert_file,
        ssl_keyfile=settings.gateway_tls_key_file,
    )
    config.load()
    listener = _listen(settings.host, settings.port)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    renewing = asyncio.create_task(_renew(config.ssl, settings))
    try:
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.01)
        yield int(listener.getsockname()[1])
    finally:
        renewing.cancel()
        server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    """Take the port; raise OSError when another process has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def _renew(context: ssl.SSLContext | None, settings: GatewaySettings) -> None:
    """Take up renewed files of the certificate; new connections are shown them."""
    certificate, key = settings.gateway_tls_cert_file, settings.gateway_tls_key_file
    if context is None or certificate is None or key is None:
        return
    shown = _marks(certificate, key)
    while True:
        await asyncio.sleep(_LOOK)
        marks = _marks(certificate, key)
        if marks is None or marks == shown:
            continue
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            log.warning("certificate not renewed", error=str(error))
            continue
        shown = marks
        log.info("certificate renewed", file=str(certificate))


def _marks(*paths: Path) -> list[tuple[int, int]] | None:
    try:
        return [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]
    except OSError:
        return None
