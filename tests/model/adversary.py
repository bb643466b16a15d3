"""A network whose every answer an adversary picks, as far as a real network might give it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random

from libs.common.errors import PoolError
from services.wallet.chain.errors import (
    FeeCapExceededError,
    RpcUnavailableError,
    StaleAnswerError,
)
from services.wallet.chain.included import Included
from services.wallet.chain.model import (
    BlockState,
    CallResult,
    ContractError,
    LedgerHead,
    Outcome,
    OutcomeStatus,
    PailState,
    SendResult,
    SendStatus,
    SignedEnvelope,
)

BLOCK = 10
_PAIL_EXISTS = ContractError(raiser="farm", code="PailExists")
_TRAPPED = ContractError(raiser="host", code="Storage/ExceededLimit")
_NAMES = count()


class Killed(BaseException):
    """The process was killed at this very instant."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What is in an envelope, which the engine carries around as opaque text."""

    signed: SignedEnvelope
    #: Farmers whose plants it carries.
    farmers: tuple[str, ...]
    #: It goes through a multicall: each plant fails for itself.
    is_pack: bool

    @property
    def lookup(self) -> str:
        """Hash of the inner transaction."""
        return self.signed.inner_hash or self.signed.hash


def envelope(
    *, source: str, sequence: int, max_time: int, bid: int, farmers: Sequence[str]
) -> Envelope:
    """A fresh one."""
    name = f"{next(_NAMES):064x}"
    signed = SignedEnvelope(
        xdr=f"envelope {name}",
        hash=name,
        inner_hash=f"{next(_NAMES):064x}",
        source=source,
        sequence=sequence,
        max_time=max_time,
        fee_bid=bid,
    )
    return Envelope(signed=signed, farmers=tuple(farmers), is_pack=len(farmers) > 1)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A transaction in a ledger."""

    ledger: int
    #: Of the bid that was taken.
    hash: str
    fee: int
    #: Results of the calls; empty when it failed as a whole.
    results: tuple[CallResult, ...]
    error: ContractError | None


@dataclass(kw_only=True)
class Network:
    """The truth."""

    #: Close time of every ledger, by sequence.
    times: dict[int, int] = field(default_factory=lambda: {100: 1000})
    #: Ledgers in which an account's number rose to a value.
    numbers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    #: Ledger in which a farmer planted.
    pails: dict[str, int] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    queue: dict[str, Envelope] = field(default_factory=dict)
    #: Successful plants of each farmer.
    planted: dict[str, int] = field(default_factory=dict)
    #: All that was ever made, by its text.
    known: dict[str, Envelope] = field(default_factory=dict)

    @property
    def ledger(self) -> int:
        """The newest."""
        return max(self.times)

    def number(self, source: str, ledger: int) -> tuple[int, int]:
        """An account's sequence number at a ledger, and the ledger that used it."""
        at = [item for item in self.numbers.get(source, []) if item[0] <= ledger]
        return (at[-1][1], at[-1][0]) if at else (0, 0)

    def close(self, lookups: Sequence[str], *, seconds: int, traps: frozenset[str]) -> None:
        """The next ledger, with those of the queue that it may take, in this order."""
        ledger, now = self.ledger + 1, self.times[self.ledger] + seconds
        self.times[ledger] = now
        for lookup in lookups:
            item = self.queue.pop(lookup)
            number, _ = self.number(item.signed.source, ledger)
            if item.signed.sequence == number + 1 and now <= item.signed.max_time:
                self._take(item, ledger, traps)
        self.queue = {
            lookup: item for lookup, item in self.queue.items() if item.signed.max_time >= now
        }

    def _take(self, item: Envelope, ledger: int, traps: frozenset[str]) -> None:
        self.numbers.setdefault(item.signed.source, []).append((ledger, item.signed.sequence))
        failed = [farmer in self.pails for farmer in item.farmers]
        error = None
        if traps.intersection(item.farmers):
            error = _TRAPPED
        elif any(failed) and not item.is_pack:
            error = _PAIL_EXISTS
        results = () if error else tuple(self._plant(farmer, ledger) for farmer in item.farmers)
        self.taken[item.lookup] = Taken(
            ledger=ledger,
            hash=item.signed.hash,
            fee=item.signed.fee_bid,
            results=results,
            error=error,
        )

    def _plant(self, farmer: str, ledger: int) -> CallResult:
        if farmer in self.pails:
            return CallResult(error=_PAIL_EXISTS)
        self.pails[farmer] = ledger
        self.planted[farmer] = self.planted.get(farmer, 0) + 1
        return CallResult()


@dataclass(frozen=True, kw_only=True)
class Tricks:
    """How often, of ten times, an answer is what nobody wants."""

    #: There is none.
    away: int = 0
    #: The process dies while it waits for one.
    killed: int = 0
    #: It is up to three ledgers old.
    stale: int = 0
    #: The node has only the last two ledgers.
    forgetful: int = 0
    #: A ledger closes between a lookup and the head that is shown with it.
    torn: int = 0
    #: Ranges of ledgers are not given.
    no_ranges: int = 0
    #: A bid is refused.
    greedy: int = 0
    #: What was sent is not kept.
    dropped: int = 0
    #: What was sent is kept, and the answer is lost.
    lost: int = 0
    #: What was sent is kept, and the answer is an error.
    contrary: int = 0


