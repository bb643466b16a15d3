"""The kill switch without the database: in force at once, recorded when the database answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, PoolerId, new_id
from services.wallet.domain.errors import PauseNotFoundError, WalletNotFoundError
from services.wallet.domain.model import Wallet
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.engine.signers import Signers
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.loops import record_pauses
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.kill_switch import KillSwitch, PausedHereError, PauseOrder
from services.wallet.store.transactions import Draft
from services.wallet.store.wallets import WalletStore
from services.wallet.usecases.pausing import AGAIN, PATIENCE, Pausing
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.pool_world import eventually
from tests.support.told_wallet import LEDGER, endow, envelope, farmer, transactions

EVERYTHING = Reach(scope=Scope.EVERYTHING)
#: For everybody, and for a farmer.
PAUSES = [
    PauseOrder(reach=reach, reason="fire", actor="ann")
    for reach in (EVERYTHING, Reach(scope=Scope.FARMER, target=new_id()))
]


@pytest.fixture
async def pausing(pool: Database) -> AsyncIterator[Pausing]:
    """The kill switch of one process, with the loop that records."""
    await endow(pool)
    made = Pausing(
        wallets=WalletStore(pool, ORDERS),
        store=CustodyStore(pool, ORDERS),
        switch=KillSwitch(),
        wakeup=Wakeup(),
    )
    loop = asyncio.create_task(record_pauses(made))
    yield made
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who pauses waits for the record however busy the machine is."""
    monkeypatch.setattr("services.wallet.usecases.pausing.PATIENCE", 60.0)


@asynccontextmanager
async def stuck(database: DatabaseAccess) -> AsyncIterator[None]:
    """Nothing that changes the audit log gets its turn while the block runs."""
    async with connect(database.admin_dsn) as admin, admin.transaction():
        await admin.execute("LOCK TABLE wallet.audit_head IN ACCESS EXCLUSIVE MODE")
        yield


async def acts(pool: Database) -> list[str]:
    found = await CustodyStore(pool, ORDERS).latest(before=None, action=None, limit=100)
    return [one.action for one in reversed(found) if one.action in {"pause", "resume", "sign"}]


async def recorded(pool: Database) -> bool:
    return bool(await CustodyStore(pool, ORDERS).pauses(over=False))


@pytest.mark.usefixtures("patient")
async def test_a_pause_is_recorded_when_the_database_answers(
    pool: Database, pausing: Pausing
) -> None:
    assert await pausing.pause(EVERYTHING, reason="fire", actor="ann")
    (pause,) = await CustodyStore(pool, ORDERS).pauses(over=False)
    assert (pause.reason, pause.paused_by) == ("fire", "ann")
    # From here on the database alone says so: any process may end it.
    assert not pausing.switch.holds_anything
    # Nor does an older one stand for a new order: somebody may have ended that.
    assert await pausing.pause(EVERYTHING, reason="again", actor="bob")
    assert await acts(pool) == ["pause", "pause"]
    await pausing.resume(EVERYTHING, actor="ann")
    assert not await recorded(pool)


