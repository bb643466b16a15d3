"""A pause ends by wallet's word only, whoever may write its row."""

import asyncio
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from libs.common.ids import OperationId, new_id
from services.wallet.domain.audit import Act, Action, Head, chained
from services.wallet.domain.chain_facts import SignedEnvelope
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import CustodyStore, PauseNotRecordedError, lock_audit_log
from services.wallet.store.kill_switch import KillSwitch, PauseOrder
from services.wallet.store.pause_guard import PauseGuard
from services.wallet.store.transactions import Draft, TransactionStore
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.table_rows import insert_row
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows

EVERYTHING = Reach(scope=Scope.EVERYTHING)
LIFT = "UPDATE wallet.pauses SET resumed_by = 'thief', resumed_at = now()"
DELETE = "DELETE FROM wallet.pauses"
MOVE = "UPDATE wallet.pauses SET scope = 'wallet', target = gen_random_uuid()"
MOVE_AND_LIFT = f"{MOVE}, resumed_by = 'thief', resumed_at = now()"


def draft(wallet: WalletRow, operation_id: UUID) -> Draft:
    name = new_id().hex
    envelope = SignedEnvelope(
        xdr=name,
        hash=name,
        inner_hash="",
        source=wallet.address,
        sequence=1,
        max_time=1000,
        fee_bid=100,
    )
    return Draft(
        envelope=envelope, operation_ids=(OperationId(operation_id),), stakes_returned=(0,)
    )


async def reaches(store: CustodyStore) -> list[tuple[Reach, str, str]]:
    return [(item.reach, item.paused_by, item.reason) for item in await store.pauses(over=False)]


@pytest.fixture(autouse=True)
async def treasury(rows: WalletRows) -> None:
    """A treasury that can pay fees."""
    await rows.wallet("treasury", xlm_stroops=10**9)


