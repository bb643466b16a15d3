"""The true chain of the model: ledgers, accounts, payments, calls. No part of this module lies."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.wallet.chain.build import wire
from services.wallet.chain.build.ledger_keys import (
    account_key,
    block_key,
    pail_key,
    trustline_key,
)
from services.wallet.domain.chain_facts import BlockState, CallResult, ContractError
from tests.model.envelopes import Envelope, Paid, read_envelope
from tests.model.farm import (
    BLOCK,
    FARM,
    LAST_BLOCK,
    NETWORK,
    Call,
    Farm,
    OpenedBlock,
    Pail,
    Place,
)

#: Beginning of the chain: ledger, close time, and the sequence numbers of all accounts.
FIRST_LEDGER, FIRST_TIME, FIRST_NUMBER = 100, 1000, 90 << 32
#: Ledgers before the first in which the running block was opened.
_OPENED_BEFORE = 5
#: Stroops of KALE that a farmer has at first; more than all withdrawals of an example.
RICH = 10**6
#: Stroops that farmers stake who plant by themselves.
_OWN_STAKE = 3
_ASSET = NETWORK.asset.to_trust_line_asset_xdr_object().to_xdr_bytes()

TRAPPED = ContractError(raiser="host", code="Storage/ExceededLimit")
NO_CONSENT = ContractError(raiser="host", code="Context/InvalidAction")
REFUSED = ContractError(raiser="transaction", code="PAYMENT_NO_TRUST")


#: Blocks that were opened before an example begins.
_FIRST_BLOCKS = (
    OpenedBlock(index=BLOCK - 1, ledger=FIRST_LEDGER - 40, timestamp=FIRST_TIME - 200),
    OpenedBlock(
        index=BLOCK,
        ledger=FIRST_LEDGER - _OPENED_BEFORE,
        timestamp=FIRST_TIME - 5 * _OPENED_BEFORE,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A transaction in a ledger."""

    envelope: Envelope
    ledger: int
    #: Results of the calls; empty when the transaction failed as a whole, and for payments.
    results: tuple[CallResult, ...]
    error: ContractError | None


