"""Several Stellar RPC endpoints as if they were one.

Reads go to a healthy endpoint, and to the next one when the first one fails, lags or takes long.
Writes do the same. The same envelope may be sent any number of times, but once a node may have
taken the envelope, a refusal of another node proves nothing (docs/reference/STELLAR.md, section 1).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

from libs.common.clock import Clock, SystemClock
from libs.common.errors import PoolError, UnavailableError
from libs.common.log import get_logger
from services.wallet.chain.errors import (
    NetworkMismatchError,
    RpcRejectedError,
    RpcUnavailableError,
    UnknownAnswerError,
)
from services.wallet.chain.node.bodies import LARGE_AT_ONCE
from services.wallet.chain.node.health import EndpointState, EndpointStatus
from services.wallet.chain.node.ledger_entries import Reader
from services.wallet.chain.node.questions import HEAD, PASSPHRASE, Question
from services.wallet.chain.node.race import in_turn
from services.wallet.chain.node.rpc import Rpc, Sent, open_rpc
from services.wallet.domain.chain_facts import LedgerHead, SendResult, SendStatus
from services.wallet.domain.heights import Heights

log = get_logger(__name__)

T = TypeVar("T")

#: Seconds without an answer after which the next endpoint is asked, too.
HEDGE = 1.0
#: Seconds after which nodes that differ are asked again: a ledger takes less from node to node.
MOMENT = 0.5
#: Errors of an endpoint after which the next one is asked.
FAILURES = (UnavailableError, RpcRejectedError, NetworkMismatchError, UnknownAnswerError)
#: Answers of sendTransaction after which the envelope is in a node's queue.
_TAKEN = frozenset({SendStatus.PENDING, SendStatus.DUPLICATE})


class Endpoints:
    """The methods of `Rpc` over a list of endpoints, the preferred one first.

    All methods raise RpcUnavailableError, StaleAnswerError when all answers were too old,
    RpcRejectedError when all endpoints refused, and NetworkMismatchError when all endpoints are on
    another network. `send` returns these errors, for each envelope its own.
    """

    def __init__(
        self,
        nodes: Sequence[Rpc],
        *,
        seen: Heights,
        hedge: float = HEDGE,
        moment: float = MOMENT,
        clock: Clock | None = None,
    ) -> None:
        """Create the endpoints; `seen` holds the heights that all of them show."""
        self._nodes = tuple(nodes)
        self._seen = seen
        self._hedge = hedge
        #: Seconds after which nodes that differ are asked again.
        self.moment = moment
        #: The clock that waiting times are measured by.
        self.clock = clock or SystemClock()

    @property
    def configured(self) -> int:
        """Return the number of endpoints in the settings."""
        return len(self._nodes)

    @property
    def heights(self) -> Heights:
        """Return the heights that all endpoints show."""
        return self._seen

    @property
    def hedge(self) -> float:
        """Return the seconds without an answer after which the next endpoint is asked, too."""
        return self._hedge

    def recheck_by(self, recheck: Callable[[Rpc], Awaitable[None]]) -> None:
        """Set the check for endpoints that were set aside.

        Such an endpoint comes back only when `recheck` raises nothing.
        """
        for node in self._nodes:
            node.recheck = recheck

    def usable(self) -> list[Rpc]:
        """Return the endpoints that may be asked at once, the preferred ones first."""
        return [node for node in self._ranked() if node.health.state is EndpointState.HEALTHY]

    def unusable(self) -> list[Rpc]:
        """Return the endpoints that may not be asked, except those that were not probed yet."""
        fine = {EndpointState.HEALTHY, EndpointState.UNVERIFIED}
        return [
            node for node in self._nodes if node.health.resting or node.health.state not in fine
        ]

    def statuses(self) -> list[EndpointStatus]:
        """Return the status of each endpoint, in the order of the settings."""
        return [node.health.status() for node in self._nodes]

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Rpc]:
        """Yield one endpoint for requests that belong together.

        When the endpoint fails, no other one steps in. A proof needs this: two nodes need not have
        seen the same ledgers.
        """
        yield await self.read(_itself)

    async def ask(self, question: Question[T]) -> T:
        """Return the facts in an endpoint's answer. See Rpc."""
        return await self.read(lambda node: node.ask(question))

    async def read(self, reading: Callable[[Rpc], Awaitable[T]]) -> T:
        """Return the first good answer of an endpoint to questions that belong together."""
        starts = [partial(ask_ready, node, reading) for node in self.candidates()]
        if len(starts) == 1:
            return await starts[0]()
        errors: list[PoolError] = []
        async with aclosing(in_turn(starts, patience=self._hedge)) as attempts:
            async for attempt in attempts:
                try:
                    return attempt.result()
                except FAILURES as error:
                    errors.append(error)
        raise verdict(errors)

    async def head(self) -> LedgerHead:
        """Return the latest ledger with its close time. See Rpc."""
        return await self.ask(HEAD)

    async def passphrase(self) -> str:
        """Return the network's passphrase. See Rpc."""
        return await self.ask(PASSPHRASE)

    async def entries(self, readers: Mapping[str, Reader[T]]) -> tuple[int, dict[str, T]]:
        """Read ledger entries. See Rpc. All requests of one call go to the same endpoint."""
        return await self.read(lambda node: node.entries(readers))

    async def get(self, url: str) -> int:
        """Send a plain GET and return its status. See Rpc. The URL is not that of an endpoint."""
        return await self._nodes[0].get(url)

    async def send(self, envelopes: Sequence[str], *, widely: bool = False) -> list[Sent]:
        """Return the most telling answer of sendTransaction to each envelope, or why there is none.

        With `widely`, a second endpoint gets the envelopes, too, whatever the first one says: the
        first endpoint may throw away an envelope that it says to have taken.

        The answer that an endpoint took the envelope decides. A refusal counts only when no other
        endpoint was asked before: an endpoint that did not answer may have taken the envelope, and
        then ERROR and TRY_AGAIN_LATER of another one prove nothing. So RpcUnavailableError means,
        as with one endpoint, that the envelope may have been taken.
        """
        offers = [_Offer(envelope) for envelope in envelopes]
        errors: list[PoolError] = []
        starts = [partial(_send, node, offers, widely) for node in self.candidates()]
        left = min(2 if widely else 1, len(starts))
        async with aclosing(in_turn(starts, patience=0 if widely else self._hedge)) as attempts:
            async for attempt in attempts:
                try:
                    attempt.result()
                    left -= 1
                except FAILURES as error:
                    errors.append(error)
                if left <= 0 and all(offer.answer is not None for offer in offers):
                    break
        return [offer.answer or verdict([*offer.errors, *errors]) for offer in offers]

    def candidates(self) -> list[Rpc]:
        """Return the endpoints to ask, best first: in the order of the settings, slow ones last.

        Endpoints that lag or are away are asked only when there is no other one, and only after a
        probe. Endpoints that ask not to be called are not asked at all; they only raise the error
        that says so.
        """
        found = self._ranked() or self._in_state(EndpointState.LAGGING, EndpointState.AWAY)
        found = found or [node for node in self._nodes if node.health.resting]
        if not found:
            raise self._why_none()
        return found

    def _ranked(self) -> list[Rpc]:
        healthy = sorted(self._in_state(EndpointState.HEALTHY), key=self._is_slow)
        return healthy + self._in_state(EndpointState.UNVERIFIED)

    def _in_state(self, *states: EndpointState) -> list[Rpc]:
        awake = [node for node in self._nodes if not node.health.resting]
        return [node for state in states for node in awake if node.health.state is state]

    def _why_none(self) -> PoolError:
        for node in self._in_state(EndpointState.SET_ASIDE):
            reason = f"the Stellar node {node.health.host} is set aside, and there is no other"
            return RpcUnavailableError(reason, retry_after=1.0)
        status = self._nodes[0].health.status()
        return NetworkMismatchError(status.reason, metadata={"found": status.passphrase})

    def _is_slow(self, node: Rpc) -> bool:
        """Tell whether other endpoints had to step in for this one recently."""
        return node.health.latency > self._hedge / 2


