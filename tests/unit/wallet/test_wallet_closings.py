"""Closings of transactions by what a ledger says: each operation's settlement, reason and fee."""

from dataclasses import replace
from typing import Any, cast

import pytest

from services.wallet.domain.chain_facts import (
    CallResult,
    ContractError,
    Outcome,
    OutcomeStatus,
    PailState,
)
from services.wallet.domain.model import (
    Closing,
    FailureReason,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    TransactionEvent,
)
from services.wallet.domain.submission import ABOVE_CAP, BAD_AUTH
from services.wallet.domain.trust import Decision
from services.wallet.engine.settle.closings import Closings
from tests.support.settling import (
    BLOCK,
    LEDGER,
    USED,
    FakeFollower,
    FakeTemplateBook,
    ReadChain,
    carried,
    in_flight,
    outcome,
)

NOT_WORKED = ContractError(raiser="farm", code="WorkMissing")
TOO_FEW_ZEROS = ContractError(raiser="farm", code="ZeroCountTooLow")
TRAP = ContractError(raiser="host", code="Storage/ExceededLimit")
NO_TRUST = ContractError(raiser="transaction", code="PAYMENT_NO_TRUST")
FAILED = OutcomeStatus.FAILED


class World:
    """Closings over stand-ins."""

    def __init__(self, *, current: int = BLOCK) -> None:
        self.chain, self.templates = ReadChain(), FakeTemplateBook()
        self.closings = Closings(
            cast(Any, self.chain),
            cast(Any, FakeFollower(current=current)),
            cast(Any, self.templates),
        )

    async def included(self, transaction: OpenTransaction, seen: Outcome) -> Closing:
        """Close a transaction that a ledger has, with one settlement for each operation."""
        closing = await self.closings.included(transaction, seen)
        assert closing.transaction_id == transaction.id
        assert [item.operation_id for item in closing.settlements] == [
            item.id for item in transaction.operations
        ]
        return closing


async def test_each_call_of_a_pack_gets_its_own_result_and_its_part_of_the_fee() -> None:
    world = World()
    work, bad, good = carried(OperationKind.WORK, block=BLOCK), carried(), carried()
    results = (CallResult(value=4), CallResult(error=NOT_WORKED), CallResult(value=77))
    closing = await world.included(in_flight(work, bad, good), outcome(fee=101, results=results))
    worked, failed, harvested = closing.settlements
    assert (closing.event, closing.fee, closing.ledger) == (TransactionEvent.SUCCEED, 101, USED)
    assert [item.fee for item in closing.settlements] == [34, 34, 33]
    assert (worked.event, worked.gap, worked.amount) == (OperationEvent.SUCCEED, 4, None)
    assert (harvested.event, harvested.amount, harvested.gap) == (OperationEvent.SUCCEED, 77, None)
    # Its own error is known, so it ends although others went with it.
    assert (failed.event, failed.reason) == (OperationEvent.FAIL, FailureReason.NOT_WORKED)
    assert {worked.ledger, failed.ledger, harvested.ledger} == {USED}
    assert closing.error == ""


async def test_a_pack_that_failed_as_a_whole_blames_nobody() -> None:
    world = World()
    operations = [carried() for _ in range(8)]
    closing = await world.included(in_flight(*operations), outcome(FAILED, error=NOT_WORKED))
    assert closing.event is TransactionEvent.FAIL
    assert closing.error == str(NOT_WORKED)
    assert {item.event for item in closing.settlements} == {OperationEvent.RETRY}
    assert {item.pack_limit for item in closing.settlements} == {2}
    assert sum(item.fee for item in closing.settlements) == 101


async def test_a_call_that_failed_alone_ends_by_its_error() -> None:
    world = World()
    closing = await world.included(in_flight(carried()), outcome(FAILED, error=NOT_WORKED))
    (settlement,) = closing.settlements
    assert (settlement.event, settlement.reason) == (OperationEvent.FAIL, FailureReason.NOT_WORKED)
    assert (settlement.fee, settlement.ledger) == (101, USED)


async def test_a_failure_without_a_reason_is_not_taken_for_a_success() -> None:
    world = World()
    closing = await world.included(in_flight(carried()), outcome(FAILED))
    assert closing.event is TransactionEvent.FAIL
    assert closing.error == "transaction UNKNOWN"
    assert closing.settlements[0].event is OperationEvent.RETRY


@pytest.mark.parametrize(
    ("error", "forgotten"),
    [(TRAP, {OperationKind.WORK, OperationKind.HARVEST}), (NOT_WORKED, set())],
)
async def test_only_a_trap_of_the_host_makes_templates_doubtful(
    error: ContractError, forgotten: set[OperationKind]
) -> None:
    world = World()
    calls = [carried(OperationKind.WORK, block=BLOCK), carried(), carried()]
    await world.included(in_flight(*calls), outcome(FAILED, error=error))
    assert set(world.templates.forgotten) == forgotten