@dataclass(kw_only=True)
class Network:
    """The true state of the chain."""

    #: Close time of every ledger, by sequence.
    times: dict[int, int] = field(default_factory=lambda: {FIRST_LEDGER: FIRST_TIME})
    #: Ledgers in which an account's sequence number rose to a value; accounts that exist have at
    #: least one.
    numbers: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    #: Ledgers from which on an account accepts KALE, or refuses it.
    lines: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    farm: Farm = field(default_factory=lambda: Farm(blocks=list(_FIRST_BLOCKS)))
    #: Payments that were made, with their ledgers.
    paid: list[tuple[int, Paid]] = field(default_factory=list)
    #: Transactions in ledgers by the inner hash.
    taken: dict[str, Taken] = field(default_factory=dict)
    queue: dict[str, Envelope] = field(default_factory=dict)
    #: All envelopes that any node was ever sent, by inner hash, with the ledger of the first time.
    received: dict[str, tuple[int, Envelope]] = field(default_factory=dict)
    #: Highest bid of each transaction's envelopes, by inner hash.
    bids: dict[str, int] = field(default_factory=dict)
    #: Inner hashes by inner or outer hash.
    names: dict[str, str] = field(default_factory=dict)
    #: Meaning of ledger keys: the kind of the entry, and its address, place or block.
    keys: dict[str, tuple[str, str | Place | int]] = field(default_factory=dict)
    #: Envelopes that were signed for a number while a ledger could still take an earlier one.
    reused: list[tuple[Envelope, Envelope]] = field(default_factory=list)
    #: Nonces of farmers' authorisations that were used.
    _nonces: set[tuple[str, int]] = field(default_factory=set)
    _read: dict[str, Envelope] = field(default_factory=dict)
    _signed: dict[tuple[str, int], list[Envelope]] = field(
        default_factory=lambda: defaultdict(list)
    )

    # Accounts ---------------------------------------------------------------------------------

    def add(self, address: str) -> None:
        """Add an account with a trustline."""
        self.numbers[address] = [(FIRST_LEDGER - 10, FIRST_NUMBER)]
        self.lines[address] = [(0, True)]
        self.keys[account_key(address)] = ("account", address)
        self.keys[trustline_key(address, _ASSET)] = ("line", address)

    def add_farmer(self, address: str) -> None:
        """Have the entries of a farmer's pails found by their keys."""
        for index in range(BLOCK - 1, LAST_BLOCK + 1):
            self.keys[pail_key(FARM, address, index)] = ("pail", (address, index))
            self.keys[block_key(FARM, index)] = ("block", index)

    def number(self, source: str, ledger: int) -> tuple[int, int]:
        """Return an account's sequence number at a ledger, and the ledger that used the number."""
        used, number = [item for item in self.numbers[source] if item[0] <= ledger][-1]
        return number, used

    def accepts(self, address: str, ledger: int) -> bool:
        """Tell whether an account accepts KALE at a ledger."""
        return [takes for since, takes in self.lines[address] if since <= ledger][-1]

    def kale(self, address: str, ledger: int) -> int:
        """Return the stroops of KALE at a ledger; stakes and rewards are not counted."""
        if address in self.farm.poor:
            return 0
        out = (item.amount for at, item in self.paid if at <= ledger and item.source == address)
        return RICH - sum(out)

    # Ledgers ----------------------------------------------------------------------------------

    @property
    def ledger(self) -> int:
        """Return the sequence of the newest ledger."""
        return max(self.times)

    @property
    def now(self) -> int:
        """Return the close time of the newest ledger."""
        return self.times[self.ledger]

    def receive(self, text: str) -> Envelope:
        """Take an envelope that a node was sent: whoever sees it may send it on, now or later."""
        item = self.read(text)
        self.bids[item.lookup] = max(self.bids.get(item.lookup, 0), item.bid)
        if item.lookup not in self.received:
            self._note_number(item)
            self.received[item.lookup] = self.ledger, item
        return item

    def _note_number(self, item: Envelope) -> None:
        """Note an envelope for a number that another one could still use."""
        others = self._signed[item.source, item.sequence]
        self.reused += [(one, item) for one in others if self.may_be_taken(one)]
        others.append(item)

    def read(self, text: str) -> Envelope:
        """Return the content of an envelope, whose hashes name its transaction from now on."""
        item = self.content(text)
        self.names |= {item.hash: item.lookup, item.lookup: item.lookup}
        return item

    def content(self, text: str) -> Envelope:
        """Return the content of an envelope."""
        if text not in self._read:
            self._read[text] = read_envelope(text)
        return self._read[text]

    def close(
        self,
        lookups: Sequence[str],
        *,
        seconds: int,
        traps: frozenset[str] = frozenset(),
        strangers: Sequence[str] = (),
        opens: bool = False,
    ) -> None:
        """Close the next ledger with the queued transactions that it may take, in this order.

        Before these the ledger takes the plants of strangers who have the keys of the accounts in
        `strangers`. With `opens`, a stranger's plant opens the next block, if it is due.
        """
        ledger, now = self.ledger + 1, self.now + seconds
        self.times[ledger] = now
        for source in strangers:
            self.numbers[source].append((ledger, self.number(source, ledger)[0] + 1))
            plant = Call(function="plant", farmer=source, number=_OWN_STAKE)
            self.farm.run(plant, ledger=ledger, now=now)
        if opens:
            self.farm.open_next(ledger=ledger, now=now)
        for lookup in lookups:
            item = self.queue.pop(lookup)
            number, _ = self.number(item.source, ledger)
            if item.sequence == number + 1 and now <= item.max_time:
                self._take(item, ledger, traps)
        self.queue = {name: item for name, item in self.queue.items() if item.max_time >= now}

    def may_be_taken(self, item: Envelope) -> bool:
        """Tell whether the next ledger could take the envelope, if it is sent again."""
        number, _ = self.number(item.source, self.ledger)
        return self.now < item.max_time and item.sequence == number + 1

    def _take(self, item: Envelope, ledger: int, traps: frozenset[str]) -> None:
        number, error = item.sequence, self._obstacle(item, ledger, traps)
        results: tuple[CallResult, ...] = ()
        if error is None:
            results = tuple(self._run(item, call, ledger) for call in item.calls)
            # A call that is no part of a multicall fails with its transaction.
            error = None if item.is_pack or not results else results[0].error
        if error is None and item.bump_to is not None:
            number = max(number, item.bump_to)
        if error is None:
            self.paid += [(ledger, payment) for payment in item.payments]
        self.numbers[item.source].append((ledger, number))
        self.taken[item.lookup] = Taken(
            envelope=item, ledger=ledger, results=() if error else results, error=error
        )

    def _obstacle(self, item: Envelope, ledger: int, traps: frozenset[str]) -> ContractError | None:
        """Return the error that makes the whole transaction fail, if there is one."""
        if traps.intersection(item.farmers):
            return TRAPPED
        now = self.times[ledger]
        if not all(item.names(self.farm.place_of(call, ledger, now)) for call in item.calls):
            return TRAPPED
        if any(not self.accepts(payment.destination, ledger) for payment in item.payments):
            return REFUSED
        return None

    def _run(self, item: Envelope, call: Call, ledger: int) -> CallResult:
        """Carry out one call; what it changes is kept when it works."""
        if not self.consents(item, call, ledger):
            return CallResult(error=NO_CONSENT)
        result = self.farm.run(call, ledger=ledger, now=self.times[ledger])
        if result.error is None and call.farmer in item.consents:
            self._nonces.add((call.farmer, item.consents[call.farmer].nonce))
        return result

    def consents(self, item: Envelope, call: Call, ledger: int) -> bool:
        """Tell whether a farmer agrees to its call, where that is needed."""
        if call.function != "plant" or item.source == call.farmer:
            return True
        given = item.consents.get(call.farmer)
        return (
            given is not None
            and given.expiration >= ledger
            and (call.farmer, given.nonce) not in self._nonces
        )


