"""Payers in the database: to whom a payment belongs, what may carry it, and what numbers mean."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.chain import Chain
from services.wallet.domain.audit import Action
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import (
    Closing,
    FailureReason,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
    TransactionEvent,
)
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.domain.payments import PayerRecord, SeenPayment, SeenTransaction
from services.wallet.domain.settling import shown_paid
from services.wallet.domain.withdrawals import Asset, DailyLimit, NewWithdrawal
from services.wallet.engine.payments.payer_numbers import PayerNumbers
from services.wallet.engine.payments.repayments import Repayments
from services.wallet.engine.wakeup import Wakeup, Wakeups
from services.wallet.keys.seal import seal_new_key
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch, PauseOrder
from services.wallet.store.operations import OperationStore
from services.wallet.store.payers import LeasedPayer, PayerStore, UnmadePayment
from services.wallet.store.transactions import Draft, TransactionStore
from services.wallet.store.wallets import WalletStore
from services.wallet.store.withdrawals import WithdrawalStore
from tests.integration.wallet.test_wallet_store import (
    ALL,
    LEDGER,
    PROVIDER,
    endow,
    envelope,
    farmer,
    record,
    sign,
    wish,
)
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS

OUTSIDE = "G" * 56
FORGED = """
INSERT INTO wallet.transactions (
    id, source, sequence, hash, lookup_hash, envelope, max_time, fee_bid, signed_ledger, bump_to
) VALUES ($1, $2, 1, 'x', 'x', 'x', 1, 1, 1, $3)
"""
CORRECTED = """
UPDATE wallet.operations SET state = 'succeeded', reason = NULL, transaction_id = $2 WHERE id = $1
"""
OWNER = """
SELECT w.id, w.pooler_id FROM wallet.operations AS o
INNER JOIN wallet.wallets AS w ON o.wallet_id = w.id WHERE o.id = $1
"""
CARRIED = "INSERT INTO wallet.transaction_operations VALUES ($1, 1, $2)"
LIMIT = DailyLimit(farmer=10**12, pool=10**12)
START = 77 << 32


async def open_payers(pool: Database, count: int) -> list[WalletId]:
    """So many payers, on the chain; their ids."""
    store = PayerStore(pool, ORDERS)
    made = [
        (await seal_new_key(PROVIDER, WalletId(new_id())), OperationId(new_id()))
        for _ in range(count)
    ]
    assert await store.insert(made, most=100) == count
    there = {
        sealed.wallet_id: AccountState(
            address=sealed.address, exists=True, xlm=10**7, sequence=START
        )
        for sealed, _ in made
    }
    await WalletStore(pool, ORDERS).save_accounts(there, LEDGER)
    return list(there)


async def withdraw(pool: Database, amount: int = 5) -> tuple[OperationId, str]:
    """A withdrawal of a new farmer's; its operation and the farmer's address."""
    await endow(pool)
    _, wallet_id, address = await farmer(pool)
    store = WithdrawalStore(pool, ORDERS)
    await store.set_address(wallet_id, OUTSIDE, cooling=0, actor="test")
    new = NewWithdrawal(
        id=OperationId(new_id()),
        request_id=str(new_id()),
        wallet_id=wallet_id,
        asset=Asset.KALE,
        amount=amount,
        actor="test",
    )
    return await store.record(new, LIMIT), address


async def leased(pool: Database) -> list[LeasedPayer]:
    """All payers, for this test."""
    return await PayerStore(pool, ORDERS).lease(None, seconds=60)


async def payer_of(pool: Database, operation_id: OperationId) -> WalletId | None:
    """To whom a payment belongs."""
    async with pool.session() as session:
        found = await session.connection.fetchval(
            "SELECT payer_id FROM wallet.payments WHERE operation_id = $1", operation_id
        )
    return None if found is None else WalletId(found)


def draft(
    payer: LeasedPayer, *ids: OperationId, number: int = START + 1, target: int = START + 1001
) -> Draft:
    """An envelope of a payer for payments."""
    signed = replace(envelope(payer.address, sequence=number), bump_to=target)
    return Draft(
        envelope=signed,
        operation_ids=ids,
        stakes_returned=(0,) * len(ids),
        payer_id=payer.wallet_id,
    )


def ended(item: Draft, event: TransactionEvent, settled: OperationEvent) -> Closing:
    """Its end, the same for all that it carries."""
    return Closing(
        transaction_id=item.id,
        event=event,
        settlements=tuple(
            Settlement(operation_id=one, event=settled, ledger=LEDGER) for one in item.operation_ids
        ),
        ledger=0 if event is TransactionEvent.EXCLUDE else LEDGER,
    )


async def test_a_withdrawal_belongs_to_a_payer_from_its_first_moment(pool: Database) -> None:
    payers = await open_payers(pool, 2)
    owners = [await payer_of(pool, (await withdraw(pool))[0]) for _ in range(4)]
    # The one with the fewest is next.
    assert sorted(owners, key=str) == sorted(payers * 2, key=str)


async def test_what_was_asked_for_before_there_were_payers_is_given_to_one(pool: Database) -> None:
    operation_id, _ = await withdraw(pool)
    store = PayerStore(pool, ORDERS)
    kinds = [OperationKind.WITHDRAW]
    assert await store.waiting(kinds, ledger=LEDGER) == {OperationKind.WITHDRAW: {None: 1}}
    assert await store.assign(OperationKind.WITHDRAW) == 0
    (payer,) = await open_payers(pool, 1)
    assert await store.assign(OperationKind.WITHDRAW) == 1
    assert await store.waiting(kinds, ledger=LEDGER) == {OperationKind.WITHDRAW: {payer: 1}}
    assert await payer_of(pool, operation_id) == payer


async def test_a_payment_never_changes_its_payer(pool: Database, database: DatabaseAccess) -> None:
    await open_payers(pool, 2)
    operation_id, _ = await withdraw(pool)
    async with connect(database.admin_dsn) as admin:
        for statement in (
            "UPDATE wallet.payments SET payer_id = payer_id",
            "DELETE FROM wallet.payments",
            "TRUNCATE wallet.payments",
        ):
            with pytest.raises(asyncpg.RaiseError, match="for ever"):
                await admin.execute(statement)
    assert await payer_of(pool, operation_id) is not None


async def test_no_other_account_carries_a_payment(pool: Database, database: DatabaseAccess) -> None:
    await open_payers(pool, 2)
    operation_id, address = await withdraw(pool)
    one, other = await leased(pool)
    owner = await payer_of(pool, operation_id)
    wrong, right = (one, other) if other.wallet_id == owner else (other, one)
    store = TransactionStore(pool, ORDERS)
    # The store does not record it ...
    for refused in (
        draft(wrong, operation_id),
        replace(draft(right, operation_id), payer_id=None),
    ):
        assert (await store.commit_signed([refused], ledger=LEDGER)).recorded == []
    # ... and the database would not, either: another payer, the farmer itself, no bump.
    async with connect(database.admin_dsn) as admin:
        for source, bump in ((wrong.address, 2000), (address, 2000), (right.address, None)):
            with pytest.raises(asyncpg.RaiseError, match="not one of this payer"):
                async with admin.transaction():
                    name = new_id()
                    await admin.execute(FORGED, name, source, bump)
                    await admin.execute(CARRIED, name, operation_id)
    assert len((await store.commit_signed([draft(right, operation_id)], ledger=LEDGER)).recorded)


async def test_the_records_of_a_payer(pool: Database) -> None:
    await open_payers(pool, 1)
    ids = [(await withdraw(pool))[0] for _ in range(2)]
    (payer,) = await leased(pool)
    store, payers = TransactionStore(pool, ORDERS), PayerStore(pool, ORDERS)

    async def records() -> PayerRecord:
        return (await payers.records([payer.address]))[payer.address]

    assert await records() == PayerRecord()
    first = draft(payer, *ids)
    await store.commit_signed([first], ledger=LEDGER)
    both = frozenset(ids)
    assert await records() == PayerRecord(highest=START + 1001, members=both)
    await store.close([ended(first, TransactionEvent.EXCLUDE, OperationEvent.RETRY)])
    assert (await records()).number is None
    again = draft(payer, *ids)
    await store.commit_signed([again], ledger=LEDGER)
    await store.close([ended(again, TransactionEvent.FAIL, OperationEvent.RETRY)])
    assert await records() == PayerRecord(failed=START + 1, highest=START + 1001, members=both)
    alone = draft(payer, ids[0], number=START + 2, target=START + 2001)
    await store.commit_signed([alone], ledger=LEDGER)
    await store.close([ended(alone, TransactionEvent.SUCCEED, OperationEvent.SUCCEED)])
    found = await records()
    assert (found.paid, found.failed, found.number) == (START + 2001, None, START + 2001)
    # A number tells which payments were made, whatever became of the envelopes in the records.
    made = await payers.made(payer.address, START + 1001)
    assert {item.operation_id: item.state for item in made} == {
        ids[0]: OperationState.SUCCEEDED,
        ids[1]: OperationState.QUEUED,
    }
    assert await payers.made(payer.address, START + 2) == []


async def test_a_payment_that_another_envelope_may_have_made_is_not_made_good(
    pool: Database,
) -> None:
    await open_payers(pool, 1)
    *ids, third = [(await withdraw(pool))[0] for _ in range(3)]
    (payer,) = await leased(pool)
    store, payers = TransactionStore(pool, ORDERS), PayerStore(pool, ORDERS)

    async def unmade(number: int) -> list[tuple[int, OperationId]]:
        found = await payers.unmade(payer.address, number)
        return [(item.bump_to, item.operation_id) for item in found]

    # A node that lies says: one failed, no ledger has the other. Then it shows both targets.
    first = draft(payer, ids[0])
    await store.commit_signed([first], ledger=LEDGER)
    await store.close([ended(first, TransactionEvent.FAIL, OperationEvent.RETRY)])
    both = draft(payer, *ids, number=START + 2, target=START + 2001)
    await store.commit_signed([both], ledger=LEDGER)
    await store.close([ended(both, TransactionEvent.EXCLUDE, OperationEvent.RETRY)])
    assert await unmade(START) == []
    for number in (START + 1001, START + 2001):
        waiting = [
            shown_paid(item.operation_id, ledger=LEDGER, by=item.hash)
            for item in await payers.made(payer.address, number)
            if item.state is OperationState.QUEUED
        ]
        await payers.book(payer.address, number, waiting)
    assert await unmade(START) == [(START + 1001, ids[0])]
    assert await unmade(START + 1) == [(START + 1001, ids[0])]
    # There, the first envelope has paid the first payment.
    assert await unmade(START + 1001) == [(START + 2001, ids[1])]
    # Nothing that was signed follows the first target: it was passed over, if this is the number.
    assert await unmade(START + 1002) == [(START + 2001, ids[0]), (START + 2001, ids[1])]
    follows = draft(payer, third, number=START + 1002, target=START + 3001)
    await store.commit_signed([follows], ledger=LEDGER)
    await store.close([ended(follows, TransactionEvent.EXCLUDE, OperationEvent.RETRY)])
    assert await unmade(START + 1002) == [(START + 2001, ids[1])]
    assert await unmade(START + 2001) == []
    # What follows the first target must not become valid when that is made good.
    assert await unmade(START) == [(START + 1003, ids[0])]


async def paid_once(pool: Database) -> tuple[TransactionStore, Draft, OperationId, Any]:
    """A payment that is recorded as made, an envelope to make it once more, and its wallet."""
    await open_payers(pool, 1)
    operation_id, _ = await withdraw(pool)
    (payer,) = await leased(pool)
    store = TransactionStore(pool, ORDERS)
    first = draft(payer, operation_id)
    await store.commit_signed([first], ledger=LEDGER)
    await store.close([ended(first, TransactionEvent.SUCCEED, OperationEvent.SUCCEED)])
    async with pool.session() as session:
        wallet = await session.connection.fetchrow(OWNER, operation_id)
    return store, draft(payer, operation_id), operation_id, wallet


async def test_a_payment_is_made_good_only_where_it_could_be_made_at_all(pool: Database) -> None:
    store, again, _, wallet = await paid_once(pool)
    custody, withdrawals = CustodyStore(pool, ORDERS), WithdrawalStore(pool, ORDERS)
    for scope, target in (
        (Scope.EVERYTHING, None),
        (Scope.POOLER, wallet["pooler_id"]),
        (Scope.WALLET, wallet["id"]),
    ):
        reach = Reach(scope=scope, target=target)
        await custody.pause(reach, reason="fire", actor="ann")
        assert not await store.commit_again(again, ledger=LEDGER)
        await custody.resume(reach, actor="ann")
    for address, is_possible in (("", False), ("H" * 56, False), (OUTSIDE, True)):
        await withdrawals.set_address(wallet["id"], address, cooling=0, actor="ann")
        assert await store.commit_again(again, ledger=LEDGER) is is_possible


async def test_no_payment_is_made_good_that_this_process_was_told_to_pause(pool: Database) -> None:
    _, again, _, wallet = await paid_once(pool)
    switch = KillSwitch()
    store = TransactionStore(pool, ORDERS, kill_switch=switch)
    reach = Reach(scope=Scope.POOLER, target=wallet["pooler_id"])
    switch.order(PauseOrder(reach=reach, reason="fire", actor="ann"))
    assert not await store.commit_again(again, ledger=LEDGER)
    switch.settle(reach)
    assert await store.commit_again(again, ledger=LEDGER)


async def test_a_payment_that_failed_is_never_made_good(
    pool: Database, database: DatabaseAccess
) -> None:
    store, again, operation_id, _ = await paid_once(pool)
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = 'replica'")
        await admin.execute(
            "UPDATE wallet.operations SET state = 'failed', reason = 'REFUSED' WHERE id = $1",
            operation_id,
        )
    assert not await store.commit_again(again, ledger=LEDGER)


class Node:
    """Shows a payer at a number."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.number = START
        self.ledger = LEDGER

    def trusted(self, _: object) -> "Node":
        """Itself: there is no other one."""
        return self

    async def accounts(self, addresses: Sequence[str]) -> tuple[int, list[AccountState]]:
        """The payer at its number."""
        assert list(addresses) == [self.address]
        state = AccountState(
            address=self.address, exists=True, xlm=10**7, sequence=self.number, used_ledger=LEDGER
        )
        return self.ledger, [state]


