"""The look at all rows that wallet acts on, and the keys of their authenticators."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.common.clock import SystemClock
from libs.common.db.pool import Database
from libs.common.grpc.second_person import Order
from libs.common.ids import OperationId, PoolerId, new_id
from services.wallet.domain.audit import Action
from services.wallet.domain.errors import RowChangedError, RowKeysMissingError
from services.wallet.domain.orders import Name
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.engine.order_check import OrderCheck, Share
from services.wallet.engine.row_keys import RowKeys
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProviderError
from services.wallet.keys.row_macs import RowMacs, SealedRowKey, row_key_context
from services.wallet.store.approvals import ApprovalStore
from services.wallet.store.custody import CustodyStore, append, lock_audit_log
from services.wallet.store.data_entries import DataEntryStore
from services.wallet.store.keys import KeyStore
from services.wallet.store.order_rows import TABLES, OrderRowStore, Walk, all_walks
from services.wallet.store.orders import Orders
from services.wallet.store.owners import OwnerStore, insert_owner_account
from services.wallet.store.pause_guard import PauseGuard
from services.wallet.store.payout_rows import (
    fee_mark_row,
    opening_row,
    payout_row,
    pool_payment_row,
)
from services.wallet.store.tokens import TokenStore
from tests.support.agreements import agree
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import KEY, ORDERS
from tests.support.tokens import new_token
from tests.support.wallet_rows import BLOCK, WalletRow, WalletRows, ago

PROVIDER = LocalKeyProvider(bytes(range(32)))
#: The id of an operation of long ago.
AGED = UUID("0190163d-8694-739b-aea5-966c26f8ad91")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A check over rows of each table, one or two of each."""

    rows: WalletRows
    macs: RowMacs
    keys: RowKeys
    check: OrderCheck
    #: A row's name by its table.
    names: dict[str, Name]
    farmer: WalletRow


async def seal(pool: Database) -> None:
    """Write the key of the tests' authenticators, as wallet would have made it."""
    wrapped = await PROVIDER.wrap(KEY, row_key_context(1, 1))
    key = SealedRowKey(
        number=1, accepts_from=1, kek_id=wrapped.kek_id, wrapped_key=wrapped.ciphertext
    )
    await KeyStore(pool, ORDERS).insert_row_key(key)


def open_check(pool: Database, share: Share | None = None) -> tuple[RowMacs, RowKeys, OrderCheck]:
    macs = RowMacs()
    keys = RowKeys(PROVIDER, KeyStore(pool, Orders(macs)), macs)
    custody, clock = CustodyStore(pool, ORDERS), SystemClock()
    return macs, keys, OrderCheck(OrderRowStore(pool), custody, keys, macs, clock, share=share)