async def test_a_work_that_was_there_already_is_settled_by_its_pail() -> None:
    world = World()
    work = carried(OperationKind.WORK, block=BLOCK, attempts=2, zeros=6)
    pail = PailState(sequence=80, stake=5, gap=9, zeros=6, live_until=10**6)
    world.chain.pails_shown[work.address, BLOCK] = pail
    closing = await world.included(in_flight(work), outcome(FAILED, error=TOO_FEW_ZEROS))
    (settlement,) = closing.settlements
    assert (settlement.event, settlement.gap) == (OperationEvent.SUCCEED, 9)
    assert settlement.ledger == 89
    assert world.chain.decisions == [Decision.SETTLE_BY_PAIL]


async def test_a_pail_is_read_only_for_an_error_that_asks_for_it() -> None:
    world = World()
    await world.included(in_flight(carried()), outcome(FAILED, error=NOT_WORKED))
    assert world.chain.decisions == []


# Payments ------------------------------------------------------------------------------------


def payment(*, attempts: int = 1, kind: OperationKind = OperationKind.WITHDRAW) -> Any:
    return carried(kind, block=0, attempts=attempts)


async def test_payments_beside_the_one_that_failed_go_together_again() -> None:
    world = World()
    first, bad, last = payment(), payment(), payment()
    seen = outcome(FAILED, error=NO_TRUST, failing=(1,))
    closing = await world.included(in_flight(first, bad, last), seen)
    together = [closing.settlements[0], closing.settlements[2]]
    assert [(item.event, item.pack_limit) for item in together] == [(OperationEvent.RETRY, 3)] * 2
    # The one that failed goes alone before it ends: who says that it failed may lie.
    assert closing.settlements[1].event is OperationEvent.RETRY
    assert closing.settlements[1].pack_limit == 1


async def test_payments_go_alone_when_nobody_tells_which_failed() -> None:
    closing = await World().included(
        in_flight(payment(), payment()), outcome(FAILED, error=NO_TRUST)
    )
    assert {item.pack_limit for item in closing.settlements} == {1}


async def test_a_payment_that_failed_alone_ends() -> None:
    seen = outcome(FAILED, error=NO_TRUST, failing=(0,))
    closing = await World().included(in_flight(payment(attempts=2)), seen)
    assert closing.settlements[0].event is OperationEvent.FAIL
    assert closing.settlements[0].reason is FailureReason.DESTINATION_REFUSES


@pytest.mark.parametrize(("attempts", "limit"), [(3, 2), (4, 1)])
async def test_after_four_envelopes_a_payment_goes_alone_whoever_is_blamed(
    attempts: int, limit: int
) -> None:
    seen = outcome(FAILED, error=NO_TRUST, failing=(1,))
    spared = payment(attempts=attempts)
    closing = await World().included(in_flight(spared, payment()), seen)
    assert closing.settlements[0].pack_limit == limit


async def test_calls_of_the_farm_share_their_blame_although_one_is_named() -> None:
    seen = outcome(FAILED, error=NOT_WORKED, failing=(1,))
    closing = await World().included(in_flight(carried(), carried()), seen)
    assert {item.pack_limit for item in closing.settlements} == {1}


# Excluded transactions -----------------------------------------------------------------------


async def test_what_no_ledger_took_is_tried_again_without_a_fee() -> None:
    world = World()
    closing = await world.closings.excluded(in_flight(carried(), carried()))
    assert closing.event is TransactionEvent.EXCLUDE
    assert (closing.fee, closing.ledger) == (0, 0)
    assert {item.event for item in closing.settlements} == {OperationEvent.RETRY}
    assert {item.fee for item in closing.settlements} == {0}


async def test_what_no_ledger_took_until_its_block_was_over_expires() -> None:
    closing = await World().closings.excluded(in_flight(carried(OperationKind.PLANT)))
    (settlement,) = closing.settlements
    assert (settlement.event, settlement.reason) == (
        OperationEvent.EXPIRE,
        FailureReason.BLOCK_CLOSED,
    )


async def test_what_the_cap_kept_out_expires_for_that_reason() -> None:
    transaction = in_flight(carried(), last_answer=ABOVE_CAP)
    closing = await World().closings.excluded(transaction)
    assert closing.settlements[0].reason is FailureReason.FEE_CAP


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_signature_is_refused_only_when_the_farmer_has_locked_its_account(
    is_own: bool,
) -> None:
    operation = carried()
    transaction = in_flight(operation, last_answer=BAD_AUTH)
    source = operation.address if is_own else transaction.source
    closing = await World().closings.excluded(replace(transaction, source=source))
    (settlement,) = closing.settlements
    expected = OperationEvent.EXPIRE if is_own else OperationEvent.RETRY
    assert settlement.event is expected
    assert (settlement.reason is FailureReason.ACCOUNT_LOCKED) is is_own


async def test_a_payment_that_no_ledger_took_waits_and_then_goes_alone() -> None:
    closing = await World().closings.excluded(in_flight(payment(attempts=2), payment()))
    for settlement in closing.settlements:
        assert settlement.event is OperationEvent.RETRY
        assert settlement.due_ledger > LEDGER
        assert settlement.pack_limit == 1