async def test_a_pause_is_in_force_within_a_second_while_the_database_is_stuck(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    _, _, draft = await farmer(pool)
    store = transactions(pool, pausing.switch)
    async with stuck(database):
        started = time.monotonic()
        assert not await pausing.pause(EVERYTHING, reason="fire", actor="ann")
        # The database would be waited for as long as a statement may take, ten seconds.
        assert time.monotonic() - started < PATIENCE + 5
        assert pausing.switch.holds_everything
        # It does not even look at the database.
        assert (await store.commit_signed([draft], ledger=LEDGER)).recorded == []
    await eventually(lambda: recorded(pool))
    # In every process from its next commit on.
    for process in (store, transactions(pool, KillSwitch())):
        assert (await process.commit_signed([draft], ledger=LEDGER)).recorded == []
    assert await acts(pool) == ["pause"]


#: What somebody with all rights does to a pause as soon as it is recorded.
ENDS = {
    "lifted": "UPDATE wallet.pauses SET resumed_by = 'thief', resumed_at = now()",
    "taken away": "DELETE FROM wallet.pauses",
    "moved": "UPDATE wallet.pauses SET scope = 'wallet', target = gen_random_uuid()",
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.usefixtures("patient")
async def test_a_pause_holds_whose_row_changes_before_anybody_has_looked(
    pool: Database, database: DatabaseAccess, pausing: Pausing, how: str
) -> None:
    _, _, draft = await farmer(pool)
    store = transactions(pool, pausing.switch)
    assert await pausing.pause(EVERYTHING, reason="fire", actor="ann")
    async with connect(database.admin_dsn) as admin:
        await admin.execute(ENDS[how])
    for _ in range(2):
        assert (await store.commit_signed([draft], ledger=LEDGER)).recorded == []
    # Put back, so that every process knows it, and an operator ends it as any other.
    found = await CustodyStore(pool, ORDERS).pauses(over=False)
    assert [one.paused_by for one in found if one.reach == EVERYTHING] == ["wallet"]
    await pausing.resume(EVERYTHING, actor="ann")
    assert len((await store.commit_signed([draft], ledger=LEDGER)).recorded) == 1
    # What was recorded and has ended since is no pause any more.
    assert await pausing.pause(EVERYTHING, reason="drill", actor="ann")
    await pausing.resume(EVERYTHING, actor="ann")
    assert pausing.switch.take_recorded().keys()
    assert not await CustodyStore(pool, ORDERS).pauses(over=False) or how == "moved"


async def test_what_was_about_to_be_committed_is_thrown_away(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    """The commit waits for its turn when the order comes: it has passed every look but the last."""
    _, _, draft = await farmer(pool)
    store = transactions(pool, pausing.switch)
    async with stuck(database):
        commit = asyncio.create_task(store.commit_signed([draft], ledger=LEDGER))
        await asyncio.sleep(0.3)
        assert not await pausing.pause(EVERYTHING, reason="fire", actor="ann")
    assert (await commit).recorded == []
    await eventually(lambda: recorded(pool))
    assert await acts(pool) == ["pause"]


@pytest.mark.parametrize("scope", [Scope.FARMER, Scope.POOLER])
async def test_an_order_for_some_stops_nobody_else(
    pool: Database, database: DatabaseAccess, pausing: Pausing, scope: Scope
) -> None:
    farmer_id, pooler_id, draft = await farmer(pool)
    _, _, other = await farmer(pool)
    store = transactions(pool, pausing.switch)
    reach = Reach(scope=scope, target=farmer_id if scope is Scope.FARMER else pooler_id)
    async with stuck(database):
        assert not await pausing.pause(reach, reason="fire", actor="ann")
        commit = asyncio.create_task(store.commit_signed([draft, other], ledger=LEDGER))
        await asyncio.sleep(0.2)
    assert [one.id for one in (await commit).recorded] == [other.id]
    await eventually(lambda: recorded(pool))
    assert (await store.commit_signed([draft], ledger=LEDGER)).recorded == []
    (pause,) = await CustodyStore(pool, ORDERS).pauses(over=False)
    named = Scope.WALLET if scope is Scope.FARMER else scope
    assert pause.reach.scope is named


@pytest.mark.parametrize(
    ("scope", "is_recorded"),
    [
        (Scope.EVERYTHING, True),
        (Scope.EVERYTHING, False),
        (Scope.POOLER, True),
        (Scope.POOLER, False),
        (Scope.WALLET, True),
        (Scope.FARMER, False),
    ],
)
async def test_no_account_is_merged_while_it_is_paused(
    pool: Database, scope: Scope, is_recorded: bool
) -> None:
    """No operation names the account: the draft alone tells whose key has signed."""
    await endow(pool)
    farmer_id, pooler_id, _ = await farmer(pool)
    _, others, _ = await farmer(pool)
    wallets = WalletStore(pool, ORDERS)
    (wallet,) = await wallets.page(pooler_id=pooler_id, after=None, limit=1)
    (other,) = await wallets.page(pooler_id=others, after=None, limit=1)
    drafts = [merger(wallet), merger(other)]
    store = transactions(pool, switch := KillSwitch())
    target = {Scope.FARMER: farmer_id, Scope.POOLER: pooler_id, Scope.WALLET: wallet.id}
    reach = Reach(scope=scope, target=target.get(scope))
    if is_recorded:
        await CustodyStore(pool, ORDERS).pause(reach, reason="fire", actor="ann")
    else:
        switch.order(PauseOrder(reach=reach, reason="fire", actor="ann"))
    committed = await store.commit_signed(drafts, ledger=LEDGER)
    assert committed.is_paused
    free = [] if scope is Scope.EVERYTHING else [drafts[1].id]
    assert [one.id for one in committed.recorded] == free
    again = await store.commit_signed(drafts[1:], ledger=LEDGER)
    assert again.is_paused is (scope is Scope.EVERYTHING)


def merger(wallet: Wallet) -> Draft:
    """Return a draft that merges a farmer's account."""
    return Draft(
        envelope=envelope(wallet.address), operation_ids=(), stakes_returned=(), merged=(wallet,)
    )


async def test_no_bid_is_raised_and_no_payment_made_again_while_an_order_waits(
    pool: Database, pausing: Pausing
) -> None:
    _, _, draft = await farmer(pool)
    _, _, again = await farmer(pool)
    store = transactions(pool, switch := KillSwitch())
    assert (await store.commit_signed([draft], ledger=LEDGER)).recorded
    for order in PAUSES:
        switch.order(order)
        raised = envelope(draft.envelope.source)
        assert not await store.replace_envelope(draft.id, draft.envelope.xdr, raised)
        switch.settle(order.reach)
    switch.order(PAUSES[0])
    assert not await store.commit_again(again, ledger=LEDGER)
    switch.settle(EVERYTHING)
    raised = envelope(draft.envelope.source)
    assert await store.replace_envelope(draft.id, draft.envelope.xdr, raised)


async def test_no_key_is_opened_while_everything_is_paused_here(pool: Database) -> None:
    switch = KillSwitch()
    signers = Signers(LocalKeyProvider(bytes(32)), WalletStore(pool, ORDERS), switch)
    switch.order(PAUSES[0])
    with pytest.raises(PausedHereError):
        async with signers.open([]):
            pass
    switch.settle(EVERYTHING)
    async with signers.open([]) as opened:
        assert opened == []


async def test_an_order_that_is_ended_before_it_was_recorded_leaves_both_records(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    async with stuck(database):
        assert not await pausing.pause(EVERYTHING, reason="fire", actor="ann")
        resuming = asyncio.create_task(pausing.resume(EVERYTHING, actor="bob"))
        await asyncio.sleep(0.3)
        assert pausing.switch.holds_everything
    await resuming
    assert not pausing.switch.holds_anything
    assert await acts(pool) == ["pause", "resume"]
    with pytest.raises(PauseNotFoundError):
        await pausing.resume(EVERYTHING, actor="bob")


@pytest.mark.usefixtures("patient")
async def test_another_process_ends_a_pause_of_this_one(pool: Database, pausing: Pausing) -> None:
    _, _, draft = await farmer(pool)
    assert await pausing.pause(EVERYTHING, reason="fire", actor="ann")
    assert await CustodyStore(pool, ORDERS).resume(EVERYTHING, actor="bob")
    store = transactions(pool, pausing.switch)
    assert (await store.commit_signed([draft], ledger=LEDGER)).recorded


@pytest.mark.usefixtures("patient")
async def test_who_is_nobody_is_told_as_soon_as_the_database_says_so(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    for reach in (
        Reach(scope=Scope.FARMER, target=FarmerId(new_id())),
        Reach(scope=Scope.POOLER, target=PoolerId(new_id())),
    ):
        with pytest.raises(WalletNotFoundError):
            await pausing.pause(reach, reason="a typo", actor="ann")
        assert not pausing.switch.holds_anything
        # The next order for the same is a new one.
        with pytest.raises(WalletNotFoundError):
            await pausing.pause(reach, reason="a typo", actor="ann")
    assert await acts(pool) == []


async def test_a_spoilt_row_keeps_no_pause_from_being_recorded(
    pool: Database,
    database: DatabaseAccess,
    pausing: Pausing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farmer_id, _, draft = await farmer(pool)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute("UPDATE wallet.wallets SET mac = decode(repeat('00', 34), 'hex')")
    reach = Reach(scope=Scope.FARMER, target=farmer_id)
    # Nobody can tell whether the row has the right farmer.
    assert not await pausing.pause(reach, reason="looks odd", actor="ann")
    monkeypatch.setattr("services.wallet.usecases.pausing.PATIENCE", 60.0)
    assert await pausing.pause(EVERYTHING, reason="fire", actor="ann")
    assert (await transactions(pool).commit_signed([draft], ledger=LEDGER)).recorded == []
    await asyncio.sleep(2 * AGAIN)
    assert await acts(pool) == ["pause", "pause"]
    await pausing.resume(reach, actor="ann")
    assert not pausing.switch.holds_anything
    assert [one.reach for one in await CustodyStore(pool, ORDERS).pauses(over=False)] == [
        EVERYTHING
    ]


async def test_a_farmer_whose_wallet_is_anothers_for_a_moment_is_paused(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    """Somebody with all rights has the order recorded for another wallet."""
    store = transactions(pool, pausing.switch)
    (one, _, draft), (other, _, _) = await farmer(pool), await farmer(pool)
    wallets = await WalletStore(pool, ORDERS).ids_of_farmers([one, other])

    async def swap(*farmers: FarmerId) -> None:
        async with connect(database.admin_dsn) as admin, admin.transaction():
            for name, owner in (
                (wallets[one], new_id()),
                (wallets[other], farmers[1]),
                (wallets[one], farmers[0]),
            ):
                await admin.execute(
                    "UPDATE wallet.wallets SET farmer_id = $2 WHERE id = $1", name, owner
                )

    await swap(other, one)
    reach = Reach(scope=Scope.FARMER, target=one)
    assert not await pausing.pause(reach, reason="fire", actor="ann")
    await swap(one, other)
    assert (await store.commit_signed([draft], ledger=LEDGER)).recorded == []
    # Recorded in all processes, once wallet's own row says which wallet it is.
    await eventually(_settled(pausing))
    assert (await transactions(pool).commit_signed([draft], ledger=LEDGER)).recorded == []
    found = await CustodyStore(pool, ORDERS).pauses(over=False)
    assert {item.reach.target for item in found} == {wallets[one], wallets[other]}


async def test_an_order_that_cannot_be_recorded_keeps_no_other_one_waiting(
    pool: Database,
    database: DatabaseAccess,
    pausing: Pausing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reach = Reach(scope=Scope.POOLER, target=(await farmer(pool))[1])
    async with connect(database.admin_dsn) as admin:
        # Somebody with all rights drops new pauses of poolers.
        await admin.execute(
            "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NULL; END'; "
            "CREATE TRIGGER nothing BEFORE INSERT ON wallet.pauses FOR EACH ROW "
            "WHEN (NEW.scope = 'pooler') EXECUTE FUNCTION public.nothing()"
        )
        assert not await pausing.pause(reach, reason="looks odd", actor="ann")
        monkeypatch.setattr("services.wallet.usecases.pausing.PATIENCE", 60.0)
        assert await pausing.pause(EVERYTHING, reason="fire", actor="ann")
        assert [one.reach for one in pausing.switch.orders] == [reach]
        assert await acts(pool) == ["pause"]
        await admin.execute("DROP TRIGGER nothing ON wallet.pauses")
    await eventually(_settled(pausing))
    assert len(await CustodyStore(pool, ORDERS).pauses(over=False)) == 2


def _settled(pausing: Pausing) -> Callable[[], Awaitable[bool]]:
    async def settled() -> bool:
        return not pausing.switch.holds_anything

    return settled


async def test_who_waits_for_a_lock_is_told_to_come_again(database: DatabaseAccess) -> None:
    async with (
        open_database(
            DatabaseAddress(dsn=database.dsn("wallet")),
            queries=QUERIES,
            pool_size=1,
            timeout_ms=10_000,
            lock_timeout_ms=200,
            name="test",
        ) as impatient,
        stuck(database),
    ):
        with pytest.raises(UnavailableError, match="not available"):
            await CustodyStore(impatient, ORDERS).pause(EVERYTHING, reason="fire", actor="ann")


async def test_a_database_that_is_away_fails_the_end_of_a_pause_and_not_the_pause(
    pool: Database, database: DatabaseAccess, pausing: Pausing
) -> None:
    async with connect(database.admin_dsn) as admin:
        await admin.execute("ALTER ROLE kalepool_wallet NOLOGIN")
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'kalepool_wallet' AND datname = current_database()"
            )
            assert not await pausing.pause(EVERYTHING, reason="fire", actor="ann")
            away = (UnavailableError, asyncpg.InvalidAuthorizationSpecificationError)
            with pytest.raises(away):
                await pausing.resume(EVERYTHING, actor="bob")
            assert pausing.switch.holds_everything
        finally:
            await admin.execute("ALTER ROLE kalepool_wallet LOGIN")
    await eventually(lambda: recorded(pool))
