"""Nodes whose every answer an adversary picks.

Honest nodes answer as far as a real node might, liars as they like. Each node has a plan of its
own, or several nodes share one plan.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar, cast
from zlib import crc32

from libs.common.clock import Clock
from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import raw
from services.wallet.chain.build.wire import Resources
from services.wallet.chain.errors import RpcRejectedError, RpcUnavailableError
from services.wallet.chain.node.rpc import Rpc
from services.wallet.chain.node.transport import Transport
from services.wallet.chain.read.results import Refusal
from services.wallet.domain.chain_facts import (
    CallResult,
    ContractError,
    LedgerHead,
    Outcome,
    OutcomeStatus,
)
from services.wallet.domain.heights import Heights
from tests.model.envelopes import Envelope
from tests.model.farm import (
    NETWORK,
    NO_BALANCE,
    PAIL_EXISTS,
    PAIL_MISSING,
    STAKE,
    WORK_MISSING,
    Call,
    Pail,
    Place,
    keys_of,
    record_of,
)
from tests.model.network import (
    FIRST_LEDGER,
    FIRST_NUMBER,
    NO_CONSENT,
    REFUSED,
    TRAPPED,
    Network,
    account_data,
    block_data,
    line_data,
    pail_data,
)

T = TypeVar("T")
Json = dict[str, Any]

#: Field of an answer that has its facts; Facts reads them.
FACTS = "facts"
_NO_HEAD = LedgerHead(sequence=1, close_time=0)
_TX_BAD_SEQ, _TX_INSUFFICIENT_FEE = -5, -9


class Killed(BaseException):
    """The process was killed at this very instant."""


class Fate:
    """The life of a process, which may die at any await."""

    def __init__(self, chance: Random, of_hundred: int) -> None:
        self._chance = chance
        self._of_hundred = of_hundred
        self.is_dead = False

    def spare(self) -> None:
        """Protect the process from being killed from now on."""
        self._of_hundred = 0

    def step(self) -> None:
        """Mark an await: the process may die here, and a dead process does nothing any more."""
        if self._of_hundred and self._chance.randrange(100) < self._of_hundred:
            self.is_dead = True
        if self.is_dead:
            raise Killed


@dataclass(frozen=True, kw_only=True)
class Tricks:
    """Tricks of an honest node: how often, of ten times, it gives an unwanted answer."""

    #: No answer.
    away: int = 0
    #: An answer that is up to three ledgers old.
    stale: int = 0
    #: A node that has only the last two ledgers.
    forgetful: int = 0
    #: A ledger that closes between a lookup and the head that is shown with it.
    torn: int = 0
    #: A refusal of ranges of ledgers.
    no_ranges: int = 0
    #: A refused bid.
    greedy: int = 0
    #: A sent envelope that is not kept.
    dropped: int = 0
    #: A sent envelope that is kept while the answer is lost.
    lost: int = 0
    #: A sent envelope that is kept while the answer is an error.
    contrary: int = 0


@dataclass(frozen=True, kw_only=True)
class Lies:
    """Lies of a liar: how many of ten subjects of a kind are lied about.

    The secret decides which subjects: nodes that share the secret lie alike.
    """

    secret: int
    #: Transactions in ledgers are not found.
    hides: int = 0
    #: Transactions that worked, or never existed, have failed.
    fails: int = 0
    #: Transactions that failed, or never existed, have worked.
    succeeds: int = 0
    #: Sequence numbers.
    numbers: int = 0
    #: Pails that do not exist are shown, or pails that exist are not.
    pails: int = 0
    #: Accounts do not exist, are poor, or accept nothing.
    accounts: int = 0
    #: Ledgers and clocks.
    heads: int = 0
    #: Sent envelopes are thrown away.
    swallows: int = 0
    #: Calls that would work are refused by a simulation, or cost more than their caps.
    simulations: int = 0


#: Amounts that a liar adds to ledger and clock.
_SHIFTS = [(1, 0), (10, 0), (10, 60), (100_000, 0), (0, 60), (0, 10**6), (-2, -10), (-20, -100)]
_ERRORS = [REFUSED, TRAPPED, PAIL_EXISTS]
#: What a simulation says falsely; None: that the call costs a hundred times as much.
_REFUSALS = [None, TRAPPED, PAIL_EXISTS, PAIL_MISSING, WORK_MISSING, NO_BALANCE]
#: Stroops of resource fee, and other resources, of each call.
CALL_FEE = 13_000
_INSTRUCTIONS, _WRITE_BYTES = 1000, 100


class Server:
    """A node of the network."""

    def __init__(
        self, network: Network, chance: Random, tricks: Tricks, lies: Lies | None = None
    ) -> None:
        self._network = network
        self._chance = chance
        self._tricks = tricks
        self.lies = lies
        #: Mood of the liar: with every new mood it lies about other subjects.
        self.mood = 0
        #: Ledger that the node has reached: it never goes back.
        self._has = FIRST_LEDGER

    def rest(self) -> None:
        """Make the node honest and without tricks from now on."""
        self._tricks, self.lies = Tricks(), None

    def answer(self, method: str, parameters: Mapping[str, Any]) -> Json:
        """Return the result of a call; RpcUnavailableError when there is none."""
        if self._happens(self._tricks.away):
            raise RpcUnavailableError("away")
        newest = self._network.ledger
        lag = self._chance.randrange(4) if self._happens(self._tricks.stale) else 0
        self._has = max(self._has, newest - lag)
        return self._answers[method](parameters)

    @property
    def _answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], Json]]:
        """Return the methods of JSON-RPC."""
        return {
            "getNetwork": lambda _: {"passphrase": NETWORK.passphrase},
            "getHealth": lambda _: self._health(),
            "getTransaction": lambda asked: self._transaction(asked["hash"]),
            "getTransactions": lambda asked: self._transactions(asked["startLedger"]),
            "getLedgerEntries": lambda asked: self._entries(asked["keys"]),
            "sendTransaction": lambda asked: self._send(asked["transaction"]),
            "simulateTransaction": lambda asked: self._simulation(asked["transaction"]),
        }

    def _health(self) -> Json:
        return {"status": "healthy", "latestLedger": self._head(self._has).sequence}

    def _happens(self, of_ten: int) -> bool:
        """Tell whether the adversary lets the trick happen now."""
        return self._chance.randrange(10) < of_ten

    # Lies -------------------------------------------------------------------------------------

    def _dice(self, kind: str, subject: object) -> int:
        secret = self.lies.secret if self.lies else 0
        return crc32(f"{secret} {self.mood} {kind} {subject}".encode())

    def _lies(self, kind: str, subject: object = "") -> bool:
        """Tell whether the node lies about this subject, as long as its mood lasts."""
        of_ten = getattr(self.lies, kind, 0)
        return bool(of_ten) and self._dice(kind, subject) % 10 < of_ten

    def _pick(self, kind: str, subject: object, choices: Sequence[T]) -> T:
        return choices[self._dice(f"which of {kind}", subject) % len(choices)]

    # What it says -----------------------------------------------------------------------------

    def _head(self, ledger: int) -> LedgerHead:
        oldest = ledger - 1 if self._happens(self._tricks.forgetful) else FIRST_LEDGER
        more, later = self._pick("heads", "", _SHIFTS) if self._lies("heads") else (0, 0)
        sequence = max(1, ledger + more)
        close_time = self._network.times[ledger] + later
        return LedgerHead(sequence=sequence, close_time=close_time, oldest=min(oldest, sequence))

    def _transaction(self, name: str) -> Json:
        """Return the answer about a transaction.

        The lookup and the head are two reads: ledgers may close in between.
        """
        at = self._has
        shown = self._head(self._network.ledger if self._happens(self._tricks.torn) else at)
        answer: Json = {
            "status": "NOT_FOUND",
            "latestLedger": shown.sequence,
            "latestLedgerCloseTime": shown.close_time,
            "oldestLedger": shown.oldest,
        }
        lookup = self._network.names.get(name)
        told = None if lookup is None else self._told(lookup, at)
        if told is None or not shown.oldest <= told.ledger <= shown.sequence:
            return answer
        return answer | {"status": told.status.value, "ledger": told.ledger, FACTS: told}

    def _transactions(self, first: int) -> Json:
        head = self._head(self._has)
        if first < head.oldest or first > head.sequence or self._happens(self._tricks.no_ranges):
            raise RpcRejectedError("startLedger is out of range")
        found: list[Json] = []
        for lookup in sorted({*self._network.taken, *self._network.received}):
            told = self._told(lookup, self._has)
            if told is not None and first <= told.ledger <= head.sequence:
                found.append(self._item(lookup, told))
        return {
            "transactions": sorted(found, key=lambda item: item["ledger"]),
            "latestLedger": head.sequence,
            "latestLedgerCloseTimestamp": head.close_time,
            "oldestLedger": head.oldest,
            "cursor": "0",
        }

    def _item(self, lookup: str, told: Outcome) -> Json:
        taken = self._network.taken.get(lookup)
        envelope = taken.envelope if taken else self._network.received[lookup][1]
        fee = wire.i64(told.fee_charged)
        return {
            "txHash": envelope.hash,
            "status": told.status.value,
            "ledger": told.ledger,
            "envelopeXdr": envelope.xdr,
            "resultXdr": base64.b64encode(fee).decode(),
            FACTS: told,
        }

    def _told(self, lookup: str, at: int) -> Outcome | None:
        """Return the outcome that the node tells of a transaction at a ledger; None: not found."""
        taken = self._network.taken.get(lookup)
        if taken is not None and taken.ledger <= at:
            if self._lies("hides", lookup):
                return None
            lie = "succeeds" if taken.error else "fails"
            is_lie = self._lies(lie, lookup)
            has_worked = (taken.error is None) is not is_lie
            if not is_lie:
                return _outcome(taken.envelope, taken.ledger, taken.error, taken.results)
            return self._invented(taken.envelope, taken.ledger, has_worked=has_worked)
        if lookup not in self._network.received:
            return None
        since, envelope = self._network.received[lookup]
        for lie in ("succeeds", "fails"):
            if self._lies(lie, lookup):
                ledger = min(since + 1, at)
                return self._invented(envelope, ledger, has_worked=lie == "succeeds")
        return None

    def _invented(self, envelope: Envelope, ledger: int, *, has_worked: bool) -> Outcome:
        error = None if has_worked else self._pick("errors", envelope.lookup, _ERRORS)
        results = tuple(map(_invented_result, envelope.calls)) if has_worked else ()
        return _outcome(envelope, ledger, error, results)

    def _entries(self, keys: Sequence[str]) -> Json:
        head = self._head(self._has)
        entries = []
        for text in keys:
            kind, subject = self._network.keys.get(text, ("", ""))
            data = self._entry(kind, subject, base64.b64decode(text)) if kind else None
            if data is not None:
                entries.append(
                    {
                        "key": text,
                        "xdr": data,
                        "lastModifiedLedgerSeq": 1,
                        "liveUntilLedgerSeq": 10**6,
                    }
                )
        return {"entries": entries, "latestLedger": head.sequence}

    def _entry(self, kind: str, subject: Any, key: bytes) -> str | None:
        network, at = self._network, self._has
        match kind:
            case "account":
                if self._lies("accounts", subject):
                    return None
                number, used = self._number(subject)
                return account_data(key, xlm=10**9, number=number, used=used)
            case "line":
                is_lie = self._lies("accounts", f"line {subject}")
                accepts = network.accepts(subject, at) is not is_lie
                return line_data(key, kale=network.kale(subject, at), accepts=accepts)
            case "block":
                blocks = [item for item in network.farm.blocks if item.ledger <= at]
                found = [item for item in blocks if item.index == subject]
                return block_data(key, record_of(found[0])) if found else None
        pail = self._pail(subject)
        return None if pail is None else pail_data(key, pail)

    def _pail(self, place: Place) -> Pail | None:
        pail = self._network.farm.pail(place, self._has)
        if not self._lies("pails", place):
            return pail
        return Pail(sequence=self._has, stake=STAKE) if pail is None else None

    # Simulations ------------------------------------------------------------------------------

    def _simulation(self, text: str) -> Json:
        """Return what a simulation at the node's ledger says of a transaction."""
        item, head = self._network.content(text), self._head(self._has)
        refusal, fee = self._refusal(item), CALL_FEE * len(item.calls)
        subject = " ".join(f"{call.function} {call.farmer}" for call in item.calls)
        if self._lies("simulations", subject):
            lie = self._pick("refusals", subject, _REFUSALS)
            position = self._pick("positions", subject, range(len(item.calls)))
            refusal = None if lie is None else _refusal(item, lie, position)
            fee *= 100 if lie is None else 1
        return {
            FACTS: refusal,
            "latestLedger": head.sequence,
            "transactionData": self._data(item, fee),
            "minResourceFee": str(fee),
        }

    def _refusal(self, item: Envelope) -> Refusal | None:
        """Return the first call that fails, as the node's ledger stands."""
        network, at = self._network, self._has
        for position, call in enumerate(item.calls):
            found = network.farm.effect(call, at, ledger=at, now=network.times[at])
            error = found.result.error
            if not network.consents(item, call, at):
                error = NO_CONSENT
            if error is not None:
                return _refusal(item, error, position)
        return None

    def _data(self, item: Envelope, fee: int) -> str:
        network, at = self._network, self._has
        keys: dict[bytes, None] = {}
        for call in item.calls:
            place = network.farm.place_of(call, at, network.times[at])
            keys |= dict.fromkeys(sorted(keys_of(place)))
            if call.farmer in item.consents:
                keys[wire.nonce_key(raw(call.farmer), item.consents[call.farmer].nonce)] = None
        needed = Resources(
            read_only=(),
            read_write=tuple(keys),
            instructions=_INSTRUCTIONS * len(item.calls),
            disk_read_bytes=0,
            write_bytes=_WRITE_BYTES * len(item.calls),
            fee=fee,
        )
        return base64.b64encode(needed.encode()).decode()

    def _number(self, address: str) -> tuple[int, int]:
        number, used = self._network.number(address, self._has)
        if not self._lies("numbers", address):
            return number, used
        mine = [item for _, item in self._network.received.values() if item.source == address]
        targets = [item.bump_to for item in mine if item.bump_to is not None]
        choices = [number - 1, number + 1, FIRST_NUMBER]
        choices += 2 * [max(targets)] if targets else [number + 1000]
        choices += [max(item.sequence for item in mine)] if mine else []
        return max(0, self._pick("numbers", address, choices)), self._has

    def _send(self, text: str) -> Json:
        tricks, envelope = self._tricks, self._network.receive(text)
        if self._happens(tricks.greedy):
            return _refused(_TX_INSUFFICIENT_FEE, fee=envelope.bid * 2)
        is_kept = not self._happens(tricks.dropped) and not self._lies("swallows", envelope.lookup)
        if is_kept:
            self._network.queue[envelope.lookup] = envelope
        if self._happens(tricks.lost):
            raise RpcUnavailableError("the answer is lost")
        if self._happens(tricks.contrary):
            return _refused(_TX_BAD_SEQ)
        status = self._chance.choice(["PENDING", "DUPLICATE", "TRY_AGAIN_LATER"])
        return {"status": status, "latestLedger": self._has}