@pytest.fixture
async def checked(rows: WalletRows) -> Checked:
    await seal(rows.pool)
    macs, keys, check = open_check(rows.pool)
    await keys.open()
    farmer, payer = await rows.wallet(), await rows.wallet("payer")
    treasury = await rows.wallet("treasury")
    withdrawal = await rows.payment(farmer, payer)
    await rows.payment(await rows.wallet("channel"), payer, "top_up", state="succeeded")
    await rows.operation(farmer, "plant", amount=5)
    found = await rows.operation(farmer, "harvest", "succeeded", amount=7, is_found=True)
    harvest = await rows.operation(farmer, "harvest", "succeeded", amount=7, block=BLOCK + 1)
    payout, pool_payment = await fees_of(rows, farmer, payer)
    carrier = await rows.transaction(payer.address, "succeeded", [withdrawal], bump_to=2000)
    await rows.shown(payer, 2000)
    root = await root_of(rows, treasury)
    await addresses_of(rows, farmer)
    await agree(rows.pool, farmer.id)
    await own(rows, farmer)
    pooler = PoolerId(new_id())
    await OwnerStore(rows.pool, ORDERS).mark(pooler, farms_for_itself=True, actor="me")
    custody, everything = CustodyStore(rows.pool, ORDERS), Reach(scope=Scope.EVERYTHING)
    await custody.pause(everything, reason="fire", actor="me")
    assert await custody.resume(everything, actor="me")
    order = Order(method="/m", digest=bytes(32), request="{}", asked_by="ann", is_repeatable=False)
    approval = await ApprovalStore(rows.pool, ORDERS).use(order, seconds=600)
    assert approval is not None
    pause = await rows.connection.fetchval("SELECT id FROM wallet.pauses")
    token = await TokenStore(rows.pool, ORDERS).create(
        new_token(), subject="spiffe://kalepool/pooler/7", secret_hash=bytes(32), actor="me"
    )
    names = {
        "wallets": Name(table="wallets", key=payer.id),
        "operations": Name(table="operations", key=withdrawal),
        "ends": Name(table="ends", key=found),
        "withdrawals": Name(table="withdrawals", key=withdrawal),
        "payouts": Name(table="payouts", key=payout),
        "pool_payments": Name(table="pool_payments", key=pool_payment),
        "fee_marks": Name(table="fee_marks", key=farmer.id),
        "block_openings": Name(table="block_openings", key=UUID(int=0), number=BLOCK),
        "harvests": Name(table="harvests", key=harvest),
        "payments": Name(table="payments", key=withdrawal),
        "data_entries": Name(table="data_entries", key=root),
        "payout_addresses": Name(table="payout_addresses", key=farmer.id, number=2),
        "agreements": Name(table="agreements", key=farmer.id, number=1),
        "owner_accounts": Name(table="owner_accounts", key=farmer.id, number=1),
        "pooler_marks": Name(table="pooler_marks", key=pooler, number=1),
        "shown_targets": Name(table="shown_targets", key=payer.id, number=2000),
        "transactions": Name(table="transactions", key=carrier),
        "tokens": Name(table="tokens", key=token.id),
        "pauses": Name(table="pauses", key=pause),
        "approvals": Name(table="approvals", key=approval),
    }
    return Checked(rows=rows, macs=macs, keys=keys, check=check, names=names, farmer=farmer)


async def own(rows: WalletRows, farmer: WalletRow) -> None:
    """Write an owner account."""
    async with rows.pool.transaction() as session:
        moment = ago(1)
        _, act = await insert_owner_account(
            session, ORDERS, farmer.id, "G3", number=1, registered_at=moment, wait=0, actor="me"
        )
        await append(session, [act], ORDERS)


async def root_of(rows: WalletRows, treasury: WalletRow) -> OperationId:
    """Write a root that is asked for."""
    return await DataEntryStore(rows.pool, ORDERS).record(
        OperationId(new_id()), treasury.id, day=20_000, root=bytes(32), actor="harvest"
    )


async def addresses_of(rows: WalletRows, farmer: WalletRow) -> None:
    """Write two payout addresses."""
    for number, address in enumerate(("G1", "G2"), start=1):
        moments: dict[str, Any] = {
            "registered_at": ago(100 - number),
            "effective_at": ago(90 - number),
        }
        columns: dict[str, Any] = {"wallet_id": farmer.id, "number": number, "address": address}
        mac = ORDERS.for_payout_address(**columns, **moments)
        await rows.insert("wallet.payout_addresses", **columns, **moments, mac=mac)


async def fees_of(
    rows: WalletRows, farmer: WalletRow, payer: WalletRow
) -> tuple[OperationId, OperationId]:
    """Write a payout and a payment of a pooler, when a block opened, and a mark."""
    payout = await rows.operation(farmer, "payout", amount=9, block=1)
    payment = await rows.operation(farmer, "pool_payment", amount=9, block=1)
    common = {"wallet_id": farmer.id, "number": 1, "request_id": "a", "requested_at": ago(1)}
    row: dict[str, Any] = common | {
        "operation_id": payout,
        "amount": 9,
        "destination": "G2",
        **dict.fromkeys(("pooler", "operator", "miners"), 0),
        **dict.fromkeys(("pooler_account", "operator_account"), ""),
    }
    await rows.insert("wallet.payouts", **row, mac=ORDERS.mac(payout_row(row)))
    row = common | {
        "operation_id": payment,
        "is_miner": True,
        "amount": 9,
        "destination": "G2",
    }
    await rows.insert("wallet.pool_payments", **row, mac=ORDERS.mac(pool_payment_row(row)))
    for item in (payout, payment):
        await rows.assign(item, payer)
    row = {"block_index": BLOCK, "opened_at": ago(1)}
    await rows.insert("wallet.block_openings", **row, mac=ORDERS.mac(opening_row(row)))
    numbers = ["pooler", "operator", "miners", "until_number"]
    numbers += ["paid_pooler", "paid_operator", "paid_miners"]
    row = {"wallet_id": farmer.id, "until_block": -1, "blocks": bytes(252)}
    row |= dict.fromkeys(numbers, 0)
    await rows.insert("wallet.fee_marks", **row, mac=ORDERS.mac(fee_mark_row(row)))
    return payout, payment


