"""Sums of fees: added once with what a ledger took, and listed by hour, day and month."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kalepool.report.v1 import fees_pb2, report_pb2

from libs.common.db.pool import Session
from libs.common.errors import InvalidArgumentError, NotFoundError
from libs.common.grpc.spans import timestamp
from libs.common.ids import OperationId, PoolerId, new_id
from libs.common.spans import FIRST, Span, start_of
from libs.kale.constants import MAX_I64
from services.wallet.domain.fee_reports import Fee, FeeKind, Fees, in_order
from services.wallet.domain.kinds import OPERATION_KINDS
from services.wallet.domain.model import (
    Closing,
    FailureReason,
    OperationEvent,
    Settlement,
    TransactionEvent,
    TransactionId,
)
from services.wallet.domain.payments import SeenPayment, SeenTransaction
from services.wallet.domain.settling import share
from services.wallet.domain.withdrawals import Asset
from services.wallet.servicers.fees import FeeServicer
from services.wallet.store.fees import Charged, FeeStore, add_fees
from services.wallet.store.payers import LeasedPayer, PayerStore
from services.wallet.store.transactions import TransactionStore
from tests.support.orders import ORDERS
from tests.support.table_rows import insert_row
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago

HOUR = datetime(2026, 3, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def session(rows: WalletRows) -> AsyncIterator[Session]:
    """One transaction, in which now is one moment."""
    async with rows.pool.transaction() as opened:
        yield opened


async def sums(rows: WalletRows, span: str = "all") -> dict[tuple[Any, str], tuple[int, int]]:
    """Stroops and charges by pooler and kind."""
    found = await rows.connection.fetch(
        "SELECT pooler_id, kind, sum(stroops)::bigint AS stroops, sum(charges)::bigint AS charges "
        "FROM wallet.fee_sums WHERE span = $1 GROUP BY pooler_id, kind",
        span,
    )
    return {(row["pooler_id"], row["kind"]): (row["stroops"], row["charges"]) for row in found}


def test_every_kind_of_operation_is_a_kind_of_fee() -> None:
    kinds = [kind.value for kind in FeeKind]
    assert set(kinds) == {kind.value for kind in OPERATION_KINDS} | {"rent", "other"}
    assert len(fees_pb2.FeeKind.values()) == len(kinds) + 1


# What is added -----------------------------------------------------------------------------------


def charged(operation: OperationId | None, fee: int, *, is_rent: bool = False) -> Charged:
    """What an operation cost."""
    return Charged(operation_id=operation, fee=fee, is_rent=is_rent)


async def test_what_was_charged_is_added_by_kind_and_pooler_in_every_span(
    rows: WalletRows,
) -> None:
    one, other, channel = (
        await rows.wallet(),
        await rows.wallet(),
        await rows.wallet("channel"),
    )
    plant, again = [await rows.operation(one, block=block) for block in range(2)]
    work, theirs = await rows.operation(one, "work"), await rows.operation(other)
    top_up = await rows.operation(channel, "open_channel")
    async with rows.pool.transaction() as session:
        await add_fees(
            session,
            [
                charged(plant, 1),
                charged(again, 2),
                charged(work, 4),
                charged(theirs, 8),
                charged(top_up, 16),
                charged(None, 32),
                charged(None, 64, is_rent=True),
                charged(plant, 0),
                charged(None, 0),
            ],
        )
        now = await session.connection.fetchval("SELECT now()")
    expected = {
        (one.pooler_id, "plant"): (3, 2),
        (one.pooler_id, "work"): (4, 1),
        (other.pooler_id, "plant"): (8, 1),
        (None, "open_channel"): (16, 1),
        (None, "other"): (32, 1),
        (None, "rent"): (64, 1),
    }
    for span in ("hour", "day", "month", "all"):
        assert await sums(rows, span) == expected
    starts = await rows.connection.fetch("SELECT DISTINCT span, starts_at FROM wallet.fee_sums")
    assert {row["span"]: row["starts_at"] for row in starts} == {
        **{span.value: start_of(span, now) for span in Span},
        "all": FIRST,
    }
    async with rows.pool.transaction() as session:
        await add_fees(session, [charged(plant, 5), charged(None, 7, is_rent=True)])
        await add_fees(session, [])
    after = await sums(rows)
    assert after[one.pooler_id, "plant"] == (8, 3)
    assert after[None, "rent"] == (71, 2)
    assert after[one.pooler_id, "work"] == (4, 1)


async def test_a_sum_that_is_at_its_end_stays_there(rows: WalletRows) -> None:
    for _ in range(2):
        async with rows.pool.transaction() as session:
            await add_fees(session, [charged(None, MAX_I64), charged(None, MAX_I64)])
    assert await sums(rows) == {(None, "other"): (MAX_I64, 4)}


async def test_two_transactions_never_wait_crosswise(rows: WalletRows) -> None:
    """They lock the rows in one order, whatever the order of what they add."""
    people = [await rows.wallet() for _ in range(6)]
    plants = [await rows.operation(person) for person in people]
    both = [charged(plant, 1) for plant in plants]

    async def add(some: Sequence[Charged]) -> None:
        async with rows.pool.transaction() as session:
            await add_fees(session, some)

    for _ in range(5):
        await asyncio.gather(*(add(some) for some in (both, both[::-1]) * 2))
    assert set((await sums(rows)).values()) == {(20, 20)}


# Whatever a ledger took, once --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A transaction in flight, and how it ends."""

    #: Numbers of the wallets whose operations it carries.
    carries: tuple[int, ...]
    event: TransactionEvent
    #: Stroops; nothing is charged for what no ledger took.
    fee: int
    #: Whether its operations go on to another transaction; else they end with it.
    goes_on: bool
    is_rent: bool
    #: Processes that find out at the same time.
    finders: int