def numbers_of(node: Node, payers: PayerStore) -> PayerNumbers:
    """What this node says of payers; nothing is signed."""
    unused = cast(Any, None)
    chain = cast(Chain, node)
    repayments = Repayments(
        chain=cast(Any, SimpleNamespace(network=None)),
        treasury=unused,
        signers=unused,
        transactions=unused,
        sender=unused,
        chain_view=unused,
        limits=unused,
    )
    return PayerNumbers(chain, payers, repayments, Wakeups(changes=Wakeup(), settled=Wakeup()))


@pytest.mark.parametrize("believed", [None, START + 1002, START + 2001])
async def test_what_a_number_says_is_booked_before_the_next_one_is_used(
    pool: Database, monkeypatch: pytest.MonkeyPatch, believed: int | None
) -> None:
    """Whatever the records believe in: nothing, a failure, or a later target."""
    await open_payers(pool, 1)
    paid, other = [(await withdraw(pool))[0] for _ in range(2)]
    (payer,) = await leased(pool)
    store, payers = TransactionStore(pool, ORDERS), PayerStore(pool, ORDERS)
    first = draft(payer, paid)
    await store.commit_signed([first], ledger=LEDGER)
    await store.close([ended(first, TransactionEvent.EXCLUDE, OperationEvent.RETRY)])
    if believed == START + 1002:
        second = draft(payer, other, number=believed, target=START + 3001)
        end = ended(second, TransactionEvent.FAIL, OperationEvent.RETRY)
    else:
        second = draft(payer, other, target=START + 2001)
        end = ended(second, TransactionEvent.SUCCEED, OperationEvent.SUCCEED)
    if believed is not None:
        await store.commit_signed([second], ledger=LEDGER)
        await store.close([end])
    again: list[OperationId] = []

    async def repay(
        _: Repayments, __: LeasedPayer, unmade: Sequence[UnmadePayment], at: int
    ) -> None:
        assert at == START + 1001
        again.extend(item.operation_id for item in unmade)

    monkeypatch.setattr(Repayments, "repay", repay)
    node = Node(payer.address)
    node.number = START + 1001
    numbers = numbers_of(node, payers)
    steady = await numbers.steady([payer])
    if believed == START + 2001:
        # Nodes lag for a ledger or two: nothing is made good, and nothing signed, before that.
        assert (steady, again) == ({}, [])
        node.ledger += 3
        assert await numbers.steady([payer]) == {}
        assert again == [other]
    else:
        number, record = steady[payer]
        assert (number, record.paid, again) == (START + 1001, START + 1001, [])
    (made,) = await payers.made(payer.address, START + 1001)
    assert (made.operation_id, made.state) == (paid, OperationState.SUCCEEDED)