async def test_what_wallet_wrote_is_in_order(checked: Checked) -> None:
    found = await checked.check.step()
    assert (found.count, found.forged) == (0, ())
    assert found.rows == {
        "wallets": 4,
        "operations": 6,
        "ends": 1,
        "withdrawals": 1,
        "payouts": 1,
        "pool_payments": 1,
        "fee_marks": 1,
        "block_openings": 1,
        # Nobody looks at them before somebody asks for all.
        "harvests": 0,
        "payments": 4,
        "data_entries": 1,
        "payout_addresses": 2,
        "agreements": 1,
        "owner_accounts": 1,
        "pooler_marks": 1,
        "shown_targets": 1,
        "transactions": 1,
        "tokens": 1,
        "pauses": 1,
        "approvals": 1,
    }
    assert checked.check.is_clean
    assert checked.check.warnings == []
    assert set(TABLES) == set(checked.names)


#: What somebody with all rights changes in one row, by table.
CHANGES = {
    "wallets": "UPDATE wallet.wallets SET kind = 'channel' WHERE kind = 'payer'",
    "operations": """
        SET LOCAL session_replication_role = 'replica';
        UPDATE wallet.operations SET amount = 6 WHERE kind = 'withdraw'
    """,
    "ends": """
        SET LOCAL session_replication_role = 'replica';
        UPDATE wallet.operations SET amount = 9 WHERE is_found
    """,
    "withdrawals": "UPDATE wallet.withdrawals SET destination = 'G3'",
    "payments": """
        SET LOCAL session_replication_role = 'replica';
        UPDATE wallet.payments AS p SET payer_id = o.wallet_id FROM wallet.operations AS o
        WHERE o.id = p.operation_id AND o.kind = 'withdraw'
    """,
    "data_entries": """
        SET LOCAL session_replication_role = 'replica';
        UPDATE wallet.data_entries SET day = day - 1
    """,
    "payouts": "UPDATE wallet.payouts SET destination = 'G3'",
    "pool_payments": "UPDATE wallet.pool_payments SET is_miner = false",
    "fee_marks": "UPDATE wallet.fee_marks SET pooler = 7",
    "block_openings": "UPDATE wallet.block_openings SET opened_at = now()",
    "payout_addresses": "UPDATE wallet.payout_addresses SET address = 'G3' WHERE number = 2",
    "agreements": "UPDATE wallet.agreements SET pooler_bps = 3000",
    "owner_accounts": "UPDATE wallet.owner_accounts SET address = 'G4'",
    "pooler_marks": "UPDATE wallet.pooler_marks SET farms_for_itself = false",
    "shown_targets": "UPDATE wallet.shown_targets SET mac = NULL",
    "transactions": """
        SET LOCAL session_replication_role = 'replica';
        UPDATE wallet.transactions SET bump_to = 3000
    """,
    "tokens": "UPDATE wallet.tokens SET subject = 'spiffe://kalepool/pooler/8'",
    "pauses": "UPDATE wallet.pauses SET reason = 'drill'",
    "approvals": "UPDATE wallet.approvals SET expires_at = expires_at + interval '1 day'",
}


@pytest.mark.parametrize("table", CHANGES)
async def test_a_row_that_somebody_changed_is_found_and_can_be_signed(
    checked: Checked, table: str
) -> None:
    async with checked.rows.connection.transaction():
        await checked.rows.connection.execute(CHANGES[table])
    found = await checked.check.step()
    assert (found.count, [row.name for row in found.forged]) == (1, [checked.names[table]])
    assert not checked.check.is_clean
    assert checked.check.warnings == ["rows that wallet did not write: 1 (kalepool orders check)"]
    # An operator signs another row, then this one.
    other = next(name for name in checked.names.values() if name.table != table)
    (beside,) = await OrderRowStore(checked.rows.pool).rows([other])
    assert await checked.check.sign([beside.seen], actor="operator") == 0
    assert not checked.check.is_clean
    (forged,) = found.forged
    assert await checked.check.sign([forged.seen], actor="operator") == 1
    assert checked.check.is_clean
    (record,) = await CustodyStore(checked.rows.pool, ORDERS).latest(
        before=None, action=Action.SIGN_ROWS.value, limit=10
    )
    assert (record.actor, record.details) == ("operator", "1 rows")


