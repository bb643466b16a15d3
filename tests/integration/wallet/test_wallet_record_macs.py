"""Who wrote a record of the audit log: no record that wallet did not write goes unseen."""

from typing import Any, TypeAlias, cast

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import new_id
from services.wallet.domain.audit import Act, Action, Head, chained
from services.wallet.domain.errors import NotInLogError
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.engine.audit_watch import AuditWatch
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import unwrap_one
from services.wallet.keys.row_macs import RowMacs, seal_row_key
from services.wallet.store.audit_check import AuditCheck
from services.wallet.store.custody import CustodyStore
from services.wallet.store.orders import Orders
from services.wallet.store.rights import RightsStore
from services.wallet.usecases.custody import Custody
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows

Connection: TypeAlias = "asyncpg.Connection[Any]"

ACT = Act(actor="me", action=Action.EXPORT_KEY, subject="wallet", details="its owner leaves")

INVENT = """
    INSERT INTO wallet.audit_log (number, at, actor, action, subject, details, previous, hash, mac)
    SELECT $1, now(), $2, $3, $4, $5, $6, $7, $8
"""


async def invent(thief: Connection, action: Action, mac: bytes | None = None) -> None:
    """Write a record in bob's name that follows the head, as wallet's role may."""
    async with thief.transaction():
        row = await thief.fetchrow("SELECT number, hash, now() AS moment FROM wallet.audit_head")
        assert row is not None
        act = Act(actor="bob", action=action, subject=f"wallet {new_id()}", details="for my cousin")
        (made,) = chained([act], Head(number=row["number"], hash=row["hash"]), row["moment"])
        values = (made.actor, made.action, made.subject, made.details, made.previous, made.hash)
        await thief.execute(INVENT, made.number, *values, mac)


async def strangers(pool: Database, orders: Orders = ORDERS) -> list[str]:
    store = CustodyStore(pool, orders)
    judge, found = await store.judge(), []
    async for page in store.records():
        found += judge.strangers(page)
    return found


def verifying(pool: Database) -> Custody:
    """What VerifyAuditLog asks; it needs no more."""
    store, missing = CustodyStore(pool, ORDERS), cast("Any", None)
    return Custody(
        wallets=missing,
        store=store,
        check=AuditCheck(pool),
        signers=missing,
        wakeup=missing,
        may_export=True,
    )


@pytest.mark.parametrize("action", [Action.EXPORT_KEY, Action.APPROVE, Action.RELEASE])
async def test_a_record_invented_in_an_operators_name_is_found(
    pool: Database, database: DatabaseAccess, action: Action
) -> None:
    store = CustodyStore(pool, ORDERS)
    watch = AuditWatch(store, RightsStore(pool))
    await store.record(ACT)
    await watch.step()
    genuine = (await store.latest(before=None, action=None, limit=1))[0]
    async with connect(database.dsn("wallet")) as thief:
        await invent(thief, action)
        await invent(thief, action, genuine.mac)
    await store.record(ACT)
    invented = [f"wallet did not write record {genuine.number + n}" for n in (1, 2)]
    assert await strangers(pool) == invented
    _, findings = await verifying(pool).verify(None)
    assert findings.words() == invented
    await watch.step()
    assert invented[0] in watch.warnings


async def test_a_log_written_anew_with_hashes_that_fit_is_found(
    pool: Database, database: DatabaseAccess
) -> None:
    """No record has an authenticator: as if there had been no key yet."""
    await CustodyStore(pool, ORDERS).record(ACT)
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute("UPDATE wallet.audit_log SET mac = NULL")
    assert await strangers(pool) == ["wallet did not write record 1"]


async def test_what_is_recorded_before_there_is_any_key_is_no_finding(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    early = CustodyStore(rows.pool, Orders(RowMacs()))
    await early.pause(Reach(scope=Scope.EVERYTHING), reason="fire", actor="ann")
    assert await strangers(rows.pool) == []
    await CustodyStore(rows.pool, ORDERS).record(ACT)
    assert await strangers(rows.pool) == []
    # Whoever leaves the authenticator out later is found.
    async with connect(database.dsn("wallet")) as thief:
        await invent(thief, Action.PAUSE)
    assert await strangers(rows.pool) == ["wallet did not write record 3"]
    assert (await strangers(rows.pool, Orders(RowMacs())))[0].startswith("the keys of rows are not")


async def test_a_key_that_was_given_up_vouches_for_what_it_wrote_and_for_nothing_new(
    rows: WalletRows,
) -> None:
    provider, macs = LocalKeyProvider(bytes(32)), RowMacs()
    first, second = await seal_row_key(provider, 1), await seal_row_key(provider, 2, accepts_from=2)
    await macs.use(provider, [first])
    await CustodyStore(rows.pool, Orders(macs)).record(ACT)
    leaked = Orders(RowMacs({1: await unwrap_one(provider, first.wrapped)}))
    await macs.use(provider, [first, second])
    current = Orders(macs)
    for orders in (current, leaked):
        await CustodyStore(rows.pool, orders).record(ACT)
    # The older key may have been used beside the newer one for a while.
    assert await strangers(rows.pool, current) == []
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(
        "UPDATE wallet.audit_log SET at = at + interval '1 hour' WHERE number = 3"
    )
    assert await strangers(rows.pool, current) == ["wallet did not write record 3"]


#: How somebody with all rights keeps records out of the log: at once, or when it is committed.
_KEPT_OUT = {
    "left out": "CREATE TRIGGER aaa BEFORE INSERT ON wallet.audit_log FOR EACH ROW",
    "taken away": (
        "CREATE CONSTRAINT TRIGGER aaa AFTER INSERT ON wallet.audit_log "
        "INITIALLY DEFERRED FOR EACH ROW"
    ),
}
_KEEP_OUT = """
CREATE FUNCTION public.keep_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'AFTER' THEN
        PERFORM set_config('session_replication_role', 'replica', true);
        DELETE FROM wallet.audit_log WHERE number = NEW.number;
    END IF;
    RETURN NULL;
END
$$ SECURITY DEFINER;
"""


@pytest.mark.parametrize("how", _KEPT_OUT)
async def test_nothing_is_done_whose_record_the_database_does_not_keep(
    rows: WalletRows, how: str
) -> None:
    """A key, say, is handed out after its record is there."""
    store = CustodyStore(rows.pool, ORDERS)
    await store.record(ACT)
    await rows.connection.execute(_KEEP_OUT)
    await rows.connection.execute(f"{_KEPT_OUT[how]} EXECUTE FUNCTION public.keep_out()")
    with pytest.raises(NotInLogError):
        await store.record(ACT)
    await rows.connection.execute("DROP TRIGGER aaa ON wallet.audit_log")
