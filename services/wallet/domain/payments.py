"""Payments that the ledger itself refuses to make twice: the meaning of a payer's sequence number.

A payer account is an account that only wallet signs for, and a payment belongs to one payer account
for ever. A transaction of a payer account ends with a BumpSequence, which moves the account's
number to a target if, and only if, the transaction succeeds. A failed transaction uses its own
number; one that no ledger took uses none. The same payments keep their target; other payments get
another target, SPAN above all earlier ones. So the number alone says which of all envelopes was
paid:

    n - 1: none of those that have number n      n: the one with number n failed
    a target: the payments with this target were made, and no others

No payment is made twice, whatever nodes say. The reason: an envelope is only valid while the
account stands just before the envelope's number. After a payment was made, the account stands at
its target, and every envelope that was signed before has a number below that target. An envelope
with a number above that target is signed only when the number that was read is explained by the
records (`standing`). Either the records say that this payment was made, and the payment is not
signed again. Or the records believe in another target, and then the envelope is valid only if the
account has really reached that other target, which is only possible if the payment was not made
before (docs/reference/MONEY.md section 6). Before an envelope is signed for the number after a
target, all payments of that target are booked, also when the records believe in a later target:
whoever has been paid by one target is not paid by the next. A repayment
(engine/payments/repayments.py) is signed only after a number that the records explain, without
payments that a target up to there may have made.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique

from libs.common.ids import OperationId
from services.wallet.domain.withdrawals import Asset

#: Numbers between two targets: so often the same payments may fail before they get another target.
SPAN = 1000
#: An account begins with a number that has the ledger that made it in the upper half, and 0 in the
#: lower half.
_BEGINNING = 1 << 32


@dataclass(frozen=True, kw_only=True)
class PayerRecord:
    """State of a payer account, by the records."""

    #: The target of the last payments that were made; None before the first.
    paid: int | None = None
    #: The greatest number that a failed transaction used since then; None when none did.
    failed: int | None = None
    #: The greatest target that was ever signed for; None before the first.
    highest: int | None = None
    #: The payments for which the greatest target was signed.
    members: frozenset[OperationId] = frozenset()

    @property
    def number(self) -> int | None:
        """Return the number that the account stands at.

        Returns None when the records do not say, as nothing was taken yet.
        """
        return max((item for item in (self.paid, self.failed) if item is not None), default=None)


@unique
class Standing(Enum):
    """Relation of a payer account's number to the records."""

    #: They agree: the payer account may sign.
    STEADY = "steady"
    #: A transaction that the records do not know used its number: the payer account stops until
    #: that transaction is read.
    AHEAD = "ahead"
    #: Payments are recorded as made that were not: a false record, or a node that lags.
    BEHIND = "behind"


def is_beginning(number: int) -> bool:
    """Tell whether an account with this number has not been used so far."""
    return number % _BEGINNING == 0


def standing(record: PayerRecord, number: int) -> Standing:
    """Compare a payer account's number, as read from the chain, with the records."""
    expected = record.number
    if expected is None:
        return Standing.STEADY if is_beginning(number) else Standing.AHEAD
    if number > expected:
        return Standing.AHEAD
    # The number is below a recorded failure, and not below a payment: that failure did not happen,
    # and its number is still to be used. Nothing was paid either way.
    is_unpaid = record.paid is not None and number < record.paid
    return Standing.BEHIND if is_unpaid else Standing.STEADY


def target_for(record: PayerRecord, members: Collection[OperationId], number: int) -> int:
    """Return the target of an envelope for these payments, signed while the account is at `number`.

    The same payments keep their target as long as it was not reached and numbers are left below it.
    """
    highest = record.highest
    is_same = record.members == frozenset(members) and highest != record.paid
    if highest is not None and is_same and number + 1 < highest:
        return highest
    return max(number + 1, highest or 0, record.failed or 0) + SPAN


