"""What the chain's answers mean: blocks, contract errors, answers of sendTransaction, proofs."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kalepool.common.v1 import common_pb2

from libs.common.errors import FailedPreconditionError
from libs.common.ids import OperationId, WalletId
from libs.kale.reward import BlockStats, reward
from services.wallet.chain.errors import FARM_ERRORS, TOKEN_ERRORS
from services.wallet.domain.blocks import (
    Readiness,
    check_acceptable,
    plant_bound,
    plantable_block,
    readiness,
)
from services.wallet.domain.chain_facts import (
    BlockState,
    ContractError,
    LedgerHead,
    PailState,
    SendResult,
    SendStatus,
)
from services.wallet.domain.forgotten import Grown, Trace, settled_by_state
from services.wallet.domain.kinds import OPERATION_KINDS, Carrier, carried_by
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    FailureReason,
    OpenTransaction,
    OperationEvent,
    OperationKind,
    TransactionId,
    TransactionState,
)
from services.wallet.domain.outcomes import (
    MAX_ATTEMPTS,
    MAX_PAUSE,
    MAX_REFUSED,
    Action,
    may_retry,
    meaning,
    pause,
)
from services.wallet.domain.settling import excluded, refused, share
from services.wallet.domain.submission import (
    ABOVE_CAP,
    BAD_AUTH,
    UNKNOWN,
    NextStep,
    is_due_to_send,
    is_stuck,
    weigh,
)

K, R, E = OperationKind, FailureReason, OperationEvent
NO_ID = UUID(int=1)


def head(*, current: int | None = 10, plantable: int = 10, paused: bool = False) -> ChainHead:
    return ChainHead(
        ledger=1000,
        close_time=datetime(2026, 1, 1, tzinfo=UTC),
        current_block=current,
        plantable_block=plantable,
        paused=paused,
        block_seconds=300,
    )


def carried(kind: OperationKind, *, block: int = 10, attempts: int = 1) -> CarriedOperation:
    return CarriedOperation(
        zeros=6 if kind is K.WORK else None,
        id=OperationId(NO_ID),
        kind=kind,
        wallet_id=WalletId(NO_ID),
        address="G",
        block_index=block,
        amount=5,
        attempts=attempts,
    )


def open_transaction(*, max_time: int = 500, resend_ledger: int = 100) -> OpenTransaction:
    return OpenTransaction(
        id=TransactionId(NO_ID),
        state=TransactionState.SENT,
        source="G",
        hash="00",
        sequence=7,
        lookup_hash="00",
        envelope="",
        max_time=max_time,
        fee_bid=100,
        signed_ledger=90,
        resend_ledger=resend_ledger,
        last_answer="",
        operations=(),
    )


# Blocks


@pytest.mark.parametrize(
    ("index", "has_block", "now", "expected"),
    [
        (0, False, 1299, 0),  # the first plant ever, within the constructor's interval
        (0, False, 1300, 1),  # the same, later: block 0 never exists
        (7, True, 1299, 7),
        (7, True, 1300, 8),
        (7, True, 999_999, 8),  # however long the silence was
        (7, False, 1299, 8),  # the open block was removed
    ],
)
def test_plantable_block(index: int, has_block: bool, now: int, expected: int) -> None:
    found = plantable_block(index=index, has_block=has_block, timestamp=1000, now=now, interval=300)
    assert found == expected


@given(
    timestamp=st.integers(0, 10**6),
    silence=st.integers(0, 2000),
    opened_after=st.integers(0, 1000),
    included_at=st.floats(0, 1),
)
def test_a_plant_within_its_bound_goes_to_its_block(
    timestamp: int, silence: int, opened_after: int, included_at: float
) -> None:
    """Whoever opens blocks meanwhile, and whenever the envelope is included."""
    now, interval = timestamp + silence, 300
    wanted = plantable_block(index=7, has_block=True, timestamp=timestamp, now=now, interval=300)
    bound = plant_bound(ahead=False, timestamp=timestamp, now=now, interval=interval)
    included = now + round((bound - now) * included_at)
    index, mark = 7, timestamp
    opened = now + opened_after
    if opened <= included and opened >= mark + interval:  # somebody opened the next block before
        index, mark = index + 1, opened
    found = plantable_block(
        index=index, has_block=True, timestamp=mark, now=included, interval=interval
    )
    assert found == wanted


@given(
    timestamp=st.integers(0, 10**6),
    left=st.integers(1, 300),
    opened_after=st.integers(0, 1000),
    included_after=st.integers(0, 5000),
)
def test_a_plant_sent_ahead_never_meets_the_block_after_its_own(
    timestamp: int, left: int, opened_after: int, included_after: int
) -> None:
    """It is for block 8, signed while 7 runs: too early it is refused, too late it is bound."""
    interval = 300
    now = timestamp + interval - left
    bound = plant_bound(ahead=True, timestamp=timestamp, now=now, interval=interval)
    included, opened = now + included_after, timestamp + interval + opened_after
    index, mark = (8, opened) if opened <= included else (7, timestamp)
    found = plantable_block(
        index=index, has_block=True, timestamp=mark, now=included, interval=interval
    )
    assert included > bound or found in {7, 8}


@pytest.mark.parametrize(
    ("kind", "block", "expected"),
    [
        (K.PLANT, 9, Readiness.FAIL),
        (K.PLANT, 10, Readiness.GO),
        (K.PLANT, 11, Readiness.WAIT),
        (K.WORK, 9, Readiness.FAIL),
        (K.WORK, 10, Readiness.GO),
        (K.WORK, 11, Readiness.WAIT),
        (K.HARVEST, 9, Readiness.GO),
        (K.HARVEST, 10, Readiness.WAIT),
        (K.ONBOARD, 0, Readiness.GO),
    ],
)
def test_readiness(kind: OperationKind, block: int, expected: Readiness) -> None:
    assert readiness(kind, block, head()).readiness is expected


def test_a_plant_is_too_late_when_the_next_block_is_plantable() -> None:
    verdict = readiness(K.PLANT, 10, head(plantable=11))
    assert (verdict.readiness, verdict.reason) == (Readiness.FAIL, R.BLOCK_CLOSED)


def test_paused_farm_takes_no_plant() -> None:
    assert readiness(K.PLANT, 10, head(paused=True)).reason is R.FARM_PAUSED
    assert readiness(K.WORK, 10, head(paused=True)).readiness is Readiness.GO


@pytest.mark.parametrize(
    ("kind", "block", "plantable", "acceptable"),
    [
        (K.PLANT, 9, 10, False),
        (K.PLANT, 10, 10, True),
        (K.PLANT, 11, 10, True),  # accepted early, waits
        (K.PLANT, 12, 10, False),
        (K.PLANT, 10, 11, False),
        (K.PLANT, 11, 11, True),
        (K.WORK, 9, 10, False),
        (K.WORK, 10, 10, True),
        (K.WORK, 11, 10, False),
        (K.HARVEST, 9, 10, True),
        (K.HARVEST, 10, 10, False),
    ],
)
def test_acceptable(kind: OperationKind, block: int, plantable: int, acceptable: bool) -> None:
    if acceptable:
        check_acceptable(kind, block, head(plantable=plantable))
        return
    with pytest.raises(FailedPreconditionError) as caught:
        check_acceptable(kind, block, head(plantable=plantable))
    assert caught.value.metadata == {"current_block": "10", "plantable_block": str(plantable)}


def test_before_the_first_block() -> None:
    nothing = head(current=None, plantable=0)
    check_acceptable(K.PLANT, 0, nothing)
    for kind in (K.WORK, K.HARVEST):
        with pytest.raises(FailedPreconditionError):
            check_acceptable(kind, 0, nothing)


# Contract errors


@pytest.mark.parametrize(
    ("kind", "raiser", "code", "action", "reason"),
    [
        (K.PLANT, "farm", "FarmPaused", Action.FAIL, R.FARM_PAUSED),
        (K.PLANT, "farm", "PailExists", Action.LOOK_UP_PAIL, None),
        (K.PLANT, "farm", "PlantAmountTooLow", Action.FAIL, R.REFUSED),
        (K.PLANT, "token", "BalanceError", Action.FAIL, R.INSUFFICIENT_BALANCE),
        (K.PLANT, "token", "TrustlineMissingError", Action.FAIL, R.NO_TRUSTLINE),
        (K.PLANT, "token", "BalanceDeauthorizedError", Action.FAIL, R.LINE_FROZEN),
        (K.PLANT, "host", "Storage/ExceededLimit", Action.RETRY, None),
        (K.WORK, "farm", "PailMissing", Action.FAIL, R.NOT_PLANTED),
        (K.WORK, "farm", "GapCountTooLow", Action.WAIT, None),
        (K.WORK, "farm", "HashInvalid", Action.FAIL, R.HASH_INVALID),
        (K.WORK, "farm", "ZeroCountTooLow", Action.LOOK_UP_PAIL, R.ZEROS_TOO_LOW),
        (K.HARVEST, "farm", "PailMissing", Action.FAIL, R.NOT_PLANTED),
        (K.HARVEST, "farm", "WorkMissing", Action.FAIL, R.NOT_WORKED),
        (K.HARVEST, "farm", "BlockMissing", Action.FAIL, R.BLOCK_EXPIRED),
        (K.HARVEST, "farm", "HarvestNotReady", Action.WAIT, None),
        # The same numbers, 10 and 13, raised by the token.
        (K.HARVEST, "token", "BalanceError", Action.FAIL, R.LINE_FULL),
        (K.HARVEST, "token", "BalanceDeauthorizedError", Action.FAIL, R.LINE_FROZEN),
        (K.HARVEST, "token", "TrustlineMissingError", Action.FAIL, R.NO_TRUSTLINE),
        (K.HARVEST, "host", "Auth/InvalidAction", Action.FAIL, R.REFUSED),
        (K.ONBOARD, "transaction", "CREATE_ACCOUNT_LOW_RESERVE", Action.RETRY, None),
    ],
)
def test_meaning(
    kind: OperationKind, raiser: str, code: str, action: Action, reason: FailureReason | None
) -> None:
    found = meaning(kind, ContractError(raiser=raiser, code=code))
    assert (found.action, found.reason) == (action, reason)


@pytest.mark.parametrize("kind", list(K))
def test_every_contract_error_has_a_meaning_with_a_reason(kind: OperationKind) -> None:
    errors = [("farm", name) for name in FARM_ERRORS.values()]
    errors += [("token", name) for name in TOKEN_ERRORS.values()]
    for raiser, code in errors:
        found = meaning(kind, ContractError(raiser=raiser, code=code))
        if found.action is not Action.LOOK_UP_PAIL:
            assert (found.reason is not None) == (found.action is Action.FAIL)
        assert found.is_final == (found.reason is not None)


def test_pauses_of_an_onboarding_grow_up_to_a_limit() -> None:
    pauses = [pause(K.ONBOARD, attempts) for attempts in range(1, 100)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert max(pauses) == MAX_PAUSE
    assert may_retry(K.ONBOARD, 10**6)
    assert [may_retry(K.PLANT, n) for n in (MAX_ATTEMPTS - 1, MAX_ATTEMPTS)] == [True, False]


def test_reasons_are_those_of_the_proto() -> None:
    names = {
        name.removeprefix("FAILURE_REASON_")
        for name in common_pb2.FailureReason.DESCRIPTOR.values_by_name
    }
    assert {reason.value for reason in R} <= names


# Kinds


def test_every_kind_has_its_row() -> None:
    assert list(OPERATION_KINDS) == list(K)
    assert {carried_by(carrier) for carrier in Carrier} == {
        (K.PLANT, K.WORK, K.HARVEST),
        (K.ONBOARD, K.OPEN_CHANNEL, K.OPEN_PAYER, K.DATA_ENTRY, K.CLOSE_ACCOUNT),
        (K.TOP_UP, K.WITHDRAW, K.PAYOUT, K.POOL_PAYMENT),
    }


# Settling


def test_a_pail_that_exists_settles_the_plant_as_what_it_is() -> None:
    pail = PailState(sequence=77, stake=123, gap=None, zeros=None, live_until=9)
    error = ContractError(raiser="farm", code="PailExists")
    found = refused(carried(K.PLANT), error, head(), pail=pail, fee=3)
    assert (found.event, found.amount, found.ledger, found.fee) == (
        OperationEvent.SUCCEED,
        123,
        77,
        3,
    )
    gone = refused(carried(K.PLANT), error, head(), pail=None)
    assert gone.event is OperationEvent.RETRY


@pytest.mark.parametrize(
    ("attempts", "zeros", "event"),
    [
        (1, 6, OperationEvent.FAIL),
        (2, 5, OperationEvent.FAIL),
        (2, 6, OperationEvent.SUCCEED),
        (2, 7, OperationEvent.FAIL),
        (2, None, OperationEvent.FAIL),
    ],
)
def test_a_work_is_done_when_its_own_earlier_envelope_showed_as_many_zeros(
    attempts: int, zeros: int | None, event: OperationEvent
) -> None:
    gap = None if zeros is None else 4
    pail = PailState(sequence=77, stake=123, gap=gap, zeros=zeros, live_until=9)
    error = ContractError(raiser="farm", code="ZeroCountTooLow")
    found = refused(carried(K.WORK, attempts=attempts), error, head(), pail=pail, fee=3)
    assert (found.event, found.fee) == (event, 3)
    if event is OperationEvent.SUCCEED:
        assert (found.gap, found.ledger) == (4, 81)
    else:
        assert found.reason is R.ZEROS_TOO_LOW


@pytest.mark.parametrize("code", ["PailMissing", "HashInvalid", "BlockMissing"])
def test_a_work_that_met_the_next_block_is_told_so(code: str) -> None:
    error = ContractError(raiser="farm", code=code)
    found = refused(carried(K.WORK), error, head(current=11, plantable=11), pail=None)
    assert (found.event, found.reason) == (OperationEvent.FAIL, R.BLOCK_CLOSED)


def test_a_host_error_gives_up_after_the_last_attempt() -> None:
    error = ContractError(raiser="host", code="Storage/ExceededLimit")
    found = [
        refused(carried(K.HARVEST, block=9, attempts=n), error, head(), pail=None)
        for n in (1, MAX_ATTEMPTS)
    ]
    assert [item.event for item in found] == [OperationEvent.RETRY, OperationEvent.FAIL]
    assert found[0].due_ledger == 1001


@pytest.mark.parametrize(
    ("block", "attempts", "event", "reason"),
    [
        (10, 1, OperationEvent.RETRY, None),
        (9, 1, OperationEvent.EXPIRE, R.BLOCK_CLOSED),
        (10, MAX_ATTEMPTS, OperationEvent.EXPIRE, R.EXPIRED),
    ],
)
def test_an_excluded_plant(
    block: int, attempts: int, event: OperationEvent, reason: FailureReason | None
) -> None:
    operation = carried(K.PLANT, block=block, attempts=attempts)
    found = excluded(operation, head(), last_answer="PENDING")
    assert (found.event, found.reason) == (event, reason)


def test_a_plant_that_the_cap_kept_out_says_so() -> None:
    found = excluded(carried(K.PLANT), head(), last_answer=ABOVE_CAP)
    assert (found.event, found.reason) == (OperationEvent.EXPIRE, R.FEE_CAP)
    onboarding = excluded(carried(K.ONBOARD), head(), last_answer=ABOVE_CAP)
    assert onboarding.event is OperationEvent.RETRY


@pytest.mark.parametrize(
    ("kind", "is_own", "reason"),
    [(K.PLANT, True, R.ACCOUNT_LOCKED), (K.PLANT, False, None), (K.WITHDRAW, True, None)],
)
def test_who_locks_its_account_after_the_look_costs_one_envelope(
    kind: OperationKind, is_own: bool, reason: FailureReason | None
) -> None:
    found = excluded(carried(kind), head(), last_answer=BAD_AUTH, is_own=is_own)
    assert found.reason is reason
    assert (found.event is OperationEvent.RETRY) is (reason is None)


@pytest.mark.parametrize("kind", [kind for kind in K if not OPERATION_KINDS[kind].has_block])
def test_what_no_ledger_takes_of_the_treasury_lets_others_go_before(kind: OperationKind) -> None:
    waits = [
        excluded(carried(kind, attempts=attempts), head(), last_answer="txFAILED").due_ledger
        - head().ledger
        for attempts in (1, 2, 3, 50)
    ]
    assert waits == [1, 2, 4, 60]


@given(total=st.integers(0, 10**9), parts=st.integers(1, 19))
def test_shares_of_a_fee_add_up(total: int, parts: int) -> None:
    shares = [share(total, parts, position) for position in range(parts)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


# Submission


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        (SendStatus.PENDING, None, NextStep.WATCH),
        (SendStatus.DUPLICATE, None, NextStep.WATCH),
        (SendStatus.TRY_AGAIN_LATER, None, NextStep.WATCH),
        (SendStatus.ERROR, "txBAD_SEQ", NextStep.WATCH),
        (SendStatus.ERROR, "txTOO_LATE", NextStep.WATCH),
        (SendStatus.ERROR, "txINSUFFICIENT_FEE", NextStep.RAISE_BID),
        (SendStatus.ERROR, "txMALFORMED", NextStep.ALARM),
        (SendStatus.ERROR, "txSOROBAN_INVALID", NextStep.ALARM),
        (SendStatus.ERROR, None, NextStep.ALARM),
    ],
)
def test_no_answer_concludes_that_it_is_not_included(
    status: SendStatus, code: str | None, step: NextStep
) -> None:
    fee = 900 if code == "txINSUFFICIENT_FEE" else None
    answer = weigh(SendResult(status=status, code=code, required_fee=fee))
    assert answer.step is step
    assert answer.required_fee == (fee or 0)
    assert answer.text == (code or status.value)


def test_silence_is_unknown() -> None:
    assert UNKNOWN.step is NextStep.WATCH
    assert UNKNOWN.resend_after == 1


@pytest.mark.parametrize(
    ("close_time", "sequence", "due"), [(500, 100, True), (500, 99, False), (501, 100, False)]
)
def test_resending(close_time: int, sequence: int, due: bool) -> None:
    latest = LedgerHead(sequence=sequence, close_time=close_time)
    assert is_due_to_send(open_transaction(), latest) is due


@pytest.mark.parametrize(
    ("kind", "state", "sequence", "stuck"),
    [
        (K.PLANT, TransactionState.SENT, 96, True),
        (K.WORK, TransactionState.SENT, 96, True),
        (K.PLANT, TransactionState.SENT, 95, False),  # it may still be in the queue
        (K.PLANT, TransactionState.SIGNED, 96, False),  # a crash hid whether it was sent
        (K.HARVEST, TransactionState.SENT, 96, False),  # it can wait for a calmer ledger
        (K.ONBOARD, TransactionState.SENT, 96, False),
    ],
)
def test_what_is_urgent_and_passed_over_is_stuck(
    kind: OperationKind, state: TransactionState, sequence: int, stuck: bool
) -> None:
    transaction = replace(open_transaction(), state=state, operations=(carried(kind),))
    assert is_stuck(transaction, LedgerHead(sequence=sequence, close_time=1)) is stuck


# Payments


def test_a_withdrawal_that_ledgers_refuse_alone_waits_longer_each_time_and_ends() -> None:
    """For a reason that nobody tells; one that is told ends it at once."""
    error = ContractError(raiser="transaction", code="UNKNOWN")
    ends = [
        refused(carried(K.WITHDRAW, attempts=n), error, head(), pail=None)
        for n in range(1, MAX_REFUSED + 1)
    ]
    waits = [item.due_ledger - head().ledger for item in ends[:-1]]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert {item.pack_limit for item in ends[:-1]} == {1}
    assert (ends[-1].event, ends[-1].reason) == (OperationEvent.FAIL, R.KEEPS_FAILING)
    # Together with others nobody knows whose fault it was.
    shared = carried(K.WITHDRAW, attempts=MAX_REFUSED)
    found = refused(shared, error, head(), pail=None, together=2)
    assert found.event is OperationEvent.RETRY
    # The pool's own payments go on for ever, and so does what no ledger took.
    top_up = refused(carried(K.TOP_UP, attempts=99), error, head(), pail=None)
    assert top_up.event is OperationEvent.RETRY
    unseen = excluded(carried(K.WITHDRAW, attempts=99), head(), last_answer="")
    assert unseen.event is OperationEvent.RETRY


# A ledger took it, and no node remembers


BLOCK = BlockState(
    index=10,
    timestamp=0,
    entropy=bytes(32),
    min_gap=1,
    max_gap=50,
    min_stake=0,
    max_stake=100,
    min_zeros=0,
    max_zeros=8,
    staked_total=0,
    normalized_total=1000,
    live_until=5000,
    modified=900,
)
PAIL = PailState(sequence=990, stake=70, gap=None, zeros=None, live_until=5000)
WORKED = replace(PAIL, gap=5, zeros=6)
GROWN = Grown(stake=70, gap=5, zeros=6)
PAID = reward(
    BlockStats(
        min_gap=1,
        max_gap=50,
        min_stake=0,
        max_stake=100,
        min_zeros=0,
        max_zeros=8,
        staked_total=0,
        normalized_total=1000,
    ),
    index=10,
    gap=5,
    stake=70,
    zeros=6,
)


#: Not done: to be tried again.
OPEN = (E.RETRY, None, None, 0)


def trace(
    pail: PailState | None, *, block: BlockState | None = None, grown: Grown | None = None
) -> Trace:
    return Trace(pail=pail, block=block, grown=grown)


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        (K.PLANT, trace(PAIL), (E.SUCCEED, 70, None, 990)),
        (K.PLANT, trace(None), OPEN),
        (K.WORK, trace(WORKED), (E.SUCCEED, None, 5, 995)),
        (K.WORK, trace(replace(WORKED, zeros=7)), OPEN),
        (K.WORK, trace(replace(WORKED, gap=0)), (E.SUCCEED, None, 0, 990)),
        (K.WORK, trace(replace(WORKED, gap=None)), (E.SUCCEED, None, None, 990)),
        (K.WORK, trace(PAIL), OPEN),
        (K.WORK, trace(None), OPEN),
        (K.HARVEST, trace(None, block=BLOCK, grown=GROWN), (E.SUCCEED, PAID, None, 1000)),
        (K.HARVEST, trace(None, block=BLOCK), (E.SUCCEED, 0, None, 1000)),
        (K.HARVEST, trace(WORKED, block=BLOCK, grown=GROWN), OPEN),
        # Without its block an absent pail may just as well have expired.
        (K.HARVEST, trace(None, grown=GROWN), OPEN),
        (K.ONBOARD, trace(None), OPEN),
        (K.WITHDRAW, trace(None), (E.SUCCEED, None, None, 1000)),
        (K.TOP_UP, trace(None), (E.SUCCEED, None, None, 1000)),
    ],
)
def test_the_state_of_the_chain_settles_what_no_node_remembers(
    kind: OperationKind, seen: Trace, expected: tuple[object, ...]
) -> None:
    now = head(current=11) if kind is K.HARVEST else head()
    found = settled_by_state(carried(kind), seen, now, ledger=1000, fee=9)
    assert (found.event, found.amount, found.gap, found.ledger) == expected
    assert found.fee == 9


def test_a_pail_without_work_shows_no_work_whatever_is_known_of_it() -> None:
    work = replace(carried(K.WORK), zeros=None)
    assert settled_by_state(work, trace(PAIL), head(), ledger=1000, fee=9).event is E.RETRY