SENT = st.builds(
    Sent,
    carries=st.lists(st.integers(0, 2), max_size=3).map(tuple),
    event=st.sampled_from(
        [TransactionEvent.SUCCEED, TransactionEvent.FAIL, TransactionEvent.EXCLUDE]
    ),
    fee=st.integers(0, 1000),
    goes_on=st.booleans(),
    is_rent=st.booleans(),
    finders=st.integers(1, 3),
)
KINDS = ("plant", "work", "harvest", "onboard")
#: What the records say that the network was paid.
OF_OPERATIONS = """
SELECT w.pooler_id, o.kind::text AS kind, sum(o.fee_charged)::bigint AS stroops
FROM wallet.operations AS o INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id
GROUP BY 1, 2 HAVING sum(o.fee_charged) > 0
"""
OF_NOTHING = """
SELECT CASE WHEN t.is_rent THEN 'rent' ELSE 'other' END AS kind,
    sum(t.fee_charged)::bigint AS stroops
FROM wallet.transactions AS t
WHERE NOT EXISTS (
    SELECT 1 FROM wallet.transaction_operations AS c WHERE c.transaction_id = t.id
)
GROUP BY 1 HAVING sum(t.fee_charged) > 0
"""
WHOLE = "SELECT coalesce(sum(fee_charged), 0)::bigint FROM wallet.transactions"


def settlement(operation: OperationId, sent: Sent, fee: int) -> Settlement:
    """What the end of a transaction means for an operation in it."""
    if sent.goes_on:
        event, reason = OperationEvent.RETRY, None
    elif sent.event is TransactionEvent.SUCCEED:
        event, reason = OperationEvent.SUCCEED, None
    elif sent.event is TransactionEvent.FAIL:
        event, reason = OperationEvent.FAIL, FailureReason.REFUSED
    else:
        event, reason = OperationEvent.EXPIRE, FailureReason.EXPIRED
    is_over = event in {OperationEvent.SUCCEED, OperationEvent.FAIL}
    return Settlement(
        operation_id=operation,
        event=event,
        fee=fee,
        reason=reason,
        ledger=LEDGER if is_over else 0,
    )


