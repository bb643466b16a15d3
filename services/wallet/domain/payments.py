"""Payments that the ledger itself refuses to make twice: what a payer's sequence number says.

A payer is an account that only wallet signs for, and a payment belongs to one payer for ever. A
transaction of a payer ends with a BumpSequence, which moves the account's number to a target if,
and only if, the transaction succeeds; a failed one uses its own number, one that no ledger took
uses none. The same payments keep their target, other payments get another one, SPAN above all
earlier ones. So the number alone says which of all envelopes was paid:

    n - 1: none of those that have number n      n: the one with number n failed
    a target: the payments with this target were made, and no others

Why no payment is made twice, whatever nodes say: an envelope is only valid while the account
stands just before its number. After a payment was made, the account stands at its target, and
every envelope that was signed before has a number below that target. One with a number above it is
signed only when the number that was read is explained by the records (`standing`): either they
say that this payment was made, and it is not signed again, or they believe in another target, and
then the envelope is valid only if the account has really reached that other target, which is only
possible if the payment was not made before (docs/reference/MONEY.md section 6). Before an envelope
is signed for the number after a target, all payments of that target are booked, also when the
records believe in a later one: whoever has been paid by one target is not paid by the next. What is
made good (engine/payments/repayments.py) is signed only after a number that the records explain,
without payments that a target up to there may have made.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, unique

from libs.common.ids import OperationId
from services.wallet.domain.withdrawals import Asset

#: Numbers between two targets: so often the same payments may fail before they get another target.
SPAN = 1000
#: An account begins with the number of the ledger that made it in the upper half, and 0 in the
#: lower.
_BEGINNING = 1 << 32


@dataclass(frozen=True, kw_only=True)
class PayerRecord:
    """What the records say of a payer."""

    #: The target of the last payments that were made; None before the first.
    paid: int | None = None
    #: The greatest number that a failed transaction used since then; None when none did.
    failed: int | None = None
    #: The greatest target that was ever signed for; None before the first.
    highest: int | None = None
    #: The payments that it was signed for.
    members: frozenset[OperationId] = frozenset()

    @property
    def number(self) -> int | None:
        """Where the account stands; None when the records do not say, as nothing was taken yet."""
        return max((item for item in (self.paid, self.failed) if item is not None), default=None)


@unique
class Standing(Enum):
    """How a payer's number and the records go together."""

    #: They agree: it may sign.
    STEADY = "steady"
    #: A transaction that the records do not know used its number: it stops until that is read.
    AHEAD = "ahead"
    #: Payments are recorded as made that were not: a false record, or a node that lags.
    BEHIND = "behind"


def is_beginning(number: int) -> bool:
    """Say whether an account with this number has not been used so far."""
    return number % _BEGINNING == 0


def standing(record: PayerRecord, number: int) -> Standing:
    """Compare a payer's number, as read from the chain, with the records."""
    expected = record.number
    if expected is None:
        return Standing.STEADY if is_beginning(number) else Standing.AHEAD
    if number > expected:
        return Standing.AHEAD
    # Below a failure that is recorded, and not below a payment: that failure did not happen, and
    # what it was to use is still to be used. Nothing was paid either way.
    is_unpaid = record.paid is not None and number < record.paid
    return Standing.BEHIND if is_unpaid else Standing.STEADY


def target_for(record: PayerRecord, members: Collection[OperationId], number: int) -> int:
    """Give the target of an envelope for these payments, signed while the account is at `number`.

    The same payments keep theirs as long as it was not reached and numbers are left below it.
    """
    highest = record.highest
    is_same = record.members == frozenset(members) and highest != record.paid
    if highest is not None and is_same and number + 1 < highest:
        return highest
    return max(number + 1, highest or 0, record.failed or 0) + SPAN


@unique
class Fate(Enum):
    """What a payer's number says of its transaction in flight."""

    #: The payments were made.
    PAID = "paid"
    #: It was not paid and never will be: its number is used.
    DEAD = "dead"
    #: No ledger has taken it so far.
    WAITING = "waiting"
    #: The number is below what it was when it was signed: the node lags, or lies, or one lied then;
    #: past the bound it will not be taken any more, as with WAITING.
    UNKNOWN = "unknown"


def fate(*, sequence: int, bump_to: int, number: int) -> Fate:
    """Say what became of a transaction with this sequence number and target."""
    if number == bump_to:
        return Fate.PAID
    if number >= sequence:
        return Fate.DEAD
    return Fate.WAITING if number == sequence - 1 else Fate.UNKNOWN


# What a ledger has of a payer -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SeenPayment:
    """A payment in a transaction that a ledger took."""

    #: The account that paid (strkey G...).
    source: str
    #: strkey G...
    destination: str
    #: What; None for anything but KALE and XLM.
    asset: Asset | None
    #: In stroops.
    amount: int


@dataclass(frozen=True, kw_only=True)
class SeenTransaction:
    """A transaction of a payer that a ledger took."""

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
        """Whether the account stands at this number by this transaction."""
        return number == (self.bump_to if self.succeeded else self.sequence)


@dataclass(frozen=True, kw_only=True)
class WaitingPayment:
    """A payment of a payer that waits to be made."""

    #: Its operation.
    operation_id: OperationId
    #: What is to be paid.
    payment: SeenPayment


def recognised(
    seen: Sequence[SeenPayment], waiting: Sequence[WaitingPayment]
) -> list[OperationId] | None:
    """Find the waiting payment that each payment on the chain is; None when one of them is none.

    Payments that are alike are taken in the order in which they were asked for.
    """
    left = list(waiting)
    found: list[OperationId] = []
    for payment in seen:
        match = next((item for item in left if item.payment == payment), None)
        if match is None:
            return None
        left.remove(match)
        found.append(match.operation_id)
    return found
