"""HTTP to one Stellar node.

The transport handles what nodes do: they close idle connections, ask not to be called for a while,
and send anything of any size.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp

from libs.common.errors import PoolError
from services.wallet.chain.errors import RpcBusyError, RpcTooLargeError, RpcUnavailableError
from services.wallet.chain.node.bodies import BodyError, NoJsonError, Turns, parse, reason_in
from services.wallet.chain.node.bounds import bounds_of

T = TypeVar("T")

#: Connections to one endpoint at most; each endpoint has its own, so a slow one blocks no other.
_CONNECTIONS = 64
#: Seconds that a connection is kept: stellar-rpc closes idle ones after 5.
_KEPT = 3.0
#: Bytes that wait in a connection until they are read; twice as many at most.
_BUFFER = 32 * 2**10
#: Bytes of a body from which on it is decoded in another thread than the event loop.
_LARGE = 64 * 2**10
#: HTTP statuses of a server that does not take a list of calls, or not such a long one.
_NO_LIST = frozenset({400, 405, 413, 415, 422, 501})
_TOO_MANY, _UNAVAILABLE = 429, 503
#: Bounds of the seconds for which a node may ask not to be called.
_SHORTEST_REST, _LONGEST_REST = 1.0, 30.0
#: Characters of a secret in the URL at least: shorter parts are names.
_SECRET = 4
#: Errors of the connection.
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)

#: Decodes large answers, one at a time: this bounds the memory that decoding takes, and the event
#: loop goes on meanwhile.
_decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chain-decoder")


class ListRefusedError(Exception):
    """The server does not take this list of calls; none of its calls was carried out."""


class Transport:
    """The POST requests to one URL, which is never shown: the URL may hold a secret."""

    def __init__(
        self,
        sessions: tuple[aiohttp.ClientSession, aiohttp.ClientSession],
        url: str,
        host: str,
        room: asyncio.Semaphore,
    ) -> None:
        """Create a transport.

        `sessions` are one session that keeps its connections, and one that has a fresh connection
        each time. `room` is for large answers and shared with other nodes.
        """
        session, fresh = sessions
        self._session = session
        self._fresh = fresh
        self._url = url
        self._host = host
        self._secrets = _secrets_in(url)
        self._turns = Turns(room)

    async def ask(
        self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool = False
    ) -> T:
        """Return what `read` makes of the parsed answer; `read` may run in another thread.

        Raises RpcUnavailableError, RpcTooLargeError or RpcBusyError. Raises ListRefusedError when
        the failure is due to several calls in the request.
        """
        try:
            return await self._ask(method, body, read, is_list=is_list)
        except BodyError as error:
            failure: PoolError = self._too_large(method, str(error))
        except NoJsonError as error:
            failure = self.silent(method, f"no JSON ({error})")
        except PoolError as error:
            failure = error
        except (*_BROKEN, ValueError, MemoryError) as error:
            failure = self.silent(method, f"no answer ({type(error).__name__})")
        # The traceback has the answer, which may be large, and callers keep the failure for a time.
        failure.__context__ = None
        raise failure.with_traceback(None)

    async def _ask(self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool) -> T:
        bounds = bounds_of(method)
        async with await self._sent(body) as response:
            await self._check_status(response, method, is_list=is_list)
            async with self._turns.reading(response, bounds) as answer:
                work = partial(_work, partial(parse, answer, bounds), read)
                if len(answer) < _LARGE:
                    return work()
                return await asyncio.get_running_loop().run_in_executor(_decoder, work)

    async def get(self, url: str) -> int:
        """Return the status of a plain GET to another address; the body of the answer is
        ignored."""
        try:
            async with self._fresh.get(url) as response:
                return response.status
        except _BROKEN as error:
            raise RpcUnavailableError(f"{url.partition('?')[0]} does not answer") from error

    def silent(self, method: str, what: str) -> RpcUnavailableError:
        """Return the error that says that there was no answer."""
        return RpcUnavailableError(self._text(method, what), retry_after=1.0)

    def clean(self, words: str) -> str:
        """Return a node's words, or empty text when they show a part of the URL."""
        return "" if any(secret in words for secret in self._secrets) else words

    def _too_large(self, method: str, why: str) -> RpcTooLargeError:
        what = f"an answer that is not read to its end ({why})"
        return RpcTooLargeError(self._text(method, what), retry_after=1.0)

    def _text(self, method: str, what: str) -> str:
        return f"the Stellar node {self._host} gave {what} to {method}"

    async def _sent(self, body: bytes) -> aiohttp.ClientResponse:
        """Return the beginning of the answer.

        Every request may be sent twice. So a request that met the close of a kept connection is
        sent again on a fresh one.
        """
        try:
            return await self._session.post(self._url, data=body, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise  # there is no server
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return await self._fresh.post(self._url, data=body, allow_redirects=False)

    async def _check_status(
        self, response: aiohttp.ClientResponse, method: str, *, is_list: bool
    ) -> None:
        if response.status == 200:
            return
        if response.status in _NO_LIST and is_list:
            raise ListRefusedError
        words = self.clean(await reason_in(response))
        reason = f"HTTP {response.status}{': ' if words else ''}{words[:200]}"
        rest = _rest_in(response)
        if rest is not None:
            text = self._text(method, f"no answer, asks for {rest:.0f} s of rest ({reason})")
            raise RpcBusyError(text, retry_after=rest)
        raise self.silent(method, f"no answer ({reason})")


def _work(parsed: Callable[[], Any], read: Callable[[Any], T]) -> T:
    return read(parsed())


def _rest_in(response: aiohttp.ClientResponse) -> float | None:
    """Return the seconds for which the node asks not to be called; None when it does not ask."""
    if response.status not in {_TOO_MANY, _UNAVAILABLE}:
        return None
    seconds = _seconds(response.headers.get("Retry-After", "").strip())
    if seconds is None:
        return _SHORTEST_REST if response.status == _TOO_MANY else None
    return min(_LONGEST_REST, max(_SHORTEST_REST, seconds))


def _seconds(text: str) -> float | None:
    """Parse a Retry-After header: seconds, or an HTTP date; None when it is neither."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()


def _secrets_in(url: str) -> list[str]:
    """Return the parts of a URL that nobody may see, as they stand and decoded."""
    parts = urlsplit(url)
    found = [*parts.path.split("/"), *parts.query.replace("=", "&").split("&")]
    found += [parts.username or "", parts.password or ""]
    return [text for part in found for text in {part, unquote(part)} if len(text) >= _SECRET]


@asynccontextmanager
async def open_transport(
    url: str, host: str, *, timeout: float, room: asyncio.Semaphore
) -> AsyncIterator[Transport]:
    """Open a transport with kept-alive connections.

    `timeout` (s) is for one request, its body included.
    """

    def session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout),
            connector=connector,
            headers={"Content-Type": "application/json", "Accept-Encoding": "gzip"},
            auto_decompress=False,
            read_bufsize=_BUFFER,
        )

    kept = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEPT)
    single = aiohttp.TCPConnector(limit=_CONNECTIONS, force_close=True)
    async with session(kept) as first, session(single) as second:
        yield Transport((first, second), url, host, room)