# Entries as XDR -------------------------------------------------------------------------------


def account_data(key: bytes, *, xlm: int, number: int, used: int) -> str:
    """Return LedgerEntryData of an account that only its own key signs for."""
    rest = wire.i64(xlm) + wire.i64(number) + wire.u32(0) * 4 + bytes([1, 0, 0, 0]) + wire.u32(0)
    extensions = wire.u32(1) + bytes(16) + wire.u32(2) + wire.u32(0) * 3
    extensions += wire.u32(3) + wire.u32(0) + wire.u32(used) + wire.u64(0)
    return _text(key + rest + extensions)


def line_data(key: bytes, *, kale: int, accepts: bool) -> str:
    """Return LedgerEntryData of a trustline."""
    limits = wire.i64(kale) + wire.i64(10**15)
    return _text(key + limits + wire.u32(1 if accepts else 0) + wire.u32(0))


def pail_data(key: bytes, pail: Pail) -> str:
    """Return LedgerEntryData of a pail."""
    return _record(
        key,
        gap=wire.u32(1) if pail.gap is None else wire.sc_u32(pail.gap),
        sequence=wire.sc_u32(pail.sequence),
        stake=wire.sc_i128(pail.stake),
        zeros=wire.u32(1) if pail.zeros is None else wire.sc_u32(pail.zeros),
    )


def block_data(key: bytes, block: BlockState) -> str:
    """Return LedgerEntryData of a block's record."""
    return _record(
        key,
        entropy=wire.sc_bytes(block.entropy),
        max_gap=wire.sc_u32(block.max_gap),
        max_stake=wire.sc_i128(block.max_stake),
        max_zeros=wire.sc_u32(block.max_zeros),
        min_gap=wire.sc_u32(block.min_gap),
        min_stake=wire.sc_i128(block.min_stake),
        min_zeros=wire.sc_u32(block.min_zeros),
        normalized_total=wire.sc_i128(block.normalized_total),
        staked_total=wire.sc_i128(block.staked_total),
        timestamp=wire.sc_u64(block.timestamp),
    )


def _record(key: bytes, **fields: bytes) -> str:
    value = wire.sc_map((wire.sc_symbol(name), item) for name, item in fields.items())
    return _text(key[:4] + wire.u32(0) + key[4:] + value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
