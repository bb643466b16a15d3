"""The queries of payers over real tables: what each takes, what it leaves, in which order."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId
from services.wallet.domain.model import OperationKind, OperationState, TransactionId
from services.wallet.domain.payments import PayerRecord, SeenPayment, SeenTransaction
from services.wallet.domain.withdrawals import Asset
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import LeasedPayer, MadePayment, PayerStore, PayerTotals
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago

WITHDRAW, TOP_UP = OperationKind.WITHDRAW, OperationKind.TOP_UP


async def owners(rows: WalletRows) -> dict[OperationId, WalletId]:
    """The payer of each payment."""
    found = await rows.connection.fetch("SELECT operation_id, payer_id FROM wallet.payments")
    return {OperationId(row["operation_id"]): WalletId(row["payer_id"]) for row in found}


async def payers_of(rows: WalletRows, amount: int) -> list[WalletRow]:
    """Payers in the order of their ids, which their rows are not in."""
    return [await rows.wallet("payer", id=one) for one in reversed(new_ids(amount))][::-1]


# Who waits, and for whom ----------------------------------------------------------------------


async def not_due(rows: WalletRows, payer: WalletRow | None) -> None:
    """Payments of every sort that is not to be taken up."""
    one, stopped = await rows.wallet(), await rows.wallet()
    await rows.pause(stopped)
    await rows.payment(stopped, payer)
    await rows.payment(one, payer, due_at=ago(minutes=-1))
    await rows.payment(one, payer, due_ledger=LEDGER + 1)
    await rows.payment(one, payer, state="signed")
    await rows.payment(one, payer, "top_up")


async def test_payments_that_are_due_are_counted_by_payer(rows: WalletRows) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    many, few = await payers_of(rows, 2)
    for payer, amount in ((many, 2), (few, 1), (None, 3)):
        for _ in range(amount):
            await rows.payment(one if amount % 2 else other, payer)
        await not_due(rows, payer)
    store = PayerStore(rows.pool, ORDERS)
    expected = {many.id: 2, few.id: 1, None: 3}
    top_ups = dict.fromkeys(expected, 1)
    for kinds in ({WITHDRAW: expected}, {TOP_UP: top_ups}, {WITHDRAW: expected, TOP_UP: top_ups}):
        assert await store.waiting(list(kinds), ledger=LEDGER) == kinds
    assert await store.waiting([OperationKind.PLANT], ledger=LEDGER) == {}


async def test_payments_are_given_to_payers_in_turn_the_oldest_to_the_least_busy(
    rows: WalletRows,
) -> None:
    one = await rows.wallet()
    # Two have a payment each; the one that has none is not the first by its id.
    second, third, first = await payers_of(rows, 3)
    before = {await rows.payment(one, payer): payer.id for payer in (second, third)}
    ids = [await rows.payment(one, None, id=name) for name in reversed(new_ids(5))][::-1]
    await rows.payment(one, None, state="succeeded")
    await rows.payment(one, None, "top_up")
    assert await PayerStore(rows.pool, ORDERS).assign(WITHDRAW) == 5
    turns = (first, second, third, first, second)
    given = dict(zip(ids, (payer.id for payer in turns), strict=True))
    assert await owners(rows) == before | given


async def test_of_two_that_assign_a_payment_the_first_decides(rows: WalletRows) -> None:
    operation_id = await rows.payment(await rows.wallet(), None)
    least_busy, other = await payers_of(rows, 2)
    async with rows.connection.transaction():
        await rows.assign(operation_id, other)
        late = asyncio.create_task(PayerStore(rows.pool, ORDERS).assign(WITHDRAW))
        await rows.until_somebody_waits()
    assert await late == 0
    assert await owners(rows) == {operation_id: other.id}
    assert least_busy.id < other.id  # else the late one would have decided the same


# Leases ---------------------------------------------------------------------------------------


async def test_payers_are_leased_that_exist_and_have_nothing_in_flight(rows: WalletRows) -> None:
    ready, done, stopped, signed, sent, leased = await payers_of(rows, 6)
    for one, state in ((done, "succeeded"), (signed, "signed"), (sent, "sent")):
        await rows.transaction(one.address, state)
    await rows.connection.execute(
        "UPDATE wallet.wallets SET leased_until = now() + interval '1 minute' WHERE id = $1",
        leased.id,
    )
    await rows.wallet("payer", status="pending")
    await rows.wallet("channel")
    store = PayerStore(rows.pool, ORDERS)
    assert await store.stop(stopped.id, "why")
    assert await store.lease([], seconds=60) == []
    assert [one.wallet_id for one in await store.lease([done.id, leased.id], seconds=0)] == [
        done.id
    ]
    found = await store.lease(None, seconds=60)
    assert sorted((one.wallet_id, one.address, one.stopped) for one in found) == [
        (ready.id, ready.address, ""),
        (done.id, done.address, ""),
        (stopped.id, stopped.address, "why"),
    ]
    assert {one.until > ago(minutes=-0.9) for one in found} == {True}
    assert await store.lease(None, seconds=60) == []
    untouched = await rows.connection.fetchval(
        "SELECT count(*) FROM wallet.wallets WHERE leased_until = '-infinity'"
    )
    assert untouched == 4  # two that are in flight, the one to be, and the channel


async def test_a_payer_that_somebody_is_leasing_is_left_to_them_at_once(rows: WalletRows) -> None:
    """A statement that waits for the lock is given up in the end, as the pool is told to."""
    one, other = await payers_of(rows, 2)
    async with rows.held("wallet.wallets", one.id):
        (found,) = await PayerStore(rows.pool, ORDERS).lease(None, seconds=60)
        assert found.wallet_id == other.id


# Taking payments up ---------------------------------------------------------------------------


async def test_the_oldest_payments_of_a_payer_are_taken_up_and_no_others(rows: WalletRows) -> None:
    people = [await rows.wallet() for _ in range(3)]
    payer, other = await payers_of(rows, 2)
    ids = [
        await rows.payment(one, payer, id=name, amount=9)
        for one, name in zip(people, reversed(new_ids(3)), strict=True)
    ][::-1]
    await rows.payment(people[0], other)
    await not_due(rows, payer)
    store = PayerStore(rows.pool, ORDERS)

    async def claim(limit: int, *, lease: float) -> dict[OperationId, tuple[object, ...]]:
        found = await store.claim(WITHDRAW, payer.id, limit=limit, lease=lease, ledger=LEDGER)
        return {item.id: (item.wallet_id, item.address, item.kind, item.amount) for item in found}

    expected = {
        name: (one.id, one.address, WITHDRAW, 9)
        for name, one in zip(ids, reversed(people), strict=True)
    }
    oldest = {name: expected[name] for name in ids[:2]}
    assert await claim(2, lease=0) == oldest
    assert await claim(2, lease=60) == oldest
    assert await claim(9, lease=60) == {ids[2]: expected[ids[2]]}
    assert await claim(9, lease=60) == {}
    (top_up,) = await store.claim(TOP_UP, payer.id, limit=9, lease=0, ledger=LEDGER)
    assert top_up.kind is TOP_UP


async def test_a_payment_that_somebody_is_taking_up_is_left_to_them_at_once(
    rows: WalletRows,
) -> None:
    """As with leases."""
    (payer,) = await payers_of(rows, 1)
    one, other = [await rows.payment(await rows.wallet(), payer) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        (found,) = await PayerStore(rows.pool, ORDERS).claim(
            WITHDRAW, payer.id, limit=9, lease=60, ledger=LEDGER
        )
        assert found.id == other


async def taken(rows: WalletRows, payer: WalletRow, *, limit: int = 99) -> dict[OperationId, bool]:
    """What is taken up of a payer's withdrawals, and whether it is a suspect's."""
    store = PayerStore(rows.pool, ORDERS)
    found = await store.claim(WITHDRAW, payer.id, limit=limit, lease=0, ledger=LEDGER)
    return {item.id: item.is_suspect for item in found}


async def test_the_oldest_of_each_pooler_is_taken_up_before_the_second_of_any(
    rows: WalletRows,
) -> None:
    (payer,) = await payers_of(rows, 1)
    greedy, honest = await rows.wallet(), await rows.wallet()
    same = await rows.wallet(pooler=greedy.pooler_id)
    many = [await rows.payment(one, payer) for one in (greedy, same, greedy, same)]
    few = await rows.payment(honest, payer)
    assert (await taken(rows, payer, limit=2)).keys() == {many[0], few}
    assert (await taken(rows, payer, limit=3)).keys() == {many[0], few, many[1]}
    store = PayerStore(rows.pool, ORDERS)
    found = await store.claim(WITHDRAW, payer.id, limit=9, lease=0, ledger=LEDGER)
    assert {item.id: item.pooler_id for item in found} == {
        few: honest.pooler_id,
        **dict.fromkeys(many, greedy.pooler_id),
    }


async def test_whoever_ledgers_refused_lately_is_suspect_and_keeps_one_payer_busy_at_most(
    rows: WalletRows,
) -> None:
    payer, other = await payers_of(rows, 2)
    failed, alone, long_ago, unsent, sound = [await rows.wallet() for _ in range(5)]
    await rows.payment(failed, other, state="failed", attempts=2)
    await rows.payment(alone, other, attempts=1, pack_limit=1, due_ledger=LEDGER + 9)
    await rows.payment(
        long_ago, other, state="failed", attempts=2, settled_at=ago(minutes=61), reason="REFUSED"
    )
    # What was refused before anything was signed has cost nobody anything.
    await rows.payment(unsent, other, state="failed", attempts=0)
    await rows.payment(sound, other, attempts=3, pack_limit=9)
    people = (failed, alone, long_ago, unsent, sound)
    ids = [await rows.payment(one, payer) for one in people]
    assert await taken(rows, payer) == dict(
        zip(ids, (True, True, False, False, False), strict=True)
    )
    # Other farmers of their poolers have something in flight.
    for one in people:
        same = await rows.wallet(pooler=one.pooler_id)
        await rows.payment(same, other, state="sent")
    assert (await taken(rows, payer)).keys() == set(ids[2:])


async def test_a_payment_goes_to_the_payer_that_is_soonest_free(rows: WalletRows) -> None:
    one = await rows.wallet()
    busy, crowded, free = await payers_of(rows, 3)
    await rows.payment(one, busy, state="sent")
    for _ in range(19):
        await rows.payment(one, crowded)
    for _ in range(3):
        await rows.payment(one, free)
    (name,) = [await rows.payment(one, None)]
    assert await PayerStore(rows.pool, ORDERS).assign(WITHDRAW) == 1
    assert (await owners(rows))[name] == free.id


async def test_what_is_on_its_way_is_summed_by_who_pays_whom(rows: WalletRows) -> None:
    one, other = await rows.wallet(), await rows.wallet()
    (payer,) = await payers_of(rows, 1)
    for state, amount in (("signed", 3), ("sent", 4), ("queued", 100), ("succeeded", 100)):
        await rows.payment(one, payer, state=state, amount=amount, destination="a")
    await rows.payment(one, payer, state="sent", amount=5, destination="b")
    await rows.payment(other, payer, state="sent", amount=6, asset="xlm", destination="a")
    found = await PayerStore(rows.pool, ORDERS).in_flight()
    assert {(item.source, item.destination, item.asset): item.amount for item in found} == {
        (one.address, "a", Asset.KALE): 7,
        (one.address, "b", Asset.KALE): 5,
        (other.address, "a", Asset.XLM): 6,
    }


# Records --------------------------------------------------------------------------------------


async def records(pool: Database, *payers: WalletRow) -> list[PayerRecord]:
    """What the records say of each of these payers."""
    found = await PayerStore(pool, ORDERS).records([one.address for one in payers])
    assert found.keys() == {one.address for one in payers}
    return [found[one.address] for one in payers]


async def test_what_was_paid_last_is_the_greatest_target_that_was_reached_or_shown(
    rows: WalletRows,
) -> None:
    by_ledger, by_number, unused, beside = await payers_of(rows, 4)
    for target in (1000, 2000):
        await rows.transaction(by_ledger.address, "succeeded", bump_to=target)
        await rows.transaction(by_number.address, "succeeded", bump_to=target)
    await rows.transaction(by_ledger.address, "failed", sequence=2001, bump_to=4000)
    # What made the account says nothing of payments.
    await rows.transaction(by_ledger.address, "succeeded")
    await rows.shown(by_ledger, 1000)
    await rows.shown(by_number, 3000, 1000)
    await rows.transaction(beside.address, "succeeded", bump_to=9000)
    await rows.shown(beside, 9500)
    found = await records(rows.pool, by_ledger, by_number, unused)
    assert [one.paid for one in found] == [2000, 3000, None]
    assert found[2] == PayerRecord()


async def test_a_shown_target_that_wallet_did_not_write_does_not_count(rows: WalletRows) -> None:
    one = await rows.wallet()
    (payer,) = await payers_of(rows, 1)
    failed = await rows.payment(one, payer, state="failed")
    await rows.transaction(payer.address, "failed", [failed], sequence=5, bump_to=1005)
    await rows.shown(payer, 500)
    store = PayerStore(rows.pool, ORDERS)
    for mac in (None, bytes(34), ORDERS.for_shown_target(payer.address, 500)):
        await rows.insert("wallet.shown_targets", payer_id=payer.id, target=1005, mac=mac)
        (found,) = await records(rows.pool, payer)
        assert (found.paid, found.failed) == (500, 5)
        assert await store.unmade(payer.address, 500) == []
        await rows.connection.execute("DELETE FROM wallet.shown_targets WHERE target = 1005")
    # Wallet's own word replaces one that somebody else wrote before.
    await rows.insert("wallet.shown_targets", payer_id=payer.id, target=1005)
    await store.book(payer.address, 1005, [])
    assert [found.paid for found in await records(rows.pool, payer)] == [1005]


async def test_failures_count_that_came_after_what_was_paid_last(rows: WalletRows) -> None:
    paid, once, never, first, beside = await payers_of(rows, 5)
    for number in (2001, 2002):
        await rows.transaction(paid.address, "failed", sequence=number, bump_to=3000)
    await rows.transaction(paid.address, "succeeded", bump_to=2000)
    await rows.transaction(paid.address, "signed", sequence=2003, bump_to=3000)
    # The first try for a target that was reached failed, and one for a target before it.
    await rows.transaction(once.address, "failed", sequence=1001, bump_to=2000)
    await rows.transaction(once.address, "failed", sequence=5, bump_to=1000)
    await rows.transaction(once.address, "succeeded", sequence=1002, bump_to=2000)
    await rows.transaction(never.address, "failed", sequence=7, bump_to=1000)
    await rows.transaction(first.address, "failed", sequence=0, bump_to=1)
    await rows.transaction(beside.address, "failed", sequence=8000, bump_to=9000)
    found = await records(rows.pool, paid, once, never, first)
    assert [one.failed for one in found] == [2002, None, 7, 0]


async def test_the_greatest_target_is_told_with_the_payments_that_it_was_signed_for(
    rows: WalletRows,
) -> None:
    one = await rows.wallet()
    payer, beside = await payers_of(rows, 2)
    old, *new = [await rows.payment(one, payer) for _ in range(3)]
    theirs = await rows.payment(one, beside)
    await rows.transaction(payer.address, "failed", [old], bump_to=1000)
    await rows.transaction(payer.address, "excluded", new, bump_to=2000)
    await rows.transaction(payer.address, "succeeded")
    await rows.transaction(beside.address, "signed", [theirs], bump_to=9000)
    (found,) = await records(rows.pool, payer)
    assert (found.highest, found.members) == (2000, frozenset(new))


async def test_a_number_is_known_that_an_envelope_of_the_payer_leads_to(rows: WalletRows) -> None:
    payer, beside, unused = await payers_of(rows, 3)
    await rows.transaction(payer.address, "excluded", sequence=5, bump_to=1005)
    await rows.transaction(payer.address, "succeeded", sequence=9)
    await rows.transaction(beside.address, "succeeded", sequence=7, bump_to=1007)
    store = PayerStore(rows.pool, ORDERS)
    asked = (5, 1005, 6, 7, 1007, 9)
    known = [await store.is_known(payer.address, number) for number in asked]
    assert known == [True, True, False, False, False, False]
    assert not await store.is_known(unused.address, 5)


# What a number shows --------------------------------------------------------------------------


async def test_a_target_shows_its_payments_each_with_the_newest_envelope_for_it(
    rows: WalletRows,
) -> None:
    one = await rows.wallet()
    payer, beside = await payers_of(rows, 2)
    waiting, failed, elsewhere = [
        await rows.payment(one, payer, state=state) for state in ("queued", "failed", "queued")
    ]
    theirs = await rows.payment(one, beside)
    # The rows of the newest envelopes stand behind the others, or before them.
    newest = {}
    for target, ids in ((1000, new_ids(2)), (3000, new_ids(2)[::-1])):
        for name in ids:
            await rows.transaction(
                payer.address, "failed", [failed, waiting], bump_to=target, id=name
            )
        newest[target] = TransactionId(max(ids))
    await rows.transaction(payer.address, "failed", [elsewhere, failed], bump_to=2000)
    await rows.transaction(beside.address, "failed", [theirs], bump_to=1000)
    store = PayerStore(rows.pool, ORDERS)
    states = ((waiting, OperationState.QUEUED), (failed, OperationState.FAILED))
    for target, by in newest.items():
        assert await store.made(payer.address, target) == [
            MadePayment(operation_id=name, state=state, transaction_id=by, hash=by.hex)
            for name, state in states
        ]
    assert await store.made(payer.address, 1500) == []


async def test_a_target_is_booked_once_for_its_payer_alone(rows: WalletRows) -> None:
    payer, _ = await payers_of(rows, 2)
    for _ in range(2):
        await PayerStore(rows.pool, ORDERS).book(payer.address, 1000, [])
    found = await rows.connection.fetch("SELECT payer_id, target FROM wallet.shown_targets")
    assert [tuple(row) for row in found] == [(payer.id, 1000)]


async def test_only_what_was_given_up_is_corrected_and_only_what_is_named(rows: WalletRows) -> None:
    one = await rows.wallet()
    (payer,) = await payers_of(rows, 1)
    states = ("failed", "expired", "succeeded", "failed")
    ids = [await rows.payment(one, payer, state=state, ledger=7) for state in states]
    made_by = await rows.transaction(payer.address, "failed", ids, bump_to=1000)
    made = [
        MadePayment(operation_id=name, state=OperationState.FAILED, transaction_id=made_by, hash="")
        for name in ids[:3]
    ]
    await PayerStore(rows.pool, ORDERS).book(payer.address, 1000, [], made, ledger=LEDGER)
    found = await rows.connection.fetch(
        "SELECT state, reason, ledger, transaction_id FROM wallet.operations ORDER BY id"
    )
    corrected = ("succeeded", None, LEDGER, made_by)
    assert [tuple(row) for row in found] == [
        corrected,
        corrected,
        ("succeeded", None, 7, None),
        ("failed", "REFUSED", 7, None),
    ]


async def test_a_reason_to_stop_is_one_payers_and_new_only_once(rows: WalletRows) -> None:
    payer, beside = await payers_of(rows, 2)
    store = PayerStore(rows.pool, ORDERS)
    asked = [await store.stop(payer.id, reason) for reason in ("why", "why", "", "")]
    assert asked == [True, False, True, False]
    assert await store.stop(payer.id, "why")
    leased = await store.lease([payer.id, beside.id], seconds=60)
    assert {one.wallet_id: one.stopped for one in leased} == {payer.id: "why", beside.id: ""}


async def test_payers_are_counted_by_what_they_can_do(rows: WalletRows) -> None:
    signed, sent, done, stopped = await payers_of(rows, 4)
    for _ in range(3):
        await rows.wallet("payer", status="pending")
    for one, state in ((signed, "signed"), (sent, "sent"), (done, "succeeded")):
        await rows.transaction(one.address, state)
    channel = await rows.wallet("channel", stopped="why")
    await rows.transaction(channel.address, "signed")
    store = PayerStore(rows.pool, ORDERS)
    await store.stop(stopped.id, "why")
    assert await store.totals() == PayerTotals(made=7, ready=4, busy=2, stopped=1)


# What only the chain knows --------------------------------------------------------------------


def seen(*payments: SeenPayment, succeeded: bool = True) -> SeenTransaction:
    """A payer's transaction in a ledger."""
    return SeenTransaction(
        hash="aa",
        inner_hash="bb",
        envelope="cc",
        sequence=1,
        bump_to=1001,
        max_time=1000,
        ledger=90,
        fee_charged=400,
        succeeded=succeeded,
        payments=payments,
    )


