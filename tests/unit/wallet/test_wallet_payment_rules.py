"""What a payer's number says, and that no lie about it has a payment made twice."""

from collections import Counter
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.common.ids import OperationId
from services.wallet.domain.payments import (
    SPAN,
    Fate,
    PayerRecord,
    SeenPayment,
    SeenTransaction,
    Standing,
    WaitingPayment,
    fate,
    recognised,
    standing,
    target_for,
)
from services.wallet.domain.withdrawals import Asset

START = 77 << 32
ONE, TWO = OperationId(UUID(int=1)), OperationId(UUID(int=2))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (9, Fate.WAITING),
        (10, Fate.DEAD),  # it failed
        (11, Fate.DEAD),
        (1009, Fate.DEAD),
        (1010, Fate.PAID),
        (1011, Fate.DEAD),  # another one of the same payer was paid
        (8, Fate.UNKNOWN),  # a node that lags, or lies
    ],
)
def test_the_number_says_what_became_of_an_envelope(number: int, expected: Fate) -> None:
    assert fate(sequence=10, bump_to=1010, number=number) is expected


@pytest.mark.parametrize(
    ("record", "number", "expected"),
    [
        (PayerRecord(), START, Standing.STEADY),
        # A restored database that knows nothing of what the payer has done.
        (PayerRecord(), START + 1, Standing.AHEAD),
        (PayerRecord(), START + SPAN, Standing.AHEAD),
        (PayerRecord(paid=START + 1000), START + 1000, Standing.STEADY),
        (PayerRecord(paid=START + 1000), START + 1001, Standing.AHEAD),
        (PayerRecord(paid=START + 1000), START, Standing.BEHIND),
        (PayerRecord(paid=START + 1000, failed=START + 1002), START + 1002, Standing.STEADY),
        # A failure that never happened: nothing was paid, and the number is still to be used.
        (PayerRecord(paid=START + 1000, failed=START + 1002), START + 1001, Standing.STEADY),
        (PayerRecord(paid=START + 1000, failed=START + 1002), START + 999, Standing.BEHIND),
        (PayerRecord(failed=START + 1), START, Standing.STEADY),
        (PayerRecord(failed=START + 1), START + 2, Standing.AHEAD),
    ],
)
def test_a_payer_signs_only_where_the_records_explain_its_number(
    record: PayerRecord, number: int, expected: Standing
) -> None:
    assert standing(record, number) is expected


def test_the_same_payments_keep_their_target_and_others_get_one_of_their_own() -> None:
    first = target_for(PayerRecord(), [ONE, TWO], START)
    assert first == START + 1 + SPAN
    signed = PayerRecord(highest=first, members=frozenset({ONE, TWO}))
    assert target_for(signed, [TWO, ONE], START) == first  # expired: the same number again
    assert target_for(replace(signed, failed=START + 1), [ONE, TWO], START + 1) == first
    apart = target_for(replace(signed, failed=START + 1), [ONE], START + 1)
    assert apart == first + SPAN
    paid = replace(signed, paid=first)
    assert target_for(paid, [ONE, TWO], first) == first + 1 + SPAN
    # A target that was reached is nobody's any more, also where a node shows a number below it.
    assert target_for(paid, [ONE, TWO], START) == first + SPAN


def test_a_target_is_above_every_number_that_the_records_know() -> None:
    assert target_for(PayerRecord(failed=START + 5), [ONE], START) == START + 5 + SPAN
    assert target_for(PayerRecord(highest=START + 9), [ONE], START) == START + 9 + SPAN
    # Paid by a payer whose targets are not known: after a restore.
    assert target_for(PayerRecord(paid=START), [], START) == START + 1 + SPAN


def test_payments_that_fail_a_thousand_times_get_another_target() -> None:
    record = PayerRecord(highest=START + 1 + SPAN, members=frozenset({ONE}))
    last = START + SPAN - 1
    assert target_for(record, [ONE], last) == START + 1 + SPAN
    assert target_for(record, [ONE], last + 1) > START + 1 + SPAN