@pytest.mark.parametrize("how", [LIFT, DELETE], ids=["lifted", "deleted"])
@pytest.mark.parametrize("scope", [Scope.EVERYTHING, Scope.POOLER, Scope.WALLET])
async def test_a_pause_that_somebody_else_ended_is_put_back(
    rows: WalletRows, how: str, scope: Scope
) -> None:
    farmer = await rows.wallet()
    targets = {Scope.EVERYTHING: None, Scope.POOLER: farmer.pooler_id, Scope.WALLET: farmer.id}
    reach = Reach(scope=scope, target=targets[scope])
    custody, store = CustodyStore(rows.pool, ORDERS), TransactionStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    await custody.pause(reach, reason="fire", actor="ann")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    await rows.connection.execute(how)
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    ((found, actor, reason),) = await reaches(custody)
    assert (found, actor) == (reach, "wallet")
    assert reason.startswith("put back: it")
    # It is put back once, with a record; an operator ends it as any other.
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    records = await custody.latest(before=None, action="pause", limit=10)
    assert [item.actor for item in records] == ["wallet", "ann"]
    assert await custody.resume(reach, actor="ann")
    assert (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert not await reaches(custody)


@pytest.mark.parametrize("how", [MOVE, MOVE_AND_LIFT], ids=["moved", "moved and lifted"])
@pytest.mark.parametrize("scope", [Scope.EVERYTHING, Scope.POOLER])
async def test_a_pause_that_becomes_another_one_holds_as_it_was(
    rows: WalletRows, how: str, scope: Scope
) -> None:
    farmer = await rows.wallet()
    reach = Reach(scope=scope, target=None if scope is Scope.EVERYTHING else farmer.pooler_id)
    custody, store = CustodyStore(rows.pool, ORDERS), TransactionStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    await custody.pause(reach, reason="fire", actor="ann")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    await rows.connection.execute(how)
    for _ in range(3):
        assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert [item for item in await reaches(custody) if item[0] == reach] == [
        (reach, "wallet", await put_back(rows))
    ]
    assert await custody.resume(reach, actor="ann")
    assert (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def put_back(rows: WalletRows) -> str:
    """Why the one pause was put back that was."""
    (row,) = await rows.connection.fetch(
        "SELECT reason FROM wallet.pauses WHERE reason LIKE 'put back: it%'"
    )
    return str(row["reason"])


async def test_another_process_does_not_put_back_what_was_put_back(rows: WalletRows) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    await custody.pause(EVERYTHING, reason="fire", actor="ann")
    await rows.connection.execute(LIFT)
    first = TransactionStore(rows.pool, ORDERS)
    assert not (await first.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert await custody.resume(EVERYTHING, actor="ann")
    second = TransactionStore(rows.pool, ORDERS)
    assert (await second.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def test_a_pause_that_an_operator_ended_stays_ended(rows: WalletRows) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant = await rows.operation(farmer)
    store = TransactionStore(rows.pool, ORDERS)
    for _ in range(2):
        await custody.pause(EVERYTHING, reason="fire", actor="ann")
        assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
        assert await custody.resume(EVERYTHING, actor="ann")
    assert (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


# What an end that was genuine once is good for -------------------------------------------------

TAKE_BACK = "UPDATE wallet.pauses SET resumed_by = NULL, resumed_at = NULL WHERE id = $1"
END_AGAIN = "UPDATE wallet.pauses SET resumed_by = $2, resumed_at = $3 WHERE id = $1"


async def test_an_end_is_not_taken_back_by_wallets_role(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    custody = CustodyStore(rows.pool, ORDERS)
    await custody.pause(EVERYTHING, reason="drill", actor="ann")
    assert await custody.resume(EVERYTHING, actor="ann")
    async with connect(database.dsn("wallet")) as thief:
        old = await thief.fetchrow("SELECT id, resumed_at FROM wallet.pauses")
        assert old is not None
        for statement, values in ((TAKE_BACK, ()), (END_AGAIN, ("bob", old["resumed_at"]))):
            with pytest.raises(asyncpg.RaiseError, match="for good"):
                await thief.execute(statement, old["id"], *values)


@pytest.mark.parametrize("is_fresh", [False, True], ids=["known", "fresh process"])
async def test_no_older_end_lifts_a_pause_that_was_recorded(
    rows: WalletRows, is_fresh: bool
) -> None:
    """The thief holds an ended pause open while the order is recorded, then ends it as it was."""
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant, store = await rows.operation(farmer), TransactionStore(rows.pool, ORDERS)
    await custody.pause(EVERYTHING, reason="drill", actor="ann")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    assert await custody.resume(EVERYTHING, actor="ann")
    thief = rows.connection  # all rights: no trigger is in the way
    await thief.execute("SET session_replication_role = replica")
    old = await thief.fetchrow("SELECT id, resumed_by, resumed_at FROM wallet.pauses")
    assert old is not None
    async with thief.transaction():
        await thief.execute(TAKE_BACK, old["id"])
        # It waits for nobody.
        await asyncio.wait_for(custody.pause(EVERYTHING, reason="fire", actor="bob"), 60)
    # Committed, it is no pause that stands for a later order, either.
    await custody.resume(EVERYTHING, actor="bob")
    await thief.execute(TAKE_BACK, old["id"])
    await custody.pause(EVERYTHING, reason="fire", actor="bob")
    await thief.execute(END_AGAIN, *old.values())
    looks = TransactionStore(rows.pool, ORDERS) if is_fresh else store
    assert not (await looks.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def test_a_pause_holds_whatever_becomes_of_the_transaction_that_puts_it_back(
    rows: WalletRows,
) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    await custody.pause(EVERYTHING, reason="fire", actor="ann")
    guard = PauseGuard(ORDERS)
    await rows.connection.execute(LIFT)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with rows.pool.transaction() as session:
                await lock_audit_log(session)
                assert (await guard.look(session)).holds(farmer.id, farmer.pooler_id)
                raise RuntimeError("the thief has cut the connection")
    async with rows.pool.transaction() as session:
        await lock_audit_log(session)
        assert (await guard.look(session)).everything
    assert await custody.resume(EVERYTHING, actor="ann")
    for process in (guard, PauseGuard(ORDERS)):
        async with rows.pool.transaction() as session:
            await lock_audit_log(session)
            assert not (await process.look(session)).reaches


async def test_no_ended_pause_stands_for_a_later_order_by_a_forged_record(
    rows: WalletRows,
) -> None:
    """The thief opens an ended pause again, with a record of its beginning, and ends it as it was.

    The process that records the order has seen its end, or not: one that has starts now.
    """
    farmer, switch = await rows.wallet(), KillSwitch()
    custody, plant = CustodyStore(rows.pool, ORDERS), await rows.operation(farmer)
    store = TransactionStore(rows.pool, ORDERS, kill_switch=switch)
    await custody.pause(EVERYTHING, reason="drill", actor="ann")
    assert await custody.resume(EVERYTHING, actor="ann")
    await store.commit_signed([], ledger=LEDGER)
    thief = rows.connection
    await thief.execute(NO_PAUSE)
    await thief.execute("SET session_replication_role = replica")
    old = await thief.fetchrow("SELECT * FROM wallet.pauses")
    assert old is not None
    async with thief.transaction():
        await thief.execute(TAKE_BACK, old["id"])
        await thief.execute("UPDATE wallet.pauses SET paused_at = now()")
        await add_record(thief, Act(actor="ann", action=Action.PAUSE, subject="everything"))
    switch.note(await custody.pause(EVERYTHING, reason="fire", actor="ann"), EVERYTHING)
    await thief.execute("DELETE FROM wallet.pauses WHERE id = $1", old["id"])
    await thief.execute(
        "INSERT INTO wallet.pauses SELECT ($1::wallet.pauses).*", tuple(old.values())
    )
    for process in (store, TransactionStore(rows.pool, ORDERS)):
        assert not (await process.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def test_a_pause_whose_end_is_taken_back_is_in_force_again(rows: WalletRows) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    plant, store = await rows.operation(farmer), TransactionStore(rows.pool, ORDERS)
    await custody.pause(EVERYTHING, reason="drill", actor="ann")
    assert await custody.resume(EVERYTHING, actor="ann")
    await store.commit_signed([], ledger=LEDGER)
    await rows.connection.execute(NO_PAUSE)
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute("UPDATE wallet.pauses SET resumed_by = NULL, resumed_at = NULL")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    await rows.connection.execute("DELETE FROM wallet.pauses")
    assert not (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded


async def add_record(thief: Connection, act: Act) -> None:
    """Add a record to the log as wallet does, without its authenticator."""
    row = await thief.fetchrow("SELECT number, hash, now() AS moment FROM wallet.audit_head")
    assert row is not None
    head = Head(number=row["number"], hash=row["hash"])
    (record,) = chained([act], head, row["moment"])
    columns = {**vars(record), "mac": None}
    await insert_row(thief, "wallet.audit_log", **columns)
    await thief.execute(
        "UPDATE wallet.audit_head SET number = $1, hash = $2", record.number, record.hash
    )


# What the database makes of rows ----------------------------------------------------------------

NO_PAUSE = """
    CREATE OR REPLACE FUNCTION wallet.is_paused(wallet_id uuid, pooler_id uuid) RETURNS boolean
    LANGUAGE sql STABLE RETURN false
"""


@pytest.mark.parametrize("scope", [Scope.EVERYTHING, Scope.POOLER, Scope.WALLET])
async def test_what_is_paused_is_not_the_databases_word(rows: WalletRows, scope: Scope) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    store, plant = TransactionStore(rows.pool, ORDERS), await rows.operation(farmer)
    targets = {Scope.EVERYTHING: None, Scope.POOLER: farmer.pooler_id, Scope.WALLET: farmer.id}
    (first,) = (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    other, theirs = await rows.wallet(), await rows.operation(farmer, "work")
    free = await rows.operation(other)
    await custody.pause(Reach(scope=scope, target=targets[scope]), reason="fire", actor="ann")
    await rows.connection.execute(NO_PAUSE)
    drafts = [draft(farmer, theirs), draft(other, free)]
    recorded = (await store.commit_signed(drafts, ledger=LEDGER)).recorded
    assert recorded == ([] if scope is Scope.EVERYTHING else drafts[1:])
    dearer = replace(first.envelope, xdr="dearer", hash="dearer", fee_bid=200)
    assert not await store.replace_envelope(first.id, first.envelope.hash, dearer)
    if scope is Scope.EVERYTHING:
        assert not await store.commit_again(draft(other, free), ledger=LEDGER)


# Whose an operation is --------------------------------------------------------------------------

#: What makes it somebody else's for a moment, while a pause holds its owner.
GIVEN_AWAY = {
    "a pooler's farmer": "UPDATE wallet.wallets SET pooler_id = gen_random_uuid() WHERE id = $1",
    "a farmer's wallet": "UPDATE wallet.wallets SET farmer_id = gen_random_uuid() WHERE id = $1",
    "a wallet's operation": """
        UPDATE wallet.operations AS o SET wallet_id = w.id FROM wallet.wallets AS w
        WHERE o.wallet_id = $1 AND w.kind = 'treasury'
    """,
}


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "in this process"])
@pytest.mark.parametrize("how", GIVEN_AWAY)
async def test_what_is_held_is_not_signed_as_somebody_elses(
    rows: WalletRows, how: str, is_recorded: bool
) -> None:
    """The thief has all rights: no function and no trigger is in the way."""
    farmer, other = await rows.wallet(), await rows.wallet()
    custody, switch = CustodyStore(rows.pool, ORDERS), KillSwitch()
    store = TransactionStore(rows.pool, ORDERS, kill_switch=switch)
    first, free = await rows.operation(farmer), await rows.operation(other)
    (raised,) = (await store.commit_signed([draft(farmer, first)], ledger=LEDGER)).recorded
    plant = await rows.operation(farmer, "work")
    for scope in (Scope.POOLER, Scope.WALLET):
        target = farmer.pooler_id if scope is Scope.POOLER else farmer.id
        if is_recorded:
            reach = Reach(scope=scope, target=target)
            await custody.pause(reach, reason="fire", actor="ann")
            continue
        named = Reach(scope=Scope.FARMER, target=farmer.farmer_id)
        reach = named if scope is Scope.WALLET else Reach(scope=scope, target=target)
        switch.order(PauseOrder(reach=reach, reason="fire", actor="ann"))
    await rows.connection.execute(NO_PAUSE)
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(GIVEN_AWAY[how], farmer.id)
    drafts = [draft(farmer, plant), draft(other, free)]
    assert (await store.commit_signed(drafts, ledger=LEDGER)).recorded == drafts[1:]
    assert not await store.commit_again(draft(farmer, plant), ledger=LEDGER)
    dearer = replace(raised.envelope, xdr="dearer", hash="dearer", fee_bid=200)
    assert not await store.replace_envelope(raised.id, raised.envelope.xdr, dearer)


async def test_no_bid_is_raised_in_a_pause_for_what_a_transaction_is_said_to_carry(
    rows: WalletRows,
) -> None:
    farmer, custody = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    store, plant = TransactionStore(rows.pool, ORDERS), await rows.operation(farmer)
    (made,) = (await store.commit_signed([draft(farmer, plant)], ledger=LEDGER)).recorded
    dearer = replace(made.envelope, xdr="dearer", hash="dearer", fee_bid=200)
    other = Reach(scope=Scope.WALLET, target=(await rows.wallet()).id)
    await custody.pause(other, reason="somebody else", actor="ann")
    assert await store.replace_envelope(made.id, made.envelope.xdr, dearer)
    await custody.pause(Reach(scope=Scope.WALLET, target=farmer.id), reason="fire", actor="ann")
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute("DELETE FROM wallet.transaction_operations")
    dearest = replace(dearer, xdr="dearest", hash="dearest", fee_bid=300)
    assert not await store.replace_envelope(made.id, dearer.xdr, dearest)


#: Triggers that take new pauses away.
TAKES_AWAY = {
    "before": "CREATE TRIGGER nothing BEFORE INSERT ON wallet.pauses",
    "at once": "CREATE TRIGGER nothing AFTER INSERT ON wallet.pauses",
    "at the commit": (
        "CREATE CONSTRAINT TRIGGER nothing AFTER INSERT ON wallet.pauses "
        "DEFERRABLE INITIALLY DEFERRED"
    ),
}


@pytest.mark.parametrize("when", TAKES_AWAY)
async def test_a_pause_that_the_database_does_not_keep_is_not_told_as_recorded(
    rows: WalletRows, when: str
) -> None:
    await rows.connection.execute(
        "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        "'BEGIN DELETE FROM wallet.pauses WHERE id = NEW.id; RETURN NULL; END'"
    )
    await rows.connection.execute(
        f"{TAKES_AWAY[when]} FOR EACH ROW EXECUTE FUNCTION public.nothing()"
    )
    custody = CustodyStore(rows.pool, ORDERS)
    with pytest.raises(PauseNotRecordedError):
        await custody.pause(EVERYTHING, reason="fire", actor="ann")
    await rows.connection.execute("DROP TRIGGER nothing ON wallet.pauses")
    await custody.pause(EVERYTHING, reason="fire", actor="ann")
    assert await reaches(custody) == [(EVERYTHING, "ann", "fire")]
    records = await custody.latest(before=None, action=Action.PAUSE.value, limit=9)
    assert len(records) == (2 if when == "at the commit" else 1)