async def test_a_harvest_that_somebody_moved_is_found_when_all_are_looked_at(
    checked: Checked,
) -> None:
    """By it fees are reckoned: whose it was, and of which block."""
    async with checked.rows.connection.transaction():
        await checked.rows.connection.execute(
            "SET LOCAL session_replication_role = 'replica'; "
            "UPDATE wallet.operations SET block_index = 99 WHERE kind = 'harvest' AND NOT is_found"
        )
    assert (await checked.check.step()).count == 0
    found = await checked.check.look()
    assert [row.name for row in found.forged] == [checked.names["harvests"]]


async def test_a_row_that_changes_after_somebody_looked_is_not_signed(checked: Checked) -> None:
    """Whoever writes rows shows an operator an honest one, and has another one signed."""
    async with checked.rows.connection.transaction():
        for table in ("withdrawals", "tokens"):
            await checked.rows.connection.execute(CHANGES[table])
    seen = [row.seen for row in (await checked.check.look()).forged]
    assert {one.name.table for one in seen} == {"withdrawals", "tokens"}
    await checked.rows.connection.execute("UPDATE wallet.withdrawals SET destination = 'GTHIEF'")
    with pytest.raises(RowChangedError, match="withdrawals/") as caught:
        await checked.check.sign(seen, actor="operator")
    found = await checked.check.look()
    assert {row.name.table for row in found.forged} == {"withdrawals", "tokens"}
    assert caught.value.metadata["name"] in {str(row.seen) for row in found.forged}
    # One that is mended by now needs no signature.
    await checked.rows.connection.execute("UPDATE wallet.withdrawals SET destination = 'outside'")
    assert await checked.check.sign(seen, actor="operator") == 1
    assert checked.check.is_clean


@pytest.mark.parametrize("table", CHANGES)
async def test_what_is_live_is_looked_at_in_every_look(checked: Checked, table: str) -> None:
    _, keys, check = open_check(checked.rows.pool, Share(past=0))
    await keys.open()
    assert (await check.step()).count == 0
    async with checked.rows.connection.transaction():
        await checked.rows.connection.execute(CHANGES[table])
    found = await check.step()
    assert (found.count, [row.name for row in found.forged]) == (1, [checked.names[table]])


async def test_a_transaction_in_flight_is_looked_at_until_it_has_ended(checked: Checked) -> None:
    rows = checked.rows
    plant = await rows.carried(checked.farmer, "sent", block=9)
    found = await checked.check.look()
    # Its row was written before what it carries.
    assert [row.name.table for row in found.forged] == ["transactions"]
    assert await checked.check.sign(None, actor="operator") == 1
    await rows.connection.execute(
        "UPDATE wallet.transactions SET is_rent = true WHERE state = 'sent'"
    )
    assert (await checked.check.look()).count == 1
    await rows.connection.execute(
        "UPDATE wallet.transactions SET state = 'excluded', closed_at = now() "
        "WHERE id = (SELECT transaction_id FROM wallet.operations WHERE id = $1)",
        plant,
    )
    assert (await checked.check.look()).count == 0


async def test_ends_that_may_still_be_booked_are_looked_at_by_an_operator(
    checked: Checked,
) -> None:
    """Those of every operation are too many for each minute: they are judged when told."""
    rows = checked.rows
    forged = await rows.operation(
        checked.farmer, "work", "succeeded", block=BLOCK + 2, end_mac=bytes(34)
    )
    old = await rows.operation(
        checked.farmer, "work", "succeeded", block=BLOCK + 3, end_mac=bytes(34), id=AGED
    )
    assert (await checked.check.step()).count == 0
    found = await checked.check.look()
    assert [str(row.name) for row in found.forged] == [f"ends/{forged}"]
    assert str(old) not in str(found.forged)
    assert await checked.check.sign([found.forged[0].seen], actor="operator") == 1
    assert (await checked.check.look()).count == 0