class Node:
    """The facade of the chain, as the engine uses it; see services/wallet/chain/facade.py."""

    def __init__(self, network: Network, chance: Random, tricks: Tricks) -> None:
        self._network = network
        self._chance = chance
        self.tricks = tricks
        #: Of a pinned node: it never goes back.
        self._floor: int | None = None

    def happens(self, of_ten: int) -> bool:
        """Whether the adversary wants it now."""
        return self._chance.randrange(10) < of_ten

    def _answer(self) -> int:
        """The ledger that this answer is from; or there is none, or the process dies."""
        if self.happens(self.tricks.away):
            raise RpcUnavailableError("away")
        if self.happens(self.tricks.killed):
            raise Killed
        newest = self._network.ledger
        lag = self._chance.randrange(4) if self.happens(self.tricks.stale) else 0
        at = max(100, newest - lag, self._floor or 0)
        if self._floor is not None:
            self._floor = at
        return at

    def _head(self, ledger: int) -> LedgerHead:
        oldest = ledger - 1 if self.happens(self.tricks.forgetful) else 100
        return LedgerHead(sequence=ledger, close_time=self._network.times[ledger], oldest=oldest)

    async def head(self) -> LedgerHead:
        return self._head(self._answer())

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator["Node"]:
        node = Node(self._network, self._chance, self.tricks)
        node._floor = 0
        yield node

    async def included(self, first: int, wanted: Mapping[str, Sequence[str]]) -> Included:
        head = self._head(self._answer())
        if first < head.oldest or self.happens(self.tricks.no_ranges):
            raise RpcUnavailableError("startLedger is out of range")
        outcomes = {
            taken.hash: _outcome(taken, head)
            for taken in self._network.taken.values()
            if first <= taken.ledger <= head.sequence and taken.hash in wanted
        }
        return Included(outcomes=outcomes, unreadable={}, head=head)

    async def outcome(self, lookup: str, functions: Sequence[str]) -> Outcome:
        """The lookup and the head are two reads: ledgers may close in between."""
        at = self._answer()
        shown = self._head(self._network.ledger if self.happens(self.tricks.torn) else at)
        taken = self._network.taken.get(lookup)
        if taken is None or not shown.oldest <= taken.ledger <= at:
            return Outcome(status=OutcomeStatus.NOT_FOUND, head=shown)
        return _outcome(taken, shown)

    async def ledger_of_use(self, *, source: str, sequence: int, head: LedgerHead) -> int | None:
        at = self._answer()
        if at < head.sequence:
            raise StaleAnswerError("older than what was shown")
        number, used_at = self._network.number(source, at)
        if number < sequence:
            return None
        return used_at if number == sequence else at

    async def pail(self, farmer: str, index: int) -> PailState | None:
        return (await self.pails([(farmer, index)])).get((farmer, index))

    async def pails(self, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], PailState]:
        at = self._answer()
        return {
            place: PailState(
                sequence=self._network.pails[place[0]],
                stake=7,
                gap=None,
                zeros=None,
                live_until=10**6,
            )
            for place in places
            if self._network.pails.get(place[0], at + 1) <= at
        }

    async def block(self, index: int) -> BlockState | None:
        return None

    async def send(self, texts: Sequence[str]) -> list[SendResult | PoolError]:
        """Each taken or not, and whatever is said about it."""
        return [self._send(text) for text in texts]

    def _send(self, text: str) -> SendResult | PoolError:
        item, tricks = self._network.known[text], self.tricks
        if self.happens(tricks.greedy):
            fee = item.signed.fee_bid * 2
            return SendResult(status=SendStatus.ERROR, code="txINSUFFICIENT_FEE", required_fee=fee)
        if not self.happens(tricks.dropped):
            self._network.queue[item.lookup] = item
        if self.happens(tricks.killed):
            raise Killed
        if self.happens(tricks.lost):
            return RpcUnavailableError("the answer is lost")
        if self.happens(tricks.contrary):
            return SendResult(status=SendStatus.ERROR, code="txBAD_SEQ")
        answers = [SendStatus.PENDING, SendStatus.DUPLICATE, SendStatus.TRY_AGAIN_LATER]
        return SendResult(status=self._chance.choice(answers))

    def replacing_bid(self, text: str) -> int:
        return self._network.known[text].signed.fee_bid * 10

    def raise_bid(
        self, text: str, *, treasury: object, fee: int, max_fee: int
    ) -> SignedEnvelope | None:
        old = self._network.known[text]
        if old.signed.fee_bid >= fee:
            return None
        if fee > max_fee:
            raise FeeCapExceededError("above the cap")
        name = f"{next(_NAMES):064x}"
        signed = SignedEnvelope(
            xdr=f"envelope {name}",
            hash=name,
            inner_hash=old.lookup,
            source=old.signed.source,
            sequence=old.signed.sequence,
            max_time=old.signed.max_time,
            fee_bid=fee,
        )
        new = Envelope(signed=signed, farmers=old.farmers, is_pack=old.is_pack)
        self._network.known[signed.xdr] = new
        return signed


def _outcome(taken: Taken, head: LedgerHead) -> Outcome:
    return Outcome(
        status=OutcomeStatus.FAILED if taken.error else OutcomeStatus.SUCCESS,
        head=head,
        ledger=taken.ledger,
        fee_charged=taken.fee,
        results=taken.results,
        error=taken.error,
    )
