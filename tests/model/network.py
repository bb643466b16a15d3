"""The true chain of the model: ledgers, accounts, pails, payments. No part of this module lies."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stellar_sdk import (
    Asset,
    BumpSequence,
    FeeBumpTransactionEnvelope,
    Payment,
    TransactionEnvelope,
)

from services.wallet.chain.build import wire
from services.wallet.chain.build.calls import Farm, raw
from services.wallet.chain.build.ledger_keys import account_key, pail_key, trustline_key
from services.wallet.chain.networks import network_for
from services.wallet.domain.chain_facts import CallResult, ContractError

BLOCK = 10
STAKE = 7
#: Beginning of the chain: ledger, close time, and the sequence numbers of all accounts.
FIRST_LEDGER, FIRST_TIME, FIRST_NUMBER = 100, 1000, 90 << 32
#: Stroops of KALE that a farmer has at first; more than all withdrawals of an example.
RICH = 10**6
_STROOPS = 10**7

NETWORK = network_for("localnet")
FARM = Farm(farm=NETWORK.farm, token=NETWORK.token)
_ASSET = NETWORK.asset.to_trust_line_asset_xdr_object().to_xdr_bytes()

PAIL_EXISTS = ContractError(raiser="farm", code="PailExists")
TRAPPED = ContractError(raiser="host", code="Storage/ExceededLimit")
REFUSED = ContractError(raiser="transaction", code="PAYMENT_NO_TRUST")


@dataclass(frozen=True, kw_only=True)
class Paid:
    """One payment: source, destination, and stroops of KALE."""

    source: str
    destination: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The content of a signed envelope."""

    #: The envelope as sent (base64).
    xdr: str
    #: Hash of the envelope; for a fee bump the outer hash.
    hash: str
    #: Hash of the inner transaction.
    lookup: str
    source: str
    sequence: int
    max_time: int
    bid: int
    #: Farmers whose plants the envelope carries; several plants go through a multicall.
    farmers: tuple[str, ...]
    #: Payments of the envelope.
    payments: tuple[Paid, ...]
    #: Number to which the last operation bumps the source's sequence number.
    bump_to: int | None


