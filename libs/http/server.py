"""The HTTP server: uvicorn, with limits on connections that say nothing, or take nothing."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn

from libs.common.descriptors import connections_for_callers, limit
from libs.common.log import get_logger
from libs.http.connection import Connection
from libs.http.listener import Listener

log = get_logger(__name__)
#: Open files that are kept for calls of services.
_FOR_SERVICES = 100
#: Seconds in which a connection has to be through with TLS.
_HANDSHAKE = 10.0
#: Seconds between two looks at the files of the certificate.
_LOOK = 10.0


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How HTTP is served: where, by which certificate, and with which limits."""

    #: Address and port to listen on; port 0 lets the system choose.
    host: str
    port: int
    #: Certificate and private key (PEM), read again when they change; None: plain HTTP.
    certificate: Path | None
    key: Path | None
    #: Connections at most; one more is closed at once.
    max_connections: int
    #: Seconds in which a connection has to send the head of a request, once it has begun.
    head_seconds: float
    #: Seconds after which a connection without requests is closed.
    keep_alive_seconds: int
    #: Seconds that running requests get to end.
    grace_seconds: int


def protocol_of(settings: Serving) -> type[Connection]:
    """Return the class of connections, which has the settings' limits."""

    class Limited(Connection):
        most = connections_for_callers(settings.max_connections, database=_FOR_SERVICES, of=limit())
        head_seconds = settings.head_seconds

    return Limited


class _Server(uvicorn.Server):
    """uvicorn's server, whose process is ended by us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process (uvicorn's hook)."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen (uvicorn's hook): a few connections at a time, with a time for TLS."""
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop
            )
            return made

        listeners = [
            Listener(one, connection, context=self.config.ssl, handshake=_HANDSHAKE)
            for one in sockets or []
        ]
        for listener in listeners:
            listener.open()
        self.servers = cast("list[asyncio.Server]", listeners)
        self.started = True


@asynccontextmanager
async def open_http(app: Any, settings: Serving) -> AsyncIterator[int]:
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
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
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


async def _renew(context: ssl.SSLContext | None, settings: Serving) -> None:
    """Take up renewed files of the certificate; new connections are shown them."""
    certificate, key = settings.certificate, settings.key
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