@pytest.mark.parametrize("end", [OperationEvent.FAIL, OperationEvent.EXPIRE])
async def test_a_payment_that_was_given_up_and_made_counts_as_made(
    pool: Database, database: DatabaseAccess, end: OperationEvent
) -> None:
    """Nodes said that it failed; the payer's number says that it was paid."""
    await open_payers(pool, 1)
    paid, failed = [(await withdraw(pool))[0] for _ in range(2)]
    (payer,) = await leased(pool)
    store, payers = TransactionStore(pool, ORDERS), PayerStore(pool, ORDERS)
    drafts = [draft(payer, paid), draft(payer, failed, number=START + 2, target=START + 2001)]
    for item in drafts:
        await store.commit_signed([item], ledger=LEDGER)
        closing = ended(item, TransactionEvent.FAIL, end)
        why = [replace(one, reason=FailureReason.REFUSED) for one in closing.settlements]
        await store.close([replace(closing, settlements=tuple(why))])
    async with connect(database.admin_dsn) as admin:
        for one in (paid, failed):
            with pytest.raises(asyncpg.RaiseError, match="never changes"):
                await admin.execute(CORRECTED, one, drafts[0].id)

    node = Node(payer.address)
    node.number = START + 1001
    await numbers_of(node, payers).steady([payer])

    operations = OperationStore(pool, ORDERS)
    made, other = await operations.by_id(paid), await operations.by_id(failed)
    assert made is not None
    assert other is not None
    assert (made.state, made.reason, made.ledger) == (OperationState.SUCCEEDED, None, LEDGER)
    assert made.transaction_hash == drafts[0].envelope.hash
    assert other.state in {OperationState.FAILED, OperationState.EXPIRED}
    async with connect(database.admin_dsn) as admin:
        for one in (paid, failed):
            with pytest.raises(asyncpg.RaiseError, match="never changes"):
                await admin.execute(CORRECTED, one, drafts[0].id)