# What a ledger has of a payer -----------------------------------------------------------------


def seen(*, succeeded: bool) -> SeenTransaction:
    """One that used number 10 and was to bump to 1010."""
    return SeenTransaction(
        hash="aa",
        inner_hash="bb",
        envelope="",
        sequence=10,
        bump_to=1010,
        max_time=0,
        ledger=5,
        fee_charged=100,
        succeeded=succeeded,
        payments=(),
    )


def test_a_transaction_explains_the_number_that_it_left_behind() -> None:
    assert [seen(succeeded=True).explains(number) for number in (10, 1010)] == [False, True]
    assert [seen(succeeded=False).explains(number) for number in (10, 1010)] == [True, False]


def payment(amount: int, destination: str = "GA") -> SeenPayment:
    return SeenPayment(source="GP", destination=destination, asset=Asset.KALE, amount=amount)


def test_each_payment_of_a_ledger_is_one_that_waited() -> None:
    three = OperationId(UUID(int=3))
    waiting = [
        WaitingPayment(operation_id=ONE, payments=(payment(7),)),
        WaitingPayment(operation_id=TWO, payments=(payment(7),)),
        WaitingPayment(operation_id=three, payments=(payment(8),)),
    ]
    assert recognised([], waiting) == []
    assert recognised([payment(8), payment(7)], waiting) == [three, ONE]
    # Alike ones in the order in which they were asked for, and each once.
    assert recognised([payment(7), payment(7)], waiting) == [ONE, TWO]
    assert recognised([payment(7)] * 3, waiting) is None
    assert recognised([payment(7), payment(9)], waiting) is None
    assert recognised([payment(7, "GB")], waiting) is None


def test_a_payout_is_recognised_by_all_of_its_payments() -> None:
    whole, fees, alone = (OperationId(UUID(int=number)) for number in (5, 6, 7))
    waiting = [
        WaitingPayment(operation_id=whole, payments=(payment(7), payment(1, "GB"))),
        WaitingPayment(operation_id=fees, payments=(payment(1, "GB"), payment(2, "GC"))),
        WaitingPayment(operation_id=alone, payments=(payment(7),)),
    ]
    one, pooler, operator = payment(7), payment(1, "GB"), payment(2, "GC")
    assert recognised([one, pooler], waiting) == [whole]
    assert recognised([one], waiting) == [alone]
    assert recognised([one, pooler, one], waiting) == [whole, alone]
    # Only one way takes all of them: the payment alone, then the fees of another farmer.
    assert recognised([one, pooler, operator], waiting) == [alone, fees]
    assert recognised([pooler, operator, one, pooler], waiting) == [fees, whole]
    # A part of a payout is none.
    assert recognised([pooler], waiting) is None
    assert recognised([one, pooler, pooler], waiting) is None


# Whatever nodes say ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What was signed, which nobody can ever take back."""

    number: int
    target: int
    members: frozenset[OperationId]


@dataclass(kw_only=True)
class Records:
    """What the wallet knows of one payer."""

    signed: list[Envelope] = field(default_factory=list)
    open: Envelope | None = None
    paid: int | None = None
    failed: int | None = None
    settled: set[OperationId] = field(default_factory=set)

    def record(self) -> PayerRecord:
        """As the store reads it."""
        newest = max(self.signed, key=lambda item: item.target, default=None)
        return PayerRecord(
            paid=self.paid,
            failed=self.failed if self.failed and self.failed > (self.paid or 0) else None,
            highest=None if newest is None else newest.target,
            members=frozenset() if newest is None else newest.members,
        )


