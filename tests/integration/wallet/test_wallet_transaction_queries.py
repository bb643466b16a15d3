"""The queries of transactions: what may be signed, what nodes say to it, and how it ends."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId
from services.wallet.domain.forgotten import Grown
from services.wallet.domain.model import Closing, TransactionEvent, TransactionId
from services.wallet.store.transactions import Backlog, Draft, Noted, Queue, TransactionStore
from tests.integration.wallet.test_wallet_store import envelope
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago


@pytest.fixture
def store(pool: Database) -> TransactionStore:
    return TransactionStore(pool, ORDERS)


# What may be signed ----------------------------------------------------------------------------


async def signable(pool: Database, asked: Sequence[UUID]) -> list[tuple[object, ...]]:
    """What the query of what may be signed tells."""
    return [tuple(row)[:4] for row in await pool.many("lock_signable", asked, ["queued"])]


async def test_signed_may_be_what_is_queued_and_not_paused(rows: WalletRows) -> None:
    owner, paused, channel = [await rows.wallet(kind) for kind in ("farmer", "farmer", "channel")]
    payers = [await rows.wallet("payer") for _ in range(2)]
    await rows.pause(paused)
    plant = await rows.operation(owner, block=1)
    top_up = await rows.operation(channel, "top_up", block=1)
    await rows.assign(top_up, payers[1])
    await rows.assign(await rows.operation(channel, "top_up", block=2), payers[0])
    hindered = [await rows.operation(paused), await rows.carried(owner, block=3)]
    assert await signable(rows.pool, [plant, top_up, *hindered]) == [
        (plant, "plant", owner.pooler_id, None),
        (top_up, "top_up", None, payers[1].id),
    ]


async def test_a_withdrawal_may_be_signed_for_the_address_that_counts(rows: WalletRows) -> None:
    owner = await rows.wallet()
    await rows.insert(
        "wallet.payout_addresses",
        wallet_id=owner.id,
        number=1,
        address="GNEW",
        registered_at=ago(60),
        effective_at=ago(60),
    )
    names = [
        await rows.payment(owner, None, destination=destination) for destination in ("GOLD", "GNEW")
    ]
    assert await signable(rows.pool, names) == [(names[1], "withdraw", owner.pooler_id, None)]


async def test_what_may_be_signed_is_told_in_order(rows: WalletRows) -> None:
    names = new_ids(3)
    for name in mixed(names):
        await rows.operation(await rows.wallet(), id=name)
    assert [row[0] for row in await signable(rows.pool, names)] == names


async def test_what_another_process_is_signing_is_passed_over(rows: WalletRows) -> None:
    one, two = [await rows.operation(await rows.wallet()) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        assert [row[0] for row in await signable(rows.pool, [one, two])] == [two]


# What is signed --------------------------------------------------------------------------------


def draft(source: str, *operations: OperationId) -> Draft:
    """An envelope of a source."""
    stakes = tuple(range(7, 7 + len(operations)))
    return Draft(envelope=envelope(source), operation_ids=operations, stakes_returned=stakes)


async def test_what_is_signed_is_sent_again_two_ledgers_later(
    rows: WalletRows, store: TransactionStore
) -> None:
    owner = await rows.wallet()
    signed, left = [
        await rows.operation(owner, "harvest", block=block, attempts=3) for block in range(2)
    ]
    item, busy = draft("GFREE", signed), draft("GBUSY", left)
    await rows.transaction("GBUSY", "sent")
    assert (await store.commit_signed([busy, item], ledger=LEDGER)).recorded == [item]
    assert (await rows.transactions("(signed_ledger, resend_ledger)::text"))[item.id] == (
        f"({LEDGER},{LEDGER + 2})"
    )
    columns = "(state, attempts, stake_returned, transaction_id)::text"
    assert await rows.operations(columns) == {
        signed: f"(signed,4,7,{item.id})",
        left: "(queued,3,0,)",
    }


async def test_envelopes_wait_for_another_process_in_the_order_of_their_sources(
    rows: WalletRows, store: TransactionStore
) -> None:
    """So that two processes never wait crosswise."""
    drafts = [draft(source) for source in ("GB", "GA")]
    async with rows.other() as other:
        await other.transaction("GA")
        committing = asyncio.create_task(store.commit_signed(drafts, ledger=LEDGER))
        await rows.until_somebody_waits()
        await other.transaction("GB")
    assert (await committing).recorded == []


# Answers and ends ------------------------------------------------------------------------------


async def answer(store: TransactionStore, *names: TransactionId) -> None:
    """Nodes say something to each."""
    await store.note_answers(
        [
            Noted(transaction_id=name, resend_ledger=place, text=f"answer {place}")
            for place, name in enumerate(names, start=1)
        ]
    )


async def close(
    store: TransactionStore,
    *names: TransactionId,
    event: TransactionEvent = TransactionEvent.FAIL,
) -> int:
    """Each failed in a ledger of its own."""
    return await store.close(
        [
            Closing(
                transaction_id=name,
                event=event,
                settlements=(),
                ledger=0 if event is TransactionEvent.EXCLUDE else LEDGER + place,
                fee=10 * place,
                error=f"error {place}",
            )
            for place, name in enumerate(names, start=1)
        ]
    )


async def test_an_answer_is_to_what_is_in_flight(rows: WalletRows, store: TransactionStore) -> None:
    owner = await rows.wallet()
    operations = [await rows.carried(owner, block=block) for block in range(3)]
    by_operation = await rows.operations("transaction_id")
    one, two, other = [TransactionId(UUID(str(by_operation[name]))) for name in operations]
    again, closed = await rows.transaction(state="sent"), await rows.transaction(state="excluded")
    # It was settled otherwise.
    settled = await rows.operation(owner, block=3, state="succeeded", transaction_id=one)
    await answer(store, closed, two, one, again)
    assert await rows.transactions("(state, resend_ledger, last_answer)::text") == {
        one: '(sent,3,"answer 3")',
        two: '(sent,2,"answer 2")',
        other: '(signed,0,"")',
        again: '(sent,4,"answer 4")',
        closed: '(excluded,0,"")',
    }
    assert await rows.operations("state::text") == {
        **dict(zip(operations, ("sent", "sent", "signed"), strict=True)),
        settled: "succeeded",
    }


async def test_a_transaction_ends_once(rows: WalletRows, store: TransactionStore) -> None:
    one, two, other = [await rows.transaction(state=state) for state in ("signed", "sent", "sent")]
    closed = await rows.transaction(state="excluded")
    assert await close(store, closed, two, one) == 2
    assert await close(store, other, event=TransactionEvent.EXCLUDE) == 1
    assert await rows.transactions("(state, ledger, fee_charged, error)::text") == {
        one: '(failed,103,30,"error 3")',
        two: '(failed,102,20,"error 2")',
        other: '(excluded,,10,"error 1")',
        closed: '(excluded,,0,"")',
    }


async def test_what_is_not_named_does_not_end(rows: WalletRows, store: TransactionStore) -> None:
    named, other = [await rows.transaction() for _ in range(2)]
    assert await close(store, named) == 1
    assert await rows.transactions("state::text") == {named: "failed", other: "signed"}


_ACTS: list[Callable[..., Coroutine[Any, Any, object]]] = [answer, close]


@pytest.mark.parametrize("act", _ACTS)
async def test_nobody_waits_for_what_is_not_named(
    rows: WalletRows, store: TransactionStore, act: Callable[..., Coroutine[Any, Any, object]]
) -> None:
    named, other = [await rows.transaction() for _ in range(2)]
    async with rows.held("wallet.transactions", other):
        await act(store, named)
    assert (await rows.transactions("state <> 'signed'"))[named]


@pytest.mark.parametrize("act", _ACTS)
async def test_transactions_are_locked_in_one_order(
    rows: WalletRows, store: TransactionStore, act: Callable[..., Coroutine[Any, Any, object]]
) -> None:
    """So that two processes that found out the same never wait crosswise."""
    names = new_ids(3)
    for name in reversed(names):
        await rows.transaction(id=name)
    async with rows.held("wallet.transactions", names[0]):
        acting = asyncio.create_task(act(store, *reversed(names)))
        await rows.until_somebody_waits()
        assert await rows.is_free("wallet.transactions", names[2])
    await acting
    assert all((await rows.transactions("state <> 'signed'")).values())


@pytest.mark.parametrize("act", _ACTS)
async def test_what_another_process_ends_meanwhile_stays_as_it_is(
    rows: WalletRows, store: TransactionStore, act: Callable[..., Coroutine[Any, Any, object]]
) -> None:
    name = await rows.transaction(state="sent")
    async with rows.other() as other:
        await other.connection.execute(
            "UPDATE wallet.transactions SET state = 'excluded', closed_at = $1", datetime.now(UTC)
        )
        acting = asyncio.create_task(act(store, name))
        await rows.until_somebody_waits()
    assert not await acting
    assert await rows.transactions("(state, last_answer, error)::text") == {
        name: '(excluded,"","")'
    }


# What is in flight -----------------------------------------------------------------------------


async def in_flight(rows: WalletRows) -> None:
    """Shares of 10 and 20 in flight, and one of 40 that is over."""
    for state, share in (("signed", 10), ("sent", 20), ("succeeded", 40)):
        await rows.transaction(f"G{state}", state, ledger_share=share)


async def test_a_dispatcher_is_told_what_is_in_flight(
    rows: WalletRows, store: TransactionStore
) -> None:
    assert await store.queue() == Queue(share=0, is_empty=True)
    await in_flight(rows)
    owner = await rows.wallet()
    await rows.operation(owner, "onboard", block=0)
    await rows.operation(owner, state="succeeded")
    assert await store.queue() == Queue(share=30, is_empty=True)


@pytest.mark.parametrize("kind", ["plant", "work", "harvest"])
async def test_a_dispatcher_is_told_of_each_kind_that_waits(
    rows: WalletRows, store: TransactionStore, kind: str
) -> None:
    await rows.operation(await rows.wallet(), kind)
    assert await store.queue() == Queue(share=0, is_empty=False)


async def test_a_source_is_busy_with_what_is_in_flight(
    rows: WalletRows, store: TransactionStore
) -> None:
    await in_flight(rows)
    sources = ("Gsigned", "Gsent", "Gsucceeded", "Gother")
    assert [await store.is_busy(source) for source in sources] == [True, True, False, False]


async def test_the_backlog_counts_what_waits_and_what_is_in_flight(
    rows: WalletRows, store: TransactionStore
) -> None:
    assert await store.backlog() == Backlog(queued=0, held=0, open=0, share=0)
    await in_flight(rows)
    owner = await rows.wallet()
    for unproven in range(4):
        await rows.operation(owner, block=unproven, unproven=unproven)
    await rows.operation(owner, block=4, state="failed", unproven=2)
    assert await store.backlog() == Backlog(queued=4, held=2, open=2, share=30)


async def test_overdue_is_what_was_signed_long_ago_or_at_no_ledger_at_all(
    rows: WalletRows, store: TransactionStore
) -> None:
    by_ledger = {
        ledger: await rows.transaction(state="sent", signed_ledger=ledger)
        for ledger in (99, 100, 101, 200, 201)
    }
    await rows.transaction(state="excluded", signed_ledger=99)
    known = await rows.transaction(signed_ledger=99)
    assert await store.overdue(signed_until=100, known=[known]) == {
        by_ledger[99]: 99,
        by_ledger[100]: 100,
        by_ledger[201]: 100,
    }


async def test_last_sequences_are_of_ledgers_that_a_node_may_not_show_yet(
    rows: WalletRows, store: TransactionStore
) -> None:
    ledgers = (100, 101, 164, 165)
    for ledger in ledgers:
        await rows.transaction(f"G{ledger}", "failed", ledger=ledger, sequence=ledger)
    await rows.transaction("GUNASKED", "failed", ledger=101)
    for sequence in (1, 3, 2):
        await rows.transaction("GMANY", "succeeded", ledger=110, sequence=sequence)
    asked = ["GMANY", *(f"G{ledger}" for ledger in ledgers)]
    assert await store.last_sequences(asked, after=100) == {"G101": 101, "G164": 164, "GMANY": 3}


async def test_an_envelope_is_replaced_where_it_is_in_flight(
    rows: WalletRows, store: TransactionStore
) -> None:
    one, two, closed = [
        await rows.transaction(state=state, envelope="old")
        for state in ("signed", "sent", "excluded")
    ]
    higher = envelope("GSOURCE")
    assert not await store.replace_envelope(one, "another", higher)
    assert not await store.replace_envelope(closed, "old", higher)
    assert await store.replace_envelope(one, "old", higher)
    assert await rows.transactions("envelope") == {one: higher.xdr, two: "old", closed: "old"}
    assert await store.replace_envelope(two, "old", higher)
    assert (await rows.transactions("(envelope, hash, fee_bid)::text"))[two] == (
        f"({higher.xdr},{higher.hash},{higher.fee_bid})"
    )


async def test_open_ones_are_told_in_order_with_what_they_carry(
    rows: WalletRows, store: TransactionStore
) -> None:
    owners, names = [await rows.wallet() for _ in range(2)], new_ids(4)
    for name, state in mixed(list(zip(names, ("signed", "sent", "sent", "signed"), strict=True))):
        await rows.transaction(id=name, state=state)
    carried: dict[tuple[UUID, int], tuple[object, ...]] = {}
    for block, name in enumerate((names[1], names[0], names[2])):  # the last one carries nothing
        for position in (2, 1, 4, 3):
            owner = owners[position % 2]
            operation = await rows.operation(owner, block=10 * block + position)
            await rows.place(name, position, operation)
            carried[name, position] = (operation, owner.id, owner.address)
    await rows.transaction()
    closed = await rows.transaction(state="excluded")
    found = await store.open([*map(TransactionId, names), closed])
    assert [item.id for item in found] == names
    for item in found:
        operations = [(one.id, one.wallet_id, one.address) for one in item.operations]
        positions = range(1, 5) if item.id != names[3] else ()
        assert operations == [carried[item.id, position] for position in positions]


# What a harvest gives back ---------------------------------------------------------------------


async def grow(
    rows: WalletRows, *, plant: dict[str, Any] | None, work: dict[str, Any] | None
) -> WalletRow:
    """A farmer with a plant and a work of block 5, as far as these are not told otherwise."""
    owner = await rows.wallet()
    for kind, values in (("plant", plant), ("work", work)):
        if values is not None:
            await rows.operation(owner, kind, **({"state": "succeeded"} | values))
    return owner


async def test_a_harvest_gives_back_what_was_planted_and_worked_for_it(
    rows: WalletRows, store: TransactionStore
) -> None:
    whole = await grow(rows, plant={"amount": 11}, work={"zeros": 5, "gap": 50})
    for zeros in (7, 6):
        await rows.operation(whole, "work", state="succeeded", zeros=zeros, gap=10 * zeros)
    owners = [
        whole,
        await grow(rows, plant=None, work={}),
        await grow(rows, plant={"block": 4}, work={}),
        await grow(rows, plant={"state": "failed"}, work={}),
        await grow(rows, plant={}, work=None),
        await grow(rows, plant={}, work={"block": 4}),
        await grow(rows, plant={}, work={"state": "failed"}),
    ]
    await rows.operation(await grow(rows, plant={}, work={}), "harvest")
    harvests = [await rows.operation(owner, "harvest") for owner in owners]
    assert await store.grown(harvests) == {harvests[0]: Grown(stake=11, gap=70, zeros=7)}