async def test_a_transaction_that_only_the_chain_knows_is_booked_whole_or_not_at_all(
    pool: Database,
) -> None:
    await open_payers(pool, 1)
    asked = [await withdraw(pool, amount) for amount in (5, 6)]
    (payer,) = await leased(pool)
    store = PayerStore(pool, ORDERS)
    seen = SeenTransaction(
        hash="aa",
        inner_hash="bb",
        envelope="cc",
        sequence=START + 1,
        bump_to=START + 1001,
        max_time=1000,
        ledger=90,
        fee_charged=400,
        succeeded=True,
        payments=tuple(
            SeenPayment(source=address, destination=OUTSIDE, asset=Asset.KALE, amount=amount)
            for (_, address), amount in zip(asked, (5, 7), strict=True)
        ),
    )
    assert not await store.book_found(payer, seen)  # nobody asked for 7
    operations = OperationStore(pool, ORDERS)
    assert await operations.settled_among([item for item, _ in asked]) == []
    (first, second) = seen.payments
    right = replace(seen, payments=(first, replace(second, amount=6)))
    assert await store.book_found(payer, right)
    settled = await operations.settled_among([item for item, _ in asked])
    assert {item.state for item in settled} == {OperationState.SUCCEEDED}
    assert (await store.records([payer.address]))[payer.address].paid == START + 1001
    assert not await store.book_found(payer, right)