async def _itself(node: Rpc) -> Rpc:
    return node


async def ask_ready(node: Rpc, ask: Callable[[Rpc], Awaitable[T]]) -> T:
    """Return a node's answer, once the node is known to be on our network."""
    await node.ready()
    return await ask(node)


class _Offer:
    """An envelope that is offered to endpoints in turn, until it is clear what became of it."""

    def __init__(self, envelope: str) -> None:
        self.envelope = envelope
        #: Number of endpoints that may have the envelope.
        self.asked = 0
        #: The answer to report for the envelope; None: there is none yet.
        self.answer: Sent | None = None
        #: The reasons why endpoints gave no answer.
        self.errors: list[PoolError] = []

    def hear(self, sent: Sent) -> None:
        """Record what an endpoint said to the envelope."""
        if isinstance(sent, PoolError):
            self.errors.append(sent)
        elif sent.status in _TAKEN:
            self.answer = sent
        elif self.answer is None:
            self.answer = sent if self.asked == 1 else _proves_nothing(sent)


def _proves_nothing(sent: SendResult) -> PoolError:
    return RpcUnavailableError(
        f"sent without an answer; {sent.status.value} of another node proves nothing"
    )


async def _send(node: Rpc, offers: Sequence[_Offer], widely: bool) -> None:
    """Send the envelopes that have no answer yet to a node, or with `widely` all of them.

    The envelopes go in lists of the size that the node takes.
    """
    await node.ready()
    rest = [offer for offer in offers if widely or offer.answer is None]
    parts = node.parts([offer.envelope for offer in rest])
    await asyncio.gather(*(_send_together(node, rest[part]) for part in parts))