def _outcome(
    envelope: Envelope, ledger: int, error: ContractError | None, results: tuple[CallResult, ...]
) -> Outcome:
    return Outcome(
        status=OutcomeStatus.FAILED if error else OutcomeStatus.SUCCESS,
        head=_NO_HEAD,
        ledger=ledger,
        fee_charged=envelope.bid,
        results=results,
        error=error,
    )


def _invented_result(call: Call) -> CallResult:
    return CallResult(value=None if call.function == "plant" else 1)


def _refusal(item: Envelope, error: ContractError, position: int) -> Refusal:
    """Return the refusal of a simulation; of a multicall only calls fail, unless the host traps."""
    is_alone = not item.is_pack or error == TRAPPED
    return Refusal(error=error, message="no", position=None if is_alone else position)


def _refused(code: int, fee: int = 0) -> Json:
    result = wire.i64(fee) + code.to_bytes(4, "big", signed=True) + wire.u32(0)
    return {"status": "ERROR", "errorResultXdr": base64.b64encode(result).decode()}


class Facts:
    """A replacement of the reader of results: answers already hold their facts."""

    def outcome(self, answer: Json, head: LedgerHead, functions: Sequence[str]) -> Outcome:
        """Return the outcome of a transaction in an answer."""
        if answer["status"] == "NOT_FOUND":
            return Outcome(status=OutcomeStatus.NOT_FOUND, head=head)
        return replace(cast("Outcome", answer[FACTS]), head=head)

    def refusal(self, answer: Json) -> Refusal | None:
        """Return the reason why a simulation failed."""
        return cast("Refusal | None", answer[FACTS])

    def failing_call(self, answer: Json, calls: object) -> None:
        """Return None: `refusal` tells about calls of a multicall, too."""