async def carry(
    rows: WalletRows, wallets: Sequence[WalletRow], sent: Sent, waiting: list[OperationId]
) -> list[OperationId]:
    """Put operations into a transaction: those that wait, then new ones."""
    names = [waiting.pop() for _ in range(min(len(waiting), len(sent.carries)))]
    for place in sent.carries[len(names) :]:
        block = next(rows.numbers)
        names.append(await rows.operation(wallets[place], KINDS[block % 4], block=block))
    return names


async def close(
    rows: WalletRows, transaction: TransactionId, operations: Sequence[OperationId], sent: Sent
) -> int:
    """Let several processes close the transaction; return how many did."""
    is_taken = sent.event is not TransactionEvent.EXCLUDE
    fee = sent.fee if is_taken else 0
    closing = Closing(
        transaction_id=transaction,
        event=sent.event,
        settlements=tuple(
            settlement(name, sent, share(fee, len(operations), place))
            for place, name in enumerate(operations)
        ),
        ledger=LEDGER if is_taken else 0,
        fee=fee,
    )
    store = TransactionStore(rows.pool, ORDERS)
    return sum(await asyncio.gather(*(store.close([closing]) for _ in range(sent.finders))))


@settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(all_sent=st.lists(SENT, min_size=1, max_size=8))
async def test_sums_are_those_of_the_records_whatever_happened_in_which_order(
    rows: WalletRows, all_sent: list[Sent]
) -> None:
    wallets = [await rows.wallet() for _ in range(3)]
    waiting: list[OperationId] = []
    for sent in all_sent:
        operations = await carry(rows, wallets, sent, waiting)
        transaction = await rows.transaction(
            state="sent", carries=operations, is_rent=sent.is_rent and not operations
        )
        for name in operations:
            await rows.connection.execute(
                "UPDATE wallet.operations SET state = 'sent', transaction_id = $2 WHERE id = $1",
                name,
                transaction,
            )
        assert await close(rows, transaction, operations, sent) == 1
        waiting += operations if sent.goes_on else []
    expected = Counter[tuple[Any, str]]()
    for row in await rows.connection.fetch(OF_OPERATIONS):
        expected[row["pooler_id"], row["kind"]] += row["stroops"]
    for row in await rows.connection.fetch(OF_NOTHING):
        expected[None, row["kind"]] += row["stroops"]
    whole = await rows.connection.fetchval(WHOLE)
    for span in ("hour", "day", "month", "all"):
        kept = {key: stroops for key, (stroops, _) in (await sums(rows, span)).items()}
        assert kept == expected
        assert sum(kept.values()) == whole


def seen(*payments: SeenPayment, succeeded: bool = True) -> SeenTransaction:
    """A payer's transaction that only a ledger has."""
    return SeenTransaction(
        hash="aa" if succeeded else "dd",
        inner_hash="bb" if succeeded else "ee",
        envelope="cc",
        sequence=1 if succeeded else 2,
        bump_to=1001,
        max_time=1000,
        ledger=90,
        fee_charged=401,
        succeeded=succeeded,
        payments=payments,
    )


async def test_what_only_the_chain_knew_is_added_once(rows: WalletRows) -> None:
    await rows.wallet("treasury")
    payer, people = await rows.wallet("payer"), [await rows.wallet() for _ in range(2)]
    payments = [await rows.payment(person, payer) for person in people]
    assert len(payments) == 2
    store, lease = (
        PayerStore(rows.pool, ORDERS),
        LeasedPayer(wallet_id=payer.id, address=payer.address, until=ago(minutes=-1), stopped=""),
    )
    found = [
        SeenPayment(source=one.address, destination="outside", asset=Asset.KALE, amount=5)
        for one in people
    ]
    for _ in range(2):
        await store.book_found(lease, seen(*found))
        await store.book_found(lease, seen(succeeded=False))
    assert await sums(rows) == {
        (people[0].pooler_id, "withdraw"): (201, 1),
        (people[1].pooler_id, "withdraw"): (200, 1),
        (None, "other"): (401, 1),
    }


