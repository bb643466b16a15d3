"""Reads that need the same answer from several nodes; nodes that contradict it are set aside.

Two nodes are asked side by side. Of five and more nodes, as many are asked as make sure that one of
them is honest, if most of all nodes are honest. When the answers differ, all nodes are asked once
more after a moment, since the nodes may only have been a ledger apart. Then the answer of most
nodes counts. Nodes that gave another answer both times, while the answer of the others did not
change, are set aside. No node is accused by one other node alone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.wallet.chain.errors import DisagreementError
from services.wallet.chain.essence import Essence, essence
from services.wallet.chain.node.endpoints import FAILURES, Endpoints, ask_ready, verdict
from services.wallet.chain.node.health import EndpointStatus
from services.wallet.chain.node.ledger_entries import Reader
from services.wallet.chain.node.questions import HEAD, PASSPHRASE, Question
from services.wallet.chain.node.rpc import Rpc, Sent
from services.wallet.domain.chain_facts import LedgerHead
from services.wallet.domain.heights import needed
from services.wallet.domain.trust import ONE_NODE_AFTER

log = get_logger(__name__)

T = TypeVar("T")

#: Characters of an answer in the reason why a node was set aside.
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class _Answer(Generic[T]):
    """The answer of one node."""

    node: Rpc
    #: The facts.
    facts: T
    #: The part of the facts that must be the same at every node.
    core: Essence
    #: The node's ledger after the answer.
    ledger: int


class Agreement:
    """The reads of `Endpoints`, each by agreement. An instance is made for one purpose."""

    def __init__(self, endpoints: Endpoints) -> None:
        #: The smallest number of nodes that agreed on one answer of this instance so far.
        self.witnessed = endpoints.configured
        self._endpoints = endpoints
        self._clock = endpoints.clock

    # Methods of Endpoints ---------------------------------------------------------------------

    @property
    def configured(self) -> int:
        """Return the number of endpoints in the settings."""
        return self._endpoints.configured

    def statuses(self) -> list[EndpointStatus]:
        """Return the statuses of the endpoints. See Endpoints."""
        return self._endpoints.statuses()

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Rpc]:
        """Yield one node, as Endpoints does. One node is no agreement."""
        async with self._endpoints.pinned() as node:
            self.witnessed = 1
            yield node

    async def ask(self, question: Question[T]) -> T:
        """Return the answer on which the nodes agree."""
        return await self.read(lambda node: node.ask(question))

    async def head(self) -> LedgerHead:
        """Return the latest ledger. See Endpoints.

        Heights are agreed on as they are heard (domain/heights.py).
        """
        return await self._endpoints.ask(HEAD)

    async def passphrase(self) -> str:
        """Return the network's passphrase. See Endpoints."""
        return await self.ask(PASSPHRASE)

    async def entries(self, readers: Mapping[str, Reader[T]]) -> tuple[int, dict[str, T]]:
        """Read ledger entries. See Endpoints.

        The returned ledger is the lowest ledger that one of the nodes has read.
        """
        return await self.read(lambda node: node.entries(readers))

    async def get(self, url: str) -> int:
        """Send a plain GET and return its status. See Endpoints."""
        return await self._endpoints.get(url)

    async def send(self, envelopes: Sequence[str], *, widely: bool = False) -> list[Sent]:
        """Send envelopes. See Endpoints: the network itself reaches the agreement."""
        return await self._endpoints.send(envelopes, widely=widely)

    async def read(self, reading: Callable[[Rpc], Awaitable[T]]) -> T:
        """Return the answer on which the nodes agree, to several questions that belong together.

        Raises DisagreementError when the nodes do not agree, or when a second node is needed and
        there is none.
        """
        if self.configured == 1:
            return await self._endpoints.read(reading)
        answers, errors = await self._first(reading)
        if not answers:
            raise verdict(errors) if errors else DisagreementError("no node can be asked")
        if len(answers) < self._quorum and not self._may_be_few():
            raise self._too_few(len(answers))
        self.witnessed = min(self.witnessed, len(answers))
        if len({answer.core for answer in answers}) == 1:
            return _lowest(answers).facts
        return await self._again(reading, answers)

    @property
    def _quorum(self) -> int:
        """Return how many nodes have to give the same answer: at least two.

        The number is derived from the nodes that can be asked, so that many nodes that are away
        stop nobody.
        """
        return max(2, needed(len(self._endpoints.usable())))

    # Finding the agreement --------------------------------------------------------------------

    async def _first(
        self, reading: Callable[[Rpc], Awaitable[T]]
    ) -> tuple[list[_Answer[T]], list[PoolError]]:
        """Collect answers from as many nodes as are needed, the preferred nodes first.

        Other nodes stand in for nodes that give no answer.
        """
        waiting, quorum = self._endpoints.usable() or self._endpoints.candidates(), self._quorum
        answers: list[_Answer[T]] = []
        errors: list[PoolError] = []
        running: set[asyncio.Task[_Answer[T] | PoolError]] = set()
        count = quorum
        try:
            while len(answers) < quorum and (waiting or running):
                asked, waiting = waiting[:count], waiting[count:]
                running |= {asyncio.create_task(_answer(node, reading)) for node in asked}
                patience = self._endpoints.hedge if waiting else None
                done, running = await asyncio.wait(
                    running, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                found = [task.result() for task in done]
                answers += [item for item in found if isinstance(item, _Answer)]
                errors += [item for item in found if not isinstance(item, _Answer)]
                # Replace the nodes that failed; ask one more node when an answer is late.
                count = max(int(not done), quorum - len(answers) - len(running))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return answers, errors

    async def _ask_all(
        self, nodes: Sequence[Rpc], reading: Callable[[Rpc], Awaitable[T]]
    ) -> list[_Answer[T] | PoolError]:
        return await asyncio.gather(*(_answer(node, reading) for node in nodes))

    async def _again(
        self, reading: Callable[[Rpc], Awaitable[T]], before: Sequence[_Answer[T]]
    ) -> T:
        """Wait a moment, ask all nodes that can be asked, and return the answer of most of them."""
        await asyncio.sleep(self._endpoints.moment)
        nodes = {answer.node: None for answer in before}
        nodes |= dict.fromkeys(self._endpoints.usable())
        found = await self._ask_all(list(nodes), reading)
        answers = [item for item in found if isinstance(item, _Answer)]
        groups: dict[Essence, list[_Answer[T]]] = {}
        for answer in answers:
            groups.setdefault(answer.core, []).append(answer)
        most = max(groups.values(), key=len, default=[])
        if len(most) < min(self._quorum, max(2, len(answers))):
            raise DisagreementError(_contradiction(answers), retry_after=1.0)
        self._accuse(before, answers, most)
        return _lowest(most).facts

    def _accuse(
        self, before: Sequence[_Answer[T]], now: Sequence[_Answer[T]], most: Sequence[_Answer[T]]
    ) -> None:
        """Set nodes aside that gave another answer twice.

        A node is set aside only when the answer of the others did not change meanwhile, and when
        the node had seen the same ledgers as the others.
        """
        if len(most) < 2:
            return
        core = most[0].core
        steady = [item for item in before if item.core == core]
        if not steady:
            return
        at = max(item.ledger for item in steady)
        twice = {item.node for item in before if item.core != core}
        for answer in now:
            if answer.node in twice and answer.core != core and answer.ledger >= at:
                answer.node.health.contradict(
                    f"says {str(answer.facts)[:_SHOWN]}, others {str(most[0].facts)[:_SHOWN]}"
                )

    def _may_be_few(self) -> bool:
        """Tell whether the few nodes left are believed: the others have been away for long
        enough."""
        lost = sorted((node.health.lost for node in self._endpoints.unusable()), reverse=True)
        spare = self.configured - self._quorum
        if len(lost) <= spare:
            return False  # the nodes are there, and only did not answer now
        return self._clock.monotonic() - lost[len(lost) - 1 - spare] >= ONE_NODE_AFTER

    def _too_few(self, found: int) -> DisagreementError:
        return DisagreementError(
            f"{found} of {self.configured} Stellar nodes can be asked, {self._quorum} are needed",
            retry_after=1.0,
        )


async def _answer(node: Rpc, reading: Callable[[Rpc], Awaitable[T]]) -> "_Answer[T] | PoolError":
    try:
        facts = await ask_ready(node, reading)
    except FAILURES as error:
        return error
    return _Answer(node=node, facts=facts, core=essence(facts), ledger=node.health.ledger)


def _lowest(answers: Sequence[_Answer[T]]) -> _Answer[T]:
    """Return the answer of the node that is furthest behind, of answers that say the same."""
    return min(answers, key=lambda answer: answer.ledger)


def _contradiction(answers: Sequence[_Answer[T]]) -> str:
    if len(answers) < 2:
        return "Stellar nodes differed, and do not answer any more"
    hosts = " and ".join(answer.node.health.host for answer in answers)
    return f"the Stellar nodes {hosts} contradict each other"
