"""HTTP to one Stellar node, with the manners that nodes have: they close idle connections, ask to
be left alone for a while, and send anything of any size."""

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

#: Connections to one endpoint at most; each endpoint has its own, so that a slow one blocks none.
_CONNECTIONS = 64
#: Seconds that a connection is kept: stellar-rpc closes idle ones after 5.
_KEPT = 3.0
#: Bytes that wait in a connection until they are read, doubled at most.
_BUFFER = 32 * 2**10
#: Bytes of a body from which on it is decoded beside the event loop.
_LARGE = 64 * 2**10
#: HTTP statuses of a server that does not take a list of calls, or not so long a one.
_NO_LIST = frozenset({400, 405, 413, 415, 422, 501})
_TOO_MANY, _UNAVAILABLE = 429, 503
#: Seconds that a node may ask to be left alone for.
_SHORTEST_REST, _LONGEST_REST = 1.0, 30.0
#: Characters of a secret in the URL: shorter parts are names.
_SECRET = 4
#: What goes wrong on the way.
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)

#: Decodes large answers, one at a time: that bounds the memory that it takes, and the event loop
#: goes on meanwhile.
_decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chain-decoder")


class ListRefusedError(Exception):
    """The server does not take this list of calls; nothing of it was carried out."""


class Transport:
    """Posts to one URL, which is never shown: it may hold a secret."""

    def __init__(
        self,
        sessions: tuple[aiohttp.ClientSession, aiohttp.ClientSession],
        url: str,
        host: str,
        room: asyncio.Semaphore,
    ) -> None:
        """`sessions`: one that keeps its connections, and one that has a fresh one each time;
        `room`: for large answers, shared with other nodes."""
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
        """What `read` makes of the parsed answer; it may run in another thread.

        RpcUnavailableError, RpcTooLargeError, RpcBusyError; ListRefusedError when it is about there
        being several calls.
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
        # Its traceback has the answer, which may be large, and others keep the failure for a while.
        failure.__context__ = None
        raise failure.with_traceback(None)

    async def _ask(self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool) -> T:
        bounds = bounds_of(method)
        async with self._response(body) as response:
            await self._check_status(response, method, is_list=is_list)
            async with self._turns.reading(response, bounds) as answer:
                work = partial(_work, partial(parse, answer, bounds), read)
                if len(answer) < _LARGE:
                    return work()
                return await asyncio.get_running_loop().run_in_executor(_decoder, work)

    async def get(self, url: str) -> int:
        """Status of a plain GET to another place; its body does not matter."""
        try:
            async with self._fresh.get(url) as response:
                return response.status
        except _BROKEN as error:
            raise RpcUnavailableError(f"{url.partition('?')[0]} does not answer") from error

    def silent(self, method: str, what: str) -> RpcUnavailableError:
        """That there was no answer."""
        return RpcUnavailableError(self._text(method, what), retry_after=1.0)

    def clean(self, words: str) -> str:
        """A node's words, unless they show a part of the URL."""
        return "" if any(secret in words for secret in self._secrets) else words

    def _too_large(self, method: str, why: str) -> RpcTooLargeError:
        what = f"an answer that is not read to its end ({why})"
        return RpcTooLargeError(self._text(method, what), retry_after=1.0)

    def _text(self, method: str, what: str) -> str:
        return f"the Stellar node {self._host} gave {what} to {method}"

    @asynccontextmanager
    async def _response(self, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """The beginning of the answer. Everything that is asked may be asked twice; so what met the
        close of a kept connection is, on a fresh one."""
        try:
            response = await self._session.post(self._url, data=body, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise  # nobody is there
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            response = await self._fresh.post(self._url, data=body, allow_redirects=False)
        async with response:
            yield response

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
    """Seconds that the node asks to be left alone for; None when it does not."""
    if response.status not in {_TOO_MANY, _UNAVAILABLE}:
        return None
    seconds = _seconds(response.headers.get("Retry-After", "").strip())
    if seconds is None:
        return _SHORTEST_REST if response.status == _TOO_MANY else None
    return min(_LONGEST_REST, max(_SHORTEST_REST, seconds))


def _seconds(text: str) -> float | None:
    """Of a Retry-After: seconds, or an HTTP date; None when it is neither."""
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
    """Parts of a URL that nobody may see, as they stand and decoded."""
    parts = urlsplit(url)
    found = [*parts.path.split("/"), *parts.query.replace("=", "&").split("&")]
    found += [parts.username or "", parts.password or ""]
    return [text for part in found for text in {part, unquote(part)} if len(text) >= _SECRET]


@asynccontextmanager
async def open_transport(
    url: str, host: str, *, timeout: float, room: asyncio.Semaphore
) -> AsyncIterator[Transport]:
    """With kept-alive connections; `timeout` (s) is for one request, its body included."""

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