# What is told ------------------------------------------------------------------------------------


async def add(
    rows: WalletRows,
    pooler: PoolerId | None,
    kind: str,
    stroops: int,
    *,
    at: datetime = HOUR,
    span: str = "hour",
    charges: int | None = None,
) -> None:
    """A sum as it stands."""
    await rows.insert(
        "wallet.fee_sums",
        span=span,
        starts_at=at,
        pooler_id=pooler,
        kind=kind,
        stroops=stroops,
        charges=2 * stroops if charges is None else charges,
    )


async def earn(
    rows: WalletRows, pooler: PoolerId, rewards: int, *, at: datetime = HOUR, span: str = "hour"
) -> None:
    """What was harvested, as it stands."""
    await rows.insert(
        "harvest.pooler_earnings",
        span=span,
        starts_at=at,
        pooler_id=pooler,
        rewards=rewards,
        harvests=1,
        stake_returned=0,
    )


def fee(kind: FeeKind, stroops: int) -> Fee:
    """What was told of a kind."""
    return Fee(kind=kind, stroops=stroops, charges=2 * stroops)


async def test_fees_are_those_of_the_spans_and_of_whom_they_are_asked(rows: WalletRows) -> None:
    one, other = PoolerId(new_id()), PoolerId(new_id())
    later = HOUR + timedelta(hours=1)
    await add(rows, one, "harvest", 1)
    await add(rows, one, "plant", 2)
    await add(rows, other, "plant", 4)
    await add(rows, None, "rent", 8)
    await add(rows, one, "plant", 16, at=later)
    await add(rows, one, "plant", 32, at=HOUR - DAY)
    await add(rows, one, "plant", 64, at=HOUR.replace(hour=0), span="day")
    await earn(rows, one, 100)
    await earn(rows, other, 1000)
    await earn(rows, one, 10_000, at=later - DAY)
    await earn(rows, one, 100_000, at=HOUR.replace(hour=0), span="day")
    store, quiet = FeeStore(rows.pool), HOUR - timedelta(hours=1)
    starts = [quiet, later, HOUR]
    assert await store.fees(None, Span.HOUR, starts) == [
        Fees(starts_at=later, kinds=(fee(FeeKind.PLANT, 16),), rewards=0),
        Fees(
            starts_at=HOUR,
            kinds=(fee(FeeKind.PLANT, 6), fee(FeeKind.HARVEST, 1), fee(FeeKind.RENT, 8)),
            rewards=1100,
        ),
        Fees(starts_at=quiet, kinds=(), rewards=0),
    ]
    own = Fees(starts_at=HOUR, kinds=(fee(FeeKind.PLANT, 2), fee(FeeKind.HARVEST, 1)), rewards=100)
    assert await store.fees(one, Span.HOUR, [HOUR]) == [own]
    assert await store.fees(one, Span.DAY, [HOUR.replace(hour=0)]) == [
        Fees(starts_at=HOUR.replace(hour=0), kinds=(fee(FeeKind.PLANT, 64),), rewards=100_000)
    ]
    assert await store.fees(one, Span.HOUR, []) == []


async def test_sums_of_many_poolers_end_where_numbers_do(rows: WalletRows) -> None:
    for _ in range(2):
        pooler = PoolerId(new_id())
        await add(rows, pooler, "plant", MAX_I64, charges=1)
        await earn(rows, pooler, MAX_I64)
    (found,) = await FeeStore(rows.pool).fees(None, Span.HOUR, [HOUR])
    assert (found.kinds[0].stroops, found.rewards) == (MAX_I64, MAX_I64)