async def test_the_third_envelope_without_a_proof_waits_for_a_person(pool: Database) -> None:
    _, wallet_id, address = await farmer(pool)
    (operation_id,) = await record(pool, "plant", wish(wallet_id))
    operations, custody = OperationStore(pool, ORDERS), CustodyStore(pool, ORDERS)
    assert not await custody.release(operation_id, actor="operator")
    now = replace(ALL, work_until=5)
    for _ in range(2):
        (claimed,) = await operations.claim(now, limit=9, lease=0)
        assert claimed.id == operation_id
        transaction_id = await sign(pool, address, operation_id)
        assert transaction_id is not None
        retry = Settlement(operation_id=operation_id, event=OperationEvent.RETRY, is_unproven=True)
        failed = Closing(
            transaction_id=transaction_id,
            event=TransactionEvent.FAIL,
            settlements=(retry,),
            ledger=LEDGER,
        )
        await TransactionStore(pool, ORDERS).close([failed])
    assert await operations.claim(now, limit=9, lease=0) == []
    assert not await operations.has_urgent(now)  # others do not wait for it
    assert (await TransactionStore(pool, ORDERS).backlog()).held == 1
    # Its block's end is told all the same.
    over = replace(ALL, work_until=6)
    assert [item.id for item in await operations.claim(over, limit=9, lease=0)] == [operation_id]
    assert await custody.release(operation_id, actor="operator")
    assert [item.id for item in await operations.claim(now, limit=9, lease=0)] == [operation_id]
    (newest, *_) = await custody.latest(before=None, action=Action.RELEASE.value, limit=1)
    assert (newest.actor, newest.subject) == ("operator", f"operation {operation_id}")
