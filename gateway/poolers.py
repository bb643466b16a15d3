"""What poolers tell everybody of their mining: hash rate, workers, the zeros so far.

Only the pooler knows it, it changes every second, and nobody needs it later: so no service keeps
it, and the page reads what miners read (GET /v1/pool, docs/mining.md). The operator names the
poolers: no other one can claim a hash rate on the pool's page.
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from gateway.errors import PoolerSilentError
from libs.common.version import VERSION

#: Seconds of one answer: a person waits.
_PATIENCE = 3.0
#: Bytes of an answer at most; one with its twenty blocks has about 5,000.
_MOST_BYTES = 65_536
_PATH = "/v1/pool"
_OK = 200

_Whole = Annotated[int, Field(ge=0, lt=2**63)]


class _Told(BaseModel):
    """A part of an answer; fields that are not read may be there."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class HashRate(_Told):
    """A hash rate that shares prove."""

    #: Hashes a second, and the standard error.
    rate: _Whole
    error: _Whole


class MinedBlock(_Told):
    """The block that a pooler mines."""

    #: Its index, and how many farmers are planted.
    block: _Whole
    farmers: _Whole
    #: Whether its works are sent.
    works_sent: bool
    #: Hashes a second of the pooler's own engines, on average in this block.
    own_rate: _Whole = 0
    #: Farmers by the zeros of their best nonce.
    zeros: dict[Annotated[int, Field(ge=0, le=64)], _Whole]


class Mining(_Told):
    """A pooler's mining now."""

    #: What the pooler calls itself.
    name: Annotated[str, Field(max_length=64)]
    #: Who has joined, and the workers that bring shares.
    miners: _Whole
    workers: _Whole
    #: What its miners prove.
    rate: HashRate
    #: None before its first block.
    block: MinedBlock | None


@dataclass(frozen=True, kw_only=True)
class PoolerAddress:
    """Where a pooler serves miners."""

    #: http(s)://host:port, without a slash at its end.
    url: str

    @property
    def host(self) -> str:
        """Return host and port, by which people know it."""
        return urlsplit(self.url).netloc


def pooler_addresses(text: str) -> tuple[PoolerAddress, ...]:
    """Return the addresses of a comma-separated list; raise ValueError for what is none."""
    return tuple(_address(one.strip()) for one in text.split(",") if one.strip())


def _address(text: str) -> PoolerAddress:
    parts = urlsplit(text)
    is_place = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    has_more = parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment
    if not is_place or has_more:
        raise ValueError(f"{text!r} must be the address of a pooler: https://pooler.example:3333")
    return PoolerAddress(url=f"{parts.scheme}://{parts.netloc}")


class PoolerDoors:
    """The ports at which poolers serve miners."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Sequence[PoolerAddress]) -> None:
        """Take the poolers that the operator has named."""
        self._session = session
        self.addresses = tuple(addresses)

    async def mining(self, address: PoolerAddress) -> Mining:
        """Return what a pooler tells; raise PoolerSilentError when it tells nothing sound."""
        try:
            return Mining.model_validate_json(await self._content(address))
        except ValidationError as error:
            field = ".".join(map(str, error.errors()[0]["loc"])) or "the answer"
            raise _silent(address, f"tells something else: {field} is wrong") from None
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise _silent(address, "does not answer") from None

    async def _content(self, address: PoolerAddress) -> bytes:
        async with self._session.get(f"{address.url}{_PATH}", allow_redirects=False) as response:
            if response.status != _OK:
                raise _silent(address, f"answers with status {response.status}")
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise _silent(address, "answers more than it should")
            return bytes(content)


def _silent(address: PoolerAddress, what: str) -> PoolerSilentError:
    return PoolerSilentError(f"the pooler at {address.host} {what}", retry_after=1.0)


@asynccontextmanager
async def open_pooler_doors(
    addresses: Sequence[PoolerAddress], authority: Path | None
) -> AsyncIterator[PoolerDoors]:
    """Have the doors while the block runs; `authority` (PEM) vouches for them, else the system."""
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_PATIENCE),
        headers={"Accept": "application/json", "User-Agent": f"kalepool-gateway/{VERSION}"},
    ) as session:
        yield PoolerDoors(session, addresses)