@unique
class Fate(Enum):
    """Result of a payer account's transaction in flight, by the account's number."""

    #: The payments were made.
    PAID = "paid"
    #: The payments were not made by it and never will be: its number is used.
    DEAD = "dead"
    #: No ledger has taken it so far.
    WAITING = "waiting"
    #: The account's number is below what it was when the transaction was signed: the node lags, or
    #: lies, or a node lied then. Past the bound no ledger takes the transaction any more, as with
    #: WAITING.
    UNKNOWN = "unknown"


def fate(*, sequence: int, bump_to: int, number: int) -> Fate:
    """Return the fate of a transaction with this sequence number and target."""
    if number == bump_to:
        return Fate.PAID
    if number >= sequence:
        return Fate.DEAD
    return Fate.WAITING if number == sequence - 1 else Fate.UNKNOWN


# Payments of a payer account in ledgers ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SeenPayment:
    """A payment in a transaction that a ledger took."""

    #: The account that paid (strkey G...).
    source: str
    #: strkey G...
    destination: str
    #: The asset; None for anything but KALE and XLM.
    asset: Asset | None
    #: In stroops.
    amount: int


@dataclass(frozen=True, kw_only=True)
class SeenTransaction:
    """A transaction of a payer account that a ledger took."""

    #: Its hash (hex): of the fee bump, when it is one.
    hash: str
    #: Hash (hex) of the inner transaction.
    inner_hash: str
    #: Base64 of the envelope.
    envelope: str
    #: The number that it used.
    sequence: int
    #: The number that it bumps to; None when it bumps none.
    bump_to: int | None
    #: Close time (unix s) after which no ledger could have taken it.
    max_time: int
    #: The ledger.
    ledger: int
    #: Stroops charged.
    fee_charged: int
    #: Whether it worked.
    succeeded: bool
    #: What it paid, or was to pay.
    payments: tuple[SeenPayment, ...]

    def explains(self, number: int) -> bool:
        """Tell whether the account stands at this number by this transaction."""
        return number == (self.bump_to if self.succeeded else self.sequence)


@dataclass(frozen=True, kw_only=True)
class WaitingPayment:
    """An operation of a payer account that waits to be made, with what it pays."""

    #: The operation.
    operation_id: OperationId
    #: What is to be paid, in this order; all of it in one transaction.
    payments: tuple[SeenPayment, ...]


def recognised(
    seen: Sequence[SeenPayment], waiting: Sequence[WaitingPayment]
) -> list[OperationId] | None:
    """Match the payments on the chain with waiting operations, each with all that it pays.

    Returns None when a payment on the chain is of no waiting one. Operations that are alike are
    taken in the order in which they were asked for; of those that begin alike the one that pays
    more is tried first.
    """
    left: dict[tuple[SeenPayment, ...], list[OperationId]] = {}
    for item in waiting:
        left.setdefault(item.payments, []).append(item.operation_id)
    return _matched(tuple(seen), left)


def _matched(
    seen: tuple[SeenPayment, ...], left: Mapping[tuple[SeenPayment, ...], Sequence[OperationId]]
) -> list[OperationId] | None:
    """Match all of these payments; try another way where the first one leads to no end."""
    found: list[OperationId] = []
    rest = {payments: list(ids) for payments, ids in left.items()}
    while seen:
        fitting = [
            payments
            for payments, ids in rest.items()
            if ids and payments and seen[: len(payments)] == payments
        ]
        fitting.sort(key=len, reverse=True)
        if len(fitting) > 1:
            return _branched(seen, fitting, rest, found)
        if not fitting:
            return None
        found.append(rest[fitting[0]].pop(0))
        seen = seen[len(fitting[0]) :]
    return found


def _branched(
    seen: tuple[SeenPayment, ...],
    fitting: Sequence[tuple[SeenPayment, ...]],
    left: Mapping[tuple[SeenPayment, ...], Sequence[OperationId]],
    found: Sequence[OperationId],
) -> list[OperationId] | None:
    for payments in fitting:
        first, *others = left[payments]
        rest = _matched(seen[len(payments) :], {**left, payments: others})
        if rest is not None:
            return [*found, first, *rest]
    return None