def test_a_kale_costs_fees_by_rewards_rounded_down() -> None:
    def price(stroops: int, rewards: int) -> int | None:
        kinds = (fee(FeeKind.PLANT, stroops), fee(FeeKind.RENT, 1))
        return Fees(starts_at=HOUR, kinds=kinds, rewards=rewards).stroops_per_kale

    assert price(9, 10**7) == 10
    assert price(9, 3 * 10**7) == 3
    assert price(MAX_I64, 1) == MAX_I64
    assert price(9, 0) is None
    assert price(9, -5) is None
    shuffled = [fee(kind, 1) for kind in reversed(FeeKind)]
    assert [one.kind for one in in_order(shuffled)] == list(FeeKind)


async def registered(rows: WalletRows, *, at: datetime) -> PoolerId:
    """A pooler that registry knows since a moment."""
    pooler = PoolerId(new_id())
    await insert_row(
        rows.connection,
        "registry.poolers",
        id=pooler,
        name="one",
        public_key=pooler.hex,
        max_farmers=9,
        created_at=at,
    )
    return pooler


async def test_fees_begin_with_the_treasury_or_the_poolers_registration(rows: WalletRows) -> None:
    store = FeeStore(rows.pool)
    assert (await store.began(None)).registered_at is None
    await rows.wallet()
    treasury = await rows.wallet("treasury")
    created = await rows.connection.fetchval(
        "SELECT created_at FROM wallet.wallets WHERE id = $1", treasury.id
    )
    began = await store.began(None)
    assert began.registered_at == created
    assert began.now >= created
    pooler = await registered(rows, at=HOUR)
    await registered(rows, at=HOUR - DAY)
    assert (await store.began(pooler)).registered_at == HOUR
    assert (await store.began(PoolerId(new_id()))).registered_at is None


async def told(rows: WalletRows, **request: Any) -> fees_pb2.ListFeesResponse:
    """What ListFees answers."""
    servicer = FeeServicer(FeeStore(rows.pool))
    return await servicer.ListFees(fees_pb2.ListFeesRequest(**request), cast("Any", None))


async def test_pages_of_fees_go_back_to_the_registration(rows: WalletRows) -> None:
    now = datetime.now(UTC)
    hour = start_of(Span.HOUR, now)
    pooler = await registered(rows, at=now - timedelta(hours=4))
    await add(rows, pooler, "plant", 50, at=hour - timedelta(hours=4))
    await earn(rows, pooler, 2 * 10**7, at=hour - timedelta(hours=4))
    asked = {"pooler_id": str(pooler), "span": report_pb2.SPAN_HOUR}
    found: list[fees_pb2.Fees] = []
    token = ""
    while True:
        page = await told(rows, **asked, page_size=2, page_token=token)
        found += page.fees
        token = page.next_page_token
        if not token:
            break
    starts = [one.starts_at.ToDatetime(UTC) for one in found]
    assert starts == [hour - timedelta(hours=number) for number in range(len(starts))]
    assert len(starts) in {5, 6}  # the hour may have turned meanwhile
    assert found[4] == fees_pb2.Fees(
        starts_at=timestamp(hour - timedelta(hours=4)),
        kinds=[fees_pb2.Fee(kind=fees_pb2.FEE_KIND_PLANT, stroops=50, charges=100)],
        stroops=50,
        rewards=2 * 10**7,
        stroops_per_kale=25,
    )
    assert not found[0].HasField("stroops_per_kale")
    some = await told(
        rows,
        **asked,
        start_time=timestamp(starts[3]),
        end_time=timestamp(starts[1]),
    )
    assert [one.starts_at.ToDatetime(UTC) for one in some.fees] == starts[2:4]


async def test_fees_of_nobody_and_moments_of_no_time(rows: WalletRows) -> None:
    day = report_pb2.SPAN_DAY
    with pytest.raises(NotFoundError) as unknown:
        await told(rows, pooler_id=str(new_id()), span=day)
    assert unknown.value.reason == "POOLER_NOT_FOUND"
    # A pool without a treasury has paid nothing yet.
    assert await told(rows, span=day) == fees_pb2.ListFeesResponse()
    with pytest.raises(InvalidArgumentError):
        await told(rows, span=day, end_time=timestamp(FIRST - DAY))