async def test_all_rows_are_seen_once_however_they_are_paged(checked: Checked) -> None:
    rows = checked.rows
    for block in range(20, 27):
        await rows.operation(
            checked.farmer, "work", "succeeded", block=block, is_found=block % 3 == 0
        )
    store, seen = OrderRowStore(rows.pool), list[Name]()
    for start in all_walks():
        walk: Walk | None = start if start.table == "ends" else None
        met = list[Name]()
        while walk is not None:
            page, walk = await store.page(walk, limit=2)
            met += [row.name for row in page]
        assert met == sorted(met, key=lambda name: name.key)
        seen += met
    assert len(seen) == len(set(seen)) == 3 + 7


async def test_a_row_is_told_with_what_it_says(checked: Checked) -> None:
    async with checked.rows.connection.transaction():
        await checked.rows.connection.execute(CHANGES["withdrawals"])
    (row,) = (await checked.check.look()).forged
    assert row.columns["destination"] == "G3"
    assert row.columns["amount"] == "5"
    assert not {"mac", "key", "number"} & row.columns.keys()


async def test_rows_that_nobody_signed_are_shown_and_then_signed(checked: Checked) -> None:
    macs, keys, check = open_check(checked.rows.pool)
    await checked.rows.connection.execute("DELETE FROM wallet.row_keys")
    with pytest.raises(RowKeysMissingError, match="kalepool orders"):
        await keys.open()
    (warning,) = check.warnings
    assert "nothing is signed" in warning
    found = await check.look()
    # Of ends, all that other services may still have to book: the top-up's and both harvests'.
    assert found.rows["ends"] == 3
    assert found.count == sum(found.rows.values()) == 35
    assert await check.sign(None, actor="operator") == 35
    assert (macs.current, check.is_clean) == (1, True)
    # Another process finds the key, and every row in order.
    _, others, another = open_check(checked.rows.pool)
    await others.open()
    assert (await another.look()).count == 0


async def test_an_empty_database_gets_a_key_at_once(pool: Database) -> None:
    macs, keys, check = open_check(pool)
    assert not keys.is_open
    await keys.open()
    assert (macs.current, keys.is_open) == (1, True)
    assert (await check.step()).count == 0


async def age(rows: WalletRows, minutes: int) -> None:
    await rows.connection.execute(
        "UPDATE wallet.row_keys SET created_at = created_at - make_interval(mins => $1)", minutes
    )


async def test_a_key_is_replaced_while_the_pool_goes_on(checked: Checked) -> None:
    rows, macs, keys, check = checked.rows, checked.macs, checked.keys, checked.check
    old_macs, old_keys, _ = open_check(rows.pool)
    await old_keys.open()
    assert await keys.replace(actor="operator") == 2
    await keys.open()
    # Nobody uses it before every process knows it.
    assert macs.current == 1
    await age(rows, 2)
    await keys.open()
    assert macs.current == 2
    assert (await check.step()).count == 0
    found = await rows.connection.fetch(
        "SELECT DISTINCT get_byte(mac, 1) AS number FROM wallet.wallets UNION "
        "SELECT get_byte(mac, 1) FROM wallet.transactions UNION "
        "SELECT get_byte(mac, 1) FROM wallet.tokens UNION "
        "SELECT get_byte(resume_mac, 1) FROM wallet.pauses UNION "
        "SELECT get_byte(end_mac, 1) FROM wallet.operations WHERE settled_at IS NOT NULL"
    )
    assert [row["number"] for row in found] == [2]
    # A process that has not looked yet still writes under the older key, which counts.
    await rows.connection.execute(
        "UPDATE wallet.wallets SET mac = $2 WHERE id = $1",
        checked.farmer.id,
        Orders(old_macs).for_wallet(
            row_id=checked.farmer.id,
            kind="farmer",
            address=checked.farmer.address,
            farmer_id=checked.farmer.farmer_id,
            pooler_id=checked.farmer.pooler_id,
        ),
    )
    assert (await check.look()).count == 0
    await check.step()
    await age(rows, 10)
    await keys.open()
    await check.step()
    await keys.open()
    assert not macs.is_genuine(b"row", old_macs.mac(b"row"))
    assert (await check.step()).count == 0
    # A process that starts now takes no pause that has ended for one in force.
    async with rows.pool.transaction() as session:
        await lock_audit_log(session)
        assert not (await PauseGuard(Orders(macs)).look(session)).reaches


