"""Connections that wear the gateway out, with honest callers beside them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from devstack.stack import Progress, Stack
from libs.common.descriptors import limit
from libs.common.names import GATEWAY
from trials.security.floods import Kind, flooding
from trials.security.gateway.ways import Caller, open_caller
from trials.security.strangers import PATIENCE, SECONDS, Endured, endured, usual_limit

#: Open files that the trial needs besides its connections.
_OWN_FILES = 600
#: Seconds between two bytes of those who send slowly.
_SLOW = 1.0
#: Requests that are sent without taking their answers.
_UNREAD = 200


@dataclass(frozen=True, kw_only=True)
class Guests:
    """Who comes."""

    #: The pooler who wears the gateway out.
    hostile: str
    #: Another pooler, and its id.
    pooler: str
    pooler_id: str
    #: An operator.
    operator: str


@dataclass(frozen=True, kw_only=True)
class Flood:
    """One kind of connection, and how many of them there are."""

    kind: Kind
    #: Whether as many as the plan's idle ones; else as many as its other connections.
    is_idle: bool = False


def floods(guests: Guests) -> list[Flood]:
    """Return all kinds."""
    anybody = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
    info, watch = anybody % b"/v1/info", anybody % b"/v1/blocks:watch"
    head = b"GET /v1/info HTTP/1.1\r\nHost: x\r\nX: "
    announced = b"GET /v1/info HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    post = (
        b"POST /v1/farmers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{" % guests.hostile.encode()
    )
    return [
        Flood(kind=_kind("says nothing"), is_idle=True),
        Flood(kind=_kind("one request, then nothing", info), is_idle=True),
        Flood(kind=_kind("half a head", head)),
        Flood(kind=_kind("a byte of a head a second", head, again=b"x")),
        Flood(kind=_kind("half a body, by a pooler's token", post)),
        Flood(kind=_kind("a byte of a body a second, by a pooler's token", post, again=b" ")),
        Flood(kind=_kind("a body where there is none", announced)),
        Flood(kind=_kind("answers not taken", info * _UNREAD, reads=False)),
        Flood(kind=_kind("events not taken", watch, reads=False)),
        Flood(kind=_kind("events, left at once", watch, leaves=True)),
        Flood(kind=_kind("half a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")),
        Flood(kind=_kind("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    ]


def _kind(
    name: str, first: bytes = b"", *, again: bytes = b"", reads: bool = True, leaves: bool = False
) -> Kind:
    return Kind(
        name=name,
        has_certificate=False,
        first=first,
        again=again,
        pause=_SLOW,
        reads=reads,
        leaves=leaves,
    )


def most_connections(wanted: int) -> int:
    """Return how many connections this process can keep open."""
    return max(1, min(wanted, limit() - _OWN_FILES))


async def endure(
    stack: Stack,
    guests: Guests,
    progress: Progress,
    *,
    idle: int,
    connections: int,
    seconds: float = SECONDS,
) -> list[Endured]:
    """Try every kind of connection on a gateway that is started anew, with its usual limits."""
    with usual_limit():
        await stack.restart(GATEWAY, environment={"PUBLIC_RATE_LIMIT": "600"})
    found = []
    for flood in floods(guests):
        count = most_connections(idle if flood.is_idle else connections)
        progress(f"{count} connections to the gateway: {flood.kind.name}")
        found.append(await endure_one(stack, flood.kind, count, guests, seconds=seconds))
    await stack.restart(GATEWAY)
    return found


async def endure_one(
    stack: Stack,
    kind: Kind,
    count: int,
    guests: Guests,
    *,
    seconds: float = SECONDS,
    patience: float = PATIENCE,
) -> Endured:
    """Keep connections of one kind open for a while; return what honest callers noticed."""
    target = f"127.0.0.1:{stack.ports[GATEWAY]}"
    async with open_caller(stack.gateway_url) as old:
        return await endured(
            _Honest(stack.gateway_url, old, guests, patience),
            flooding(target, kind, count),
            name=kind.name,
            pid=stack.pids()[GATEWAY],
            seconds=seconds,
        )


class _Honest:
    """Honest callers: anybody, another pooler and an operator, by connections new and old."""

    def __init__(self, url: str, old: Caller, guests: Guests, patience: float) -> None:
        self._url = url
        self._old = old
        self.patience = patience
        own = f"/v1/poolers/{guests.pooler_id}"
        self._asks: Sequence[tuple[str, str]] = (
            ("/v1/blocks:current", ""),
            (own, guests.pooler),
            ("/v1/poolers?pageSize=1", guests.operator),
        )
        self.new: list[float] = []
        self.old: list[float] = []
        self.failed = 0

    async def come(self) -> None:
        """Make one more connection, and ask."""
        async with open_caller(self._url) as caller:
            await self._ask(caller, self.new)

    async def ask_again(self) -> None:
        """Ask over the old connection."""
        await self._ask(self._old, self.old)

    async def _ask(self, caller: Caller, times: list[float]) -> None:
        for path, token in self._asks:
            began = time.monotonic()
            answer = await caller.ask("GET", path, token=token, timeout=self.patience)
            if answer.status == 200:
                times.append(time.monotonic() - began)
            else:
                self.failed += 1