class Wire(Transport):
    """The connection to a node.

    Every call is an await at which the process may die, before and after.
    """

    def __init__(self, server: Server, fate: Fate, host: str) -> None:
        nothing = cast("Any", None)
        super().__init__((nothing, nothing), f"http://{host}", host, asyncio.Semaphore())
        self._server = server
        self._fate = fate

    async def ask(
        self, method: str, body: bytes, read: Callable[[Any], T], *, is_list: bool = False
    ) -> T:
        """Return the result of `read` on the answers, which already hold their facts."""
        self._fate.step()
        await asyncio.sleep(0)
        calls = json.loads(body)
        answers = [self._answer(method, call) for call in (calls if is_list else [calls])]
        self._fate.step()
        return read(answers if is_list else answers[0])

    def _answer(self, method: str, call: Mapping[str, Any]) -> Json:
        result = self._server.answer(method, call.get("params", {}))
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}


class FakeRpc(Rpc):
    """A process's connection to a node: the real class except for the wire."""

    def __init__(
        self, server: Server, fate: Fate, *, seen: Heights, position: int, clock: Clock
    ) -> None:
        host = f"node-{position}"
        super().__init__(
            Wire(server, fate, host),
            host,
            passphrase=NETWORK.passphrase,
            seen=seen,
            position=position,
            clock=clock,
        )
        self._server = server

    @property
    def is_liar(self) -> bool:
        """Tell whether the node lies at times."""
        return self._server.lies is not None