async def _send_together(node: Rpc, offers: Sequence[_Offer]) -> None:
    """Send envelopes to a node in one list.

    The envelopes count as asked as soon as the node may have them. The node's answers are recorded
    at once.
    """
    for offer in offers:
        offer.asked += 1
    answers = await node.send([offer.envelope for offer in offers])
    for offer, sent in zip(offers, answers, strict=True):
        offer.hear(sent)


def verdict(errors: Sequence[PoolError]) -> PoolError:
    """Return one error for several failures: when they differ, another try may find an answer."""
    if len({type(error) for error in errors}) == 1:
        return errors[0]
    telling = (error for error in errors if isinstance(error, RpcUnavailableError))
    text = "; ".join(str(error) for error in errors)
    return next(telling, RpcUnavailableError(text, retry_after=1.0))


async def _watch(node: Rpc) -> None:
    """Probe an endpoint for ever.

    Each endpoint has its own loop, so that a slow one delays no other.
    """
    while True:
        try:
            await node.probe()
        except FAILURES as error:
            log.debug("probe in vain", host=node.health.host, error=str(error))
        except Exception:
            log.exception("defect", host=node.health.host)
        await node.health.pause()


@asynccontextmanager
async def open_endpoints(
    urls: Sequence[str], *, passphrase: str, timeout: float, hedge: float = HEDGE
) -> AsyncIterator[Endpoints]:
    """Open endpoints of the network with this passphrase, and probe them while the block runs.

    `timeout` (s) is for one request to one endpoint. After `hedge` (s) the next endpoint is asked,
    too.
    """
    seen, room = Heights(len(urls)), asyncio.Semaphore(LARGE_AT_ONCE)
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                open_rpc(
                    url,
                    passphrase=passphrase,
                    timeout=timeout,
                    seen=seen,
                    position=position,
                    room=room,
                )
            )
            for position, url in enumerate(urls)
        ]
        probes = [asyncio.create_task(_watch(node)) for node in nodes]
        try:
            yield Endpoints(nodes, seen=seen, hedge=hedge)
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
