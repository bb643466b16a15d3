"""Closings of payments by their payers' numbers, whatever is said of hashes."""

from typing import Any, cast

import pytest

from libs.common.errors import UnavailableError
from services.wallet.domain.chain_facts import LedgerHead, Outcome, OutcomeStatus
from services.wallet.domain.model import (
    Closing,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    TransactionEvent,
)
from services.wallet.domain.trust import Decision
from services.wallet.engine.settle.closings import Closings
from services.wallet.engine.settle.payment_closings import PaymentClosings, Told
from tests.support.settling import (
    LEDGER,
    NOW,
    SOURCE,
    USED,
    FakeFollower,
    FakeNumbers,
    FakeTemplateBook,
    ReadChain,
    account,
    carried,
    in_flight,
    outcome,
)

#: The number of the envelope, and the one that its payments move the payer to.
NUMBER, TARGET = 5, 1005
FAILED, NOT_FOUND = OutcomeStatus.FAILED, OutcomeStatus.NOT_FOUND


class World:
    """Payment closings over stand-ins."""

    def __init__(self, *, number: int, used: int = USED, exists: bool = True) -> None:
        self.chain, self.numbers = ReadChain(), FakeNumbers()
        self.chain.account = account(number, used=used, exists=exists)
        closings = Closings(
            cast(Any, self.chain), cast(Any, FakeFollower()), cast(Any, FakeTemplateBook())
        )
        self.payments = PaymentClosings(cast(Any, self.chain), closings, cast(Any, self.numbers))

    async def close(self, transaction: OpenTransaction, told: Told | None = None) -> Closing:
        (closing,) = await self.payments.of([transaction], told or {})
        return closing

    async def is_open(self, transaction: OpenTransaction) -> bool:
        return await self.payments.of([transaction], {}) == []


def payments(count: int = 2, *, max_time: int = NOW + 30) -> OpenTransaction:
    members = [carried(OperationKind.WITHDRAW, block=0) for _ in range(count)]
    return in_flight(*members, sequence=NUMBER, bump_to=TARGET, max_time=max_time, fee_bid=1001)


def events(closing: Closing) -> set[OperationEvent]:
    return {item.event for item in closing.settlements}


async def test_nothing_is_read_for_nothing() -> None:
    world = World(number=NUMBER)
    assert await world.payments.of([], {}) == []
    assert world.chain.decisions == []


async def test_numbers_are_read_by_agreement() -> None:
    world = World(number=NUMBER - 1)
    assert await world.is_open(payments())
    assert world.chain.decisions == [Decision.SETTLE_PAYMENT]


async def test_a_payer_at_its_target_has_paid_and_the_node_tells_the_fee() -> None:
    world = World(number=TARGET)
    closing = await world.close(payments())
    assert (closing.event, closing.fee, closing.ledger) == (TransactionEvent.SUCCEED, 101, USED)
    assert events(closing) == {OperationEvent.SUCCEED}
    assert sum(item.fee for item in closing.settlements) == 101
    assert world.chain.looked_up == ["bb"]


@pytest.mark.parametrize(
    "told", [outcome(FAILED), outcome(NOT_FOUND), UnavailableError("contradiction")]
)
async def test_a_payer_at_its_target_has_paid_whatever_is_said_of_the_hash(
    told: Outcome | Exception,
) -> None:
    world = World(number=TARGET)
    world.chain.told = told
    closing = await world.close(payments())
    assert closing.event is TransactionEvent.SUCCEED
    assert events(closing) == {OperationEvent.SUCCEED}
    # Nobody tells what was charged: the bid counts, as a whole.
    assert closing.fee == 1001
    assert [item.fee for item in closing.settlements] == [501, 500]
    assert {item.ledger for item in closing.settlements} == {USED}
    assert {item.message for item in closing.settlements} == {
        "the payer's number shows that it was paid, by aa"
    }


async def test_the_ledger_of_the_reading_counts_where_the_account_tells_none() -> None:
    world = World(number=TARGET, used=0)
    world.chain.told = outcome(NOT_FOUND)
    assert (await world.close(payments())).ledger == LEDGER


async def test_what_was_told_already_is_not_asked_again() -> None:
    world, transaction = World(number=TARGET), payments()
    closing = await world.close(transaction, {transaction.id: outcome(fee=77)})
    assert closing.fee == 77
    assert world.chain.looked_up == []


@pytest.mark.parametrize("told", [outcome(), outcome(NOT_FOUND), UnavailableError("silence")])
async def test_a_payer_at_the_number_itself_has_failed_whatever_is_said(
    told: Outcome | Exception,
) -> None:
    world = World(number=NUMBER)
    world.chain.told = told
    closing = await world.close(payments())
    assert closing.event is TransactionEvent.FAIL
    assert (closing.fee, closing.ledger) == (1001, USED)
    assert OperationEvent.SUCCEED not in events(closing)


async def test_the_fee_of_a_failed_envelope_is_the_one_that_is_told() -> None:
    world = World(number=NUMBER)
    world.chain.told = outcome(FAILED, fee=77)
    assert (await world.close(payments())).fee == 77


async def test_a_payer_before_the_number_is_waited_for_until_the_bound() -> None:
    assert await World(number=NUMBER - 1).is_open(payments(max_time=NOW))
    closing = await World(number=NUMBER - 1).close(payments(max_time=NOW - 1))
    assert closing.event is TransactionEvent.EXCLUDE
    assert events(closing) == {OperationEvent.RETRY}


async def test_a_number_that_was_read_before_the_head_proves_nothing() -> None:
    world = World(number=NUMBER - 1)
    world.chain.shown_head = LedgerHead(sequence=LEDGER + 1, close_time=NOW)
    assert await world.is_open(payments(max_time=NOW - 1))


async def test_a_payer_that_does_not_exist_says_nothing() -> None:
    assert await World(number=0, exists=False).is_open(payments(max_time=NOW - 1))


async def test_what_another_envelope_paid_is_made_and_the_rest_is_signed_again() -> None:
    world, transaction = World(number=3005), payments()
    made, left = transaction.operations
    world.numbers.made = {made.id: "cc"}
    closing = await world.close(transaction)
    assert closing.event is TransactionEvent.EXCLUDE
    paid, again = closing.settlements
    assert (paid.operation_id, paid.event, paid.ledger) == (made.id, OperationEvent.SUCCEED, USED)
    assert paid.message.endswith("by cc")
    assert (again.operation_id, again.event) == (left.id, OperationEvent.RETRY)
    assert world.numbers.booked == [(SOURCE, 3005, USED)]
