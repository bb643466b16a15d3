"""A pooler's door by HTTP: what a miner asks there, and the stream of events."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from miner.model import MinerError
from miner.pool.fields import PoolAnswerError, text_of
from miner.pool.jobs import Share

#: Bytes of an answer, and of a line of the stream, at most.
_MOST_BYTES = 4 * 2**20
_REQUEST_SECONDS = 20.0
#: The stream has a sign of life much more often.
_SILENCE_SECONDS = 90.0
#: Seconds that a pooler may let us wait before the same request.
_LONGEST_WAIT_SECONDS = 600.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
#: Answers after which the same request may succeed.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_SERVER_ERROR = 400


class PoolAwayError(MinerError):
    """The pooler does not answer now."""


class UnsafeAddressError(MinerError):
    """The pooler's address would show the credential to whoever listens."""


class RefusedError(MinerError):
    """The pooler refuses a request."""

    def __init__(self, message: str, *, reason: str, status: int, retry_after: float) -> None:
        """Take the reason of its table, and the seconds after which to ask again."""
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def is_passing(self) -> bool:
        """Tell whether the same request may succeed later."""
        return self.status in _PASSING


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of the stream."""

    #: Its name.
    name: str
    #: Its content.
    data: Mapping[str, Any]


def checked_url(url: str, *, plaintext: bool) -> str:
    """Return the address without a slash at its end. Raise UnsafeAddressError.

    HTTP without TLS is for this machine, or for who says so.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UnsafeAddressError(f"url: {url!r} must begin with https:// (or http://)")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not plaintext:
        raise UnsafeAddressError(
            f"url: {url!r} would show the credential to whoever listens; use https://, "
            "or --plaintext in a network that you trust"
        )
    return url.rstrip("/")


class DoorClient:
    """The requests of one miner."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Take a session, and the address as `checked_url` returns it."""
        self._session = session
        self._url = url
        #: Goes with each request once it is known.
        self.credential: str | None = None

    async def pool(self) -> Mapping[str, Any]:
        """Return what may be known before joining. Raise PoolAwayError or RefusedError."""
        return await self._ask("GET", "/v1/pool")

    async def join(self, address: str, terms: str, name: str) -> str:
        """Join; return the credential. Raise PoolAwayError or RefusedError."""
        body = {"address": address, "terms": terms, "name": name}
        return text_of(await self._ask("POST", "/join", body=body), "credential")

    async def agree(self, terms: str) -> None:
        """Agree to terms that were changed. Raise PoolAwayError or RefusedError."""
        await self._ask("POST", "/terms", body={"terms": terms})

    async def work(self, options: Mapping[str, str]) -> Mapping[str, Any]:
        """Return jobs. Raise PoolAwayError or RefusedError."""
        return await self._ask("GET", "/work", options=options)

    async def submit(self, shares: Sequence[Share]) -> Mapping[str, Any]:
        """Bring shares. Raise PoolAwayError or RefusedError."""
        brought = [{"job": share.job.token, "nonce": str(share.nonce)} for share in shares]
        return await self._ask("POST", "/submit", body={"shares": brought})

    async def events(self, options: Mapping[str, str]) -> AsyncIterator[Event]:
        """Yield events until the stream ends. Raise PoolAwayError or RefusedError."""
        timeout = aiohttp.ClientTimeout(connect=_REQUEST_SECONDS, sock_read=_SILENCE_SECONDS)
        try:
            async with self._session.get(
                f"{self._url}/events",
                params=options,
                headers=self._headers(),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= _SERVER_ERROR:
                    raise _refused(response, await self._body(response))
                async for event in _events(response.content):
                    yield event
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise PoolAwayError(_words(error)) from error

    async def _ask(
        self,
        verb: str,
        path: str,
        *,
        options: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        try:
            async with self._session.request(
                verb,
                f"{self._url}{path}",
                params=options,
                json=body,
                headers=self._headers(),
                timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
                allow_redirects=False,
            ) as response:
                content = await self._body(response)
                if response.status >= _SERVER_ERROR:
                    raise _refused(response, content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PoolAwayError(_words(error)) from error
        if not isinstance(content, Mapping):
            raise PoolAnswerError(f"{verb} {path}: the answer is no JSON object")
        return content

    async def _body(self, response: aiohttp.ClientResponse) -> object:
        content = await response.content.read(_MOST_BYTES)
        while len(content) < _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
            content += more
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return None

    def _headers(self) -> dict[str, str]:
        return {} if self.credential is None else {"Authorization": f"Bearer {self.credential}"}


@asynccontextmanager
async def open_client(url: str, ca_file: Path | None) -> AsyncIterator[DoorClient]:
    """Open a client for a pooler; `ca_file` names who vouches for it, else the system does.

    Raise UnsafeAddressError for a file that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UnsafeAddressError(f"ca-file: {ca_file}: {error}") from error
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=_MOST_BYTES) as session:
        yield DoorClient(session, url)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Read server-sent events; lines without an event's data are signs of life."""
    name, data, size = "", list[str](), 0
    while line := await lines.readline():
        text = line.decode("utf-8").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            size += len(line)
            if size > _MOST_BYTES:
                raise ValueError("an event of the stream is too long")
            data.append(value)
        elif not text:
            if data:
                content = json.loads("\n".join(data))
                yield Event(name=name, data=content if isinstance(content, dict) else {})
            name, data, size = "", [], 0


def _refused(response: aiohttp.ClientResponse, content: object) -> RefusedError:
    problem = content if isinstance(content, Mapping) else {}
    reason = str(problem.get("reason") or f"HTTP_{response.status}")
    detail = str(problem.get("detail") or problem.get("title") or response.reason or "refused")
    metadata = problem.get("metadata")
    if isinstance(metadata, Mapping) and metadata:
        detail += f" ({', '.join(f'{key}: {value}' for key, value in metadata.items())})"
    try:
        retry_after = float(response.headers.get("Retry-After", ""))
    except ValueError:
        retry_after = 1.0
    return RefusedError(
        f"{reason}: {' '.join(detail.split())[:500]}",
        reason=reason,
        status=response.status,
        retry_after=min(max(0.1, retry_after), _LONGEST_WAIT_SECONDS),
    )


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