async def test_wallet_may_sign_what_is_settled_and_change_nothing_else(
    checked: Checked, database: DatabaseAccess
) -> None:
    async with connect(database.dsn("wallet")) as wallet:
        await wallet.execute("UPDATE wallet.operations SET mac = NULL WHERE state = 'succeeded'")
        await wallet.execute(
            "UPDATE wallet.operations SET end_mac = NULL WHERE state = 'succeeded'"
        )
        await wallet.execute("UPDATE wallet.transactions SET mac = NULL")
        await wallet.execute("UPDATE wallet.payments SET mac = NULL")
        for statement in (
            "UPDATE wallet.operations SET mac = NULL, amount = 9 WHERE state = 'succeeded'",
            "UPDATE wallet.operations SET end_mac = mac, amount = 9 WHERE state = 'succeeded'",
            "UPDATE wallet.transactions SET mac = NULL, bump_to = 9000",
            "UPDATE wallet.payments SET payer_id = payer_id",
        ):
            with pytest.raises((asyncpg.RaiseError, asyncpg.InsufficientPrivilegeError)):
                await wallet.execute(statement)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "started anew"])
async def test_a_key_that_was_given_up_is_not_brought_back_by_an_older_wrapping(
    rows: WalletRows, database: DatabaseAccess, is_restarted: bool
) -> None:
    macs, keys, check = open_check(rows.pool)
    await keys.open()
    leaked = macs.mac(b"row")
    await keys.replace(actor="operator")
    async with connect(database.dsn("wallet")) as thief:
        older = await thief.fetchrow("SELECT wrapped_key FROM wallet.row_keys WHERE number = 2")
        assert older is not None
        await age(rows, 20)
        await keys.open()
        await check.step()
        await keys.open()
        assert not macs.is_genuine(b"row", leaked)
        # The wrapping of before.
        await thief.execute(
            "UPDATE wallet.row_keys SET wrapped_key = $1, accepts_from = 1 WHERE number = 2",
            older["wrapped_key"],
        )
    if is_restarted:
        macs, keys, _ = open_check(rows.pool)
    await keys.open()
    assert macs.current == 2
    assert not macs.is_genuine(b"row", leaked)
    # Who has all rights takes the newest key away, so that the older one is the newest.
    await rows.connection.execute("DELETE FROM wallet.row_keys WHERE number = 2")
    with pytest.raises(KeyProviderError, match="row key 2 is gone"):
        await keys.open()
    assert not macs.is_genuine(b"row", leaked)


async def test_a_key_that_somebody_put_in_keeps_none_from_being_replaced(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    """Else a key that leaked would count for ever."""
    macs, keys, check = open_check(rows.pool)
    await keys.open()
    insert = (
        "INSERT INTO wallet.row_keys (number, accepts_from, kek_id, wrapped_key, created_at) "
        "VALUES ($1, 1, $2, 'x', {})"
    )
    kek = await PROVIDER.current_kek()
    async with connect(database.dsn("wallet")) as thief:
        for number, moment in ((65_535, "now()"), (2, "'2026-01-01Z'")):
            with pytest.raises(asyncpg.CheckViolationError, match="does not follow"):
                await thief.execute(insert.format(moment), number, kek)
        for number in (2, 3):
            await thief.execute(insert.format("now()"), number, kek if number == 2 else "other")
    assert await keys.replace(actor="ann") == 4
    await age(rows, 20)
    await keys.open()
    assert (macs.current, keys.writes_alone) == (4, True)
    assert (await check.step()).count == 0
    # So it is for a process that starts now; a key of wallet's own has to open.
    fresh, others, _ = open_check(rows.pool)
    await others.open()
    assert fresh.current == 4
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute("UPDATE wallet.row_keys SET wrapped_key = 'x' WHERE number = 4")
    _, late, _ = open_check(rows.pool)
    with pytest.raises(KeyProviderError, match="row key 4"):
        await late.open()
