"""HTTP to the receivers of webhooks: hosts that anybody may name, and that owe us nothing.

Whoever has a webhook chooses where registry calls. So the address is looked at that a connection
goes to, after the name was asked for, for the last time; nothing is followed, nothing of an answer
but its head is read, and no connection is kept.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from libs.common.version import VERSION
from services.registry.domain.deliveries import LONGEST_REST, Outcome
from services.registry.domain.webhooks import is_public

#: Bytes that are read of an answer before its status is known to us; the rest is not taken.
_BUFFER = 4096
#: Bytes of one line of an answer's head, and its lines at most.
_LINE, _LINES = 4096, 64


class ClosedAddressError(OSError):
    """The address is none that webhooks may be sent to."""

    def __init__(self) -> None:
        super().__init__("the host has no public address")


class _Resolver(AbstractResolver):
    """Asks for names in threads of its own: a name server that does not answer holds up nobody."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name (aiohttp's hook)."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=number,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, number, _, address in found
        ]

    async def close(self) -> None:
        """Do nothing (aiohttp's hook)."""


def _open_socket(info: tuple[Any, ...]) -> socket.socket:
    """Return a socket for a connection to an address, unless the address is closed to webhooks."""
    family, kind, number, _, address = info
    if not is_public(str(address[0])):
        raise ClosedAddressError
    return socket.socket(family=family, type=kind, proto=number)


class Receivers:
    """The requests to receivers."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send a body; return what it met, whatever that was."""
        try:
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                rest = _seconds(response.headers.get("Retry-After", ""))
                return Outcome(status=response.status, retry_after=rest)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(error=_told(error))


def _told(error: Exception) -> str:
    """Return in words why there was no answer, for the webhook's owner."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ClosedAddressError):
        return str(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host has no address"
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return "TLS: the receiver has no certificate that counts for its name"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    return "no sound answer"


def _seconds(text: str) -> float:
    """Return the seconds for which a receiver asks to be left alone, or 0."""
    text = text.strip()
    return min(float(text), LONGEST_REST) if text.isascii() and text.isdigit() else 0.0


@asynccontextmanager
async def open_receivers(
    *, timeout: float, at_once: int, allow_private: bool, authority: Path | None
) -> AsyncIterator[Receivers]:
    """Open the client of receivers.

    `timeout` (s) is for one request with all that belongs to it; `at_once` are made at a time at
    most. `authority` are certificates that vouch for receivers, beside the system's.
    `allow_private` lets requests go anywhere.
    """
    trusted = ssl.create_default_context()
    if authority is not None:
        trusted.load_verify_locations(cafile=authority)
    threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="receiver-names")
    connector = aiohttp.TCPConnector(
        limit=at_once,
        force_close=True,
        use_dns_cache=False,
        resolver=_Resolver(threads),
        socket_factory=None if allow_private else _open_socket,
        ssl=trusted,
    )
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout),
            headers={"User-Agent": f"kalepool/{VERSION}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_BUFFER,
            max_line_size=_LINE,
            max_field_size=_LINE,
            max_headers=_LINES,
            trust_env=False,
        ) as session:
            yield Receivers(session)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