@dataclass(frozen=True, kw_only=True)
class PaidHarvest:
    """A transaction in a ledger."""

    envelope: Envelope
    ledger: int
    #: SettledFeed of the calls; empty when the transaction failed as a whole, and for payments.
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
    #: Ledger in which a farmer planted.
    pails: dict[str, int] = field(default_factory=dict)
    #: Successful plants of each farmer.
    planted: Counter[str] = field(default_factory=Counter)
    #: Payments that were made, with their ledgers.
    paid: list[tuple[int, Paid]] = field(default_factory=list)
    #: Transactions in ledgers by the inner hash.
    taken: dict[str, PaidHarvest] = field(default_factory=dict)
    queue: dict[str, Envelope] = field(default_factory=dict)
    #: All envelopes that any node was ever sent, by inner hash, with the ledger of the first time.
    received: dict[str, tuple[int, Envelope]] = field(default_factory=dict)
    #: Inner hashes by inner or outer hash.
    names: dict[str, str] = field(default_factory=dict)
    #: Meaning of ledger keys: ("account" | "line" | "pail", address).
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: Farmers of the envelopes of plants, by inner hash: the signed transaction stands for them.
    plants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _read: dict[str, Envelope] = field(default_factory=dict)

    # Accounts ---------------------------------------------------------------------------------

    def add(self, address: str) -> None:
        """Add an account with a trustline."""
        self.numbers[address] = [(FIRST_LEDGER - 10, FIRST_NUMBER)]
        self.lines[address] = [(0, True)]
        self.keys[account_key(address)] = ("account", address)
        self.keys[trustline_key(address, _ASSET)] = ("line", address)
        self.keys[pail_key(FARM, address, BLOCK)] = ("pail", address)

    def number(self, source: str, ledger: int) -> tuple[int, int]:
        """Return an account's sequence number at a ledger, and the ledger that used the number."""
        used, number = [item for item in self.numbers[source] if item[0] <= ledger][-1]
        return number, used

    def accepts(self, address: str, ledger: int) -> bool:
        """Tell whether an account accepts KALE at a ledger."""
        return [takes for since, takes in self.lines[address] if since <= ledger][-1]

    def kale(self, address: str, ledger: int) -> int:
        """Return the stroops of KALE at a ledger."""
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
        self.received.setdefault(item.lookup, (self.ledger, item))
        return item

    def read(self, text: str) -> Envelope:
        """Return the content of an envelope."""
        if text not in self._read:
            self._read[text] = self._parse(text)
        item = self._read[text]
        self.names |= {item.hash: item.lookup, item.lookup: item.lookup}
        return item

    def close(
        self,
        lookups: Sequence[str],
        *,
        seconds: int,
        traps: frozenset[str] = frozenset(),
        strangers: Sequence[str] = (),
    ) -> None:
        """Close the next ledger with the queued transactions that it may take, in this order.

        Before these the ledger takes the transactions of strangers who have the keys of the
        accounts in `strangers`.
        """
        ledger, now = self.ledger + 1, self.now + seconds
        self.times[ledger] = now
        for source in strangers:
            self.numbers[source].append((ledger, self.number(source, ledger)[0] + 1))
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
        if error is None and item.bump_to is not None:
            number = max(number, item.bump_to)
        if error is None:
            self.paid += [(ledger, payment) for payment in item.payments]
            results = tuple(self._plant(farmer, ledger) for farmer in item.farmers)
        self.numbers[item.source].append((ledger, number))
        self.taken[item.lookup] = PaidHarvest(
            envelope=item, ledger=ledger, results=results, error=error
        )

    def _obstacle(self, item: Envelope, ledger: int, traps: frozenset[str]) -> ContractError | None:
        """Return the error that makes the whole transaction fail, if there is one."""
        if traps.intersection(item.farmers):
            return TRAPPED
        if len(item.farmers) == 1 and item.farmers[0] in self.pails:
            return PAIL_EXISTS
        if any(not self.accepts(payment.destination, ledger) for payment in item.payments):
            return REFUSED
        return None

    def _plant(self, farmer: str, ledger: int) -> CallResult:
        if farmer in self.pails:
            return CallResult(error=PAIL_EXISTS)
        self.pails[farmer] = ledger
        self.planted[farmer] += 1
        return CallResult()

    def _parse(self, text: str) -> Envelope:
        passphrase = NETWORK.passphrase
        outer: FeeBumpTransactionEnvelope | TransactionEnvelope
        if FeeBumpTransactionEnvelope.is_fee_bump_transaction_envelope(text):
            outer = FeeBumpTransactionEnvelope.from_xdr(text, passphrase)
            inner, bid = outer.transaction.inner_transaction_envelope, outer.transaction.fee
        else:
            inner = outer = TransactionEnvelope.from_xdr(text, passphrase)
            bid = inner.transaction.fee
        body = inner.transaction
        bounds = body.preconditions.time_bounds if body.preconditions else None
        last = body.operations[-1]
        return Envelope(
            xdr=text,
            hash=outer.hash_hex(),
            lookup=inner.hash_hex(),
            source=body.source.account_id,
            sequence=body.sequence,
            max_time=bounds.max_time if bounds else 0,
            bid=bid,
            farmers=self.plants.get(inner.hash_hex(), ()),
            payments=tuple(_paid(one) for one in body.operations if isinstance(one, Payment)),
            bump_to=last.bump_to if isinstance(last, BumpSequence) else None,
        )


def _paid(operation: Payment) -> Paid:
    assert operation.asset == Asset(NETWORK.asset.code, NETWORK.asset.issuer)
    assert operation.source is not None
    return Paid(
        source=operation.source.account_id,
        destination=operation.destination.account_id,
        amount=round(float(operation.amount) * _STROOPS),
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


def pail_data(key: bytes, *, ledger: int) -> str:
    """Return LedgerEntryData of a pail that was planted in a ledger, and not worked."""
    nothing = wire.u32(1)
    fields = {
        "gap": nothing,
        "sequence": wire.sc_u32(ledger),
        "stake": wire.sc_i128(STAKE),
        "zeros": nothing,
    }
    value = wire.sc_map((wire.sc_symbol(name), item) for name, item in fields.items())
    return _text(key[:4] + wire.u32(0) + key[4:] + value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw_key(address: str) -> bytes:
    """Return an address's raw key."""
    return raw(address)
