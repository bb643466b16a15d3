"""Stellar nodes that answer as they are told, behind the real `Endpoints`."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from libs.common.errors import PoolError
from services.wallet.chain.errors import RpcBusyError, RpcUnavailableError
from services.wallet.chain.node.endpoints import Endpoints
from services.wallet.chain.node.health import AWAY_AFTER, Health
from services.wallet.domain.chain_facts import SendResult, SendStatus
from services.wallet.domain.heights import Heights
from tests.support.clock import FakeClock

#: Seconds after which the next node is asked, too.
HEDGE = 0.02
#: For a node's answers: it gives none.
SILENCE = object()

AWAY = RpcUnavailableError("away")
TAKEN = SendResult(status=SendStatus.PENDING)
BUSY = SendResult(status=SendStatus.TRY_AGAIN_LATER)
REFUSED = SendResult(status=SendStatus.ERROR, code="txBAD_AUTH")


class ToldNode:
    """A node that answers each question with the next of its answers, and repeats the last."""

    def __init__(self, host: str, clock: FakeClock) -> None:
        self.health = Health(host, clock)
        self.health.ledger = 100
        self._clock = clock
        #: What it says: facts, an error, or SILENCE.
        self.answers: list[Any] = ["the truth"]
        #: The ledger that it shows with its next answers, one by one; the last stays.
        self.ledgers: list[int] = []
        #: What it says to an envelope, where it is not TAKEN.
        self.sends: dict[str, SendResult | PoolError] = {}
        #: An error of all envelopes, or SILENCE.
        self.refuses: Any = None
        #: Turns of the event loop that pass before it answers.
        self.turns = 0
        #: Envelopes of one list.
        self.longest = 100
        self.asked = self.readied = self.cancelled = 0
        self.lists: list[list[str]] = []
        self.gets: list[str] = []
        self.recheck: Any = None

    # States -----------------------------------------------------------------------------------

    def healthy(self) -> "ToldNode":
        """Let a probe find that all is well."""
        self.health.confirm()
        return self

    def lost(self) -> None:
        """Go away."""
        for _ in range(AWAY_AFTER):
            self._fail(AWAY)

    def rests(self, seconds: float) -> None:
        """Ask not to be called."""
        self._fail(RpcBusyError("busy", retry_after=seconds))

    def takes(self, seconds: float) -> None:
        """Take so long for an answer."""
        with self.health.watching():
            self._clock.seconds += seconds

    def _fail(self, error: PoolError) -> None:
        with suppress(type(error)), self.health.watching():
            raise error

    # Methods of Rpc ---------------------------------------------------------------------------

    async def ready(self) -> None:
        """As Rpc's."""
        self.readied += 1
        self.health.check_rest()

    async def ask(self, question: object) -> Any:
        """As Rpc's."""
        return await self.tell()

    async def entries(self, readers: object) -> Any:
        """As Rpc's."""
        return await self.tell()

    async def tell(self) -> Any:
        """Give the next answer."""
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if self.ledgers:
            self.health.ledger = self.ledgers.pop(0)
        await self._hear(answer)
        return answer

    async def get(self, url: str) -> int:
        """As Rpc's."""
        self.gets.append(url)
        return 200

    def parts(self, envelopes: Sequence[str]) -> list[slice]:
        """As Rpc's."""
        starts = range(0, len(envelopes), self.longest)
        return [slice(start, start + self.longest) for start in starts]

    async def send(self, envelopes: Sequence[str]) -> list[SendResult | PoolError]:
        """As Rpc's."""
        self.lists.append(list(envelopes))
        await self._hear(self.refuses)
        return [self.sends.get(item, TAKEN) for item in envelopes]

    async def _hear(self, answer: object) -> None:
        try:
            if answer is SILENCE:
                await asyncio.Event().wait()
            for _ in range(self.turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer


class Nodes:
    """Nodes that all are healthy, and `Endpoints` over them."""

    def __init__(self, count: int, *, hedge: float = HEDGE) -> None:
        self.clock = FakeClock()
        self.all = [ToldNode(f"node{number}", self.clock).healthy() for number in range(count)]
        self.endpoints = Endpoints(
            cast("Any", self.all), seen=Heights(count), hedge=hedge, moment=0, clock=self.clock
        )

    def __getitem__(self, number: int) -> ToldNode:
        return self.all[number]

    @property
    def asked(self) -> list[int]:
        """How often each was asked."""
        return [node.asked for node in self.all]

    @property
    def blamed(self) -> list[int]:
        """How often each was contradicted."""
        return [node.health.contradictions for node in self.all]