class LyingNodes(RuleBasedStateMachine):
    """A payer whose number is whatever an adversary says, and a ledger that keeps to its rules.

    The wallet believes every word: that a bound has passed, which number the account has. The
    adversary also decides when the ledger takes which envelope, and whether that fails.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wallet = Records()
        self.number = START
        self.made: Counter[OperationId] = Counter()
        self.asked = [OperationId(UUID(int=number)) for number in range(1, 7)]

    def standing(self, record: PayerRecord, number: int) -> Standing:
        """As the wallet judges it."""
        return standing(record, number)

    def _believed(self, data: st.DataObject) -> int:
        """Any number that could matter."""
        numbers = {self.number, START}
        for item in self.wallet.signed:
            numbers |= {item.number - 1, item.number, item.number + 1, item.target, item.target + 1}
        return data.draw(st.sampled_from(sorted(numbers)))

    @precondition(lambda self: self.wallet.open is None)
    @rule(data=st.data())
    def sign(self, data: st.DataObject) -> None:
        """Read the number, and sign for some payments that are not settled."""
        wallet, number = self.wallet, self._believed(data)
        waiting = [item for item in self.asked if item not in wallet.settled]
        record = wallet.record()
        verdict = self.standing(record, number)
        if verdict is Standing.AHEAD and self._book(number):
            return
        if verdict is not Standing.STEADY or not waiting:
            return
        members = frozenset(
            data.draw(st.lists(st.sampled_from(waiting), min_size=1, max_size=3, unique=True))
        )
        target = target_for(record, members, number)
        assert target > number + 1
        assert all(item.target != target or item.members == members for item in wallet.signed), (
            "one target for different payments"
        )
        wallet.open = Envelope(number=number + 1, target=target, members=members)
        wallet.signed.append(wallet.open)

    @precondition(lambda self: self.wallet.open is not None)
    @rule(data=st.data(), is_over=st.booleans())
    def look(self, data: st.DataObject, is_over: bool) -> None:
        """Settle the open envelope by whatever number is shown; `is_over` may be a lie, too."""
        wallet, number = self.wallet, self._believed(data)
        item = wallet.open
        assert item is not None
        match fate(sequence=item.number, bump_to=item.target, number=number):
            case Fate.PAID:
                wallet.settled |= item.members
                wallet.paid, wallet.open = max(wallet.paid or 0, item.target), None
            case Fate.DEAD if number == item.number:
                wallet.failed, wallet.open = max(wallet.failed or 0, item.number), None
            case Fate.DEAD:
                self._book(number)
                wallet.open = None
            case Fate.WAITING if is_over:
                wallet.open = None

    def _book(self, number: int) -> bool:
        """Payments that this number shows to be made; whether it shows any."""
        found = [item for item in self.wallet.signed if item.target == number]
        for item in found:
            self.wallet.settled |= item.members
        if found:
            self.wallet.paid = max(self.wallet.paid or 0, number)
        return bool(found)

    @precondition(lambda self: self.wallet.signed)
    @rule(data=st.data(), fails=st.booleans())
    def close(self, data: st.DataObject, fails: bool) -> None:
        """The ledger takes any envelope that was ever signed, if its number is the next one."""
        item = data.draw(st.sampled_from(self.wallet.signed))
        if item.number != self.number + 1:
            return
        if fails:
            self.number = item.number
        else:
            self.number = item.target
            self.made.update(item.members)

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        """Whatever was said."""
        assert max(self.made.values(), default=0) <= 1, self.made


PROFILE = settings(
    max_examples=200,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_no_lie_has_a_payment_made_twice() -> None:
    run_state_machine_as_test(LyingNodes, settings=PROFILE)


class HastyWallet(LyingNodes):
    """Signs after any number that a node says, as a naive wallet would."""

    def standing(self, record: PayerRecord, number: int) -> Standing:
        return Standing.STEADY


def test_the_lies_are_found_where_numbers_are_believed_without_records() -> None:
    hunt = settings(PROFILE, max_examples=5000, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError, match="Counter"):
        run_state_machine_as_test(HastyWallet, settings=hunt)