def kale(source: WalletRow, amount: int = 5, *, to: str = "outside") -> SeenPayment:
    """A withdrawal as a ledger has it."""
    return SeenPayment(source=source.address, destination=to, asset=Asset.KALE, amount=amount)


def leased(payer: WalletRow) -> LeasedPayer:
    """The payer as its holder knows it."""
    return LeasedPayer(wallet_id=payer.id, address=payer.address, until=ago(minutes=-1), stopped="")


async def settled(pool: Database, ids: Sequence[OperationId]) -> set[OperationId]:
    """Those of these operations that are settled."""
    return {item.id for item in await OperationStore(pool, ORDERS).settled_among(ids)}


async def test_what_a_ledger_has_is_recognised_by_who_was_to_pay_what_to_whom(
    rows: WalletRows,
) -> None:
    treasury = await rows.wallet("treasury")
    one, other = await rows.wallet(), await rows.wallet()
    payer, beside = await payers_of(rows, 2)
    # Two are alike: they are taken in the order in which they were asked for.
    _, older = [await rows.payment(one, payer, id=name) for name in reversed(new_ids(2))]
    top_up = await rows.payment(other, payer, "top_up", amount=7)
    await rows.payment(one, payer, state="failed", amount=8)
    await rows.payment(one, beside, amount=9, destination="elsewhere")
    from_treasury = SeenPayment(
        source=treasury.address, destination=other.address, asset=Asset.XLM, amount=7
    )
    store = PayerStore(rows.pool, ORDERS)
    for wrong in (
        kale(one, 8),
        kale(one, 9, to="elsewhere"),
        kale(one, to="elsewhere"),
        kale(other),
        kale(treasury),
        replace(from_treasury, source=other.address),
        replace(from_treasury, source=one.address),
        replace(from_treasury, asset=Asset.KALE),
    ):
        assert not await store.book_found(leased(payer), seen(wrong))
    assert await store.book_found(leased(payer), seen(kale(one), from_treasury))
    made = await store.made(payer.address, 1001)
    assert [item.operation_id for item in made] == [older, top_up]
    assert {item.state for item in made} == {OperationState.SUCCEEDED}


async def test_what_a_ledger_has_is_recorded_once(rows: WalletRows) -> None:
    (payer,) = await payers_of(rows, 1)
    store = PayerStore(rows.pool, ORDERS)
    assert await store.book_found(leased(payer), seen(succeeded=False))
    assert not await store.book_found(leased(payer), seen(succeeded=False))


async def test_what_is_being_signed_is_not_found_on_the_chain_meanwhile(rows: WalletRows) -> None:
    await rows.wallet("treasury")
    one = await rows.wallet()
    (payer,) = await payers_of(rows, 1)
    operation_id = await rows.payment(one, payer)
    async with rows.connection.transaction():
        await rows.connection.execute(
            "UPDATE wallet.operations SET state = 'signed', transaction_id = $2 WHERE id = $1",
            operation_id,
            await rows.transaction(payer.address, "signed", [operation_id], bump_to=2000),
        )
        late = asyncio.create_task(
            PayerStore(rows.pool, ORDERS).book_found(leased(payer), seen(kale(one)))
        )
        await rows.until_somebody_waits()
    assert not await late
    assert await settled(rows.pool, [operation_id]) == set()
