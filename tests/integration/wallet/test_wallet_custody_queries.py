"""The queries of the audit log and of pauses: what each takes, what it leaves, in which order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.ids import OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.domain.model import TransactionId
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import CustodyStore, is_held_apart, lock_audit_log
from services.wallet.store.holds import Holds
from services.wallet.store.kill_switch import KillSwitch
from services.wallet.store.pause_guard import PauseGuard
from tests.support.orders import ORDERS
from tests.support.table_rows import new_ids
from tests.support.wallet_rows import WalletRow, WalletRows

ALL = 99
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = Reach(scope=Scope.EVERYTHING)


async def write_records(rows: WalletRows, *actions: str) -> None:
    """Records 1, 2, ..., each with its action, written in no order of their numbers."""
    # They are no chain, which the database would not take.
    await rows.connection.execute("SET session_replication_role = replica")
    await rows.connection.execute(
        "UPDATE wallet.audit_head SET number = $1, hash = $2",
        len(actions),
        len(actions).to_bytes(32),
    )
    for number in (*range(2, len(actions) + 1), 1):
        await rows.insert(
            "wallet.audit_log",
            number=number,
            at=NOW,
            actor="me",
            action=actions[number - 1],
            subject="",
            details="",
            previous=bytes(32),
            hash=number.to_bytes(32),
        )
    await rows.connection.execute("RESET session_replication_role")


async def pause(rows: WalletRows, scope: str, target: UUID | None, **values: object) -> UUID:
    """A pause."""
    pause_id = new_id()
    await rows.insert(
        "wallet.pauses",
        id=pause_id,
        scope=scope,
        target=target,
        reason="",
        paused_by="me",
        **values,
    )
    return pause_id


# The audit log ---------------------------------------------------------------------------------


async def test_the_first_record_has_number_one(rows: WalletRows) -> None:
    store = CustodyStore(rows.pool, ORDERS)
    await store.record(Act(actor="me", action=Action.PAUSE, subject="first"))
    (first,) = await store.latest(before=None, action=None, limit=ALL)
    assert (first.number, first.subject) == (1, "first")


async def test_a_record_follows_the_head(rows: WalletRows) -> None:
    await write_records(rows, "a", "b", "c")
    store = CustodyStore(rows.pool, ORDERS)
    await store.record(Act(actor="me", action=Action.PAUSE, subject="next"))
    (newest,) = await store.latest(before=None, action=None, limit=1)
    assert (newest.number, newest.subject, newest.previous) == (4, "next", (3).to_bytes(32))


async def test_records_are_read_in_the_order_of_their_numbers(rows: WalletRows) -> None:
    await write_records(rows, "a", "b", "a", "b")

    async def numbers(after: int, limit: int = ALL, action: str | None = None) -> list[int]:
        found = await rows.pool.many("audit_records", after, limit, action)
        return [row["number"] for row in found]

    assert await numbers(0) == [1, 2, 3, 4]
    assert await numbers(1) == [2, 3, 4]
    assert await numbers(0, limit=2) == [1, 2]
    assert await numbers(0, action="a") == [1, 3]
    assert await numbers(1, action="b") == [2, 4]


async def test_latest_records_are_read_newest_first(rows: WalletRows) -> None:
    await write_records(rows, "a", "b", "a", "b")

    async def numbers(
        before: int | None = None, limit: int = ALL, action: str | None = None
    ) -> list[int]:
        found = await CustodyStore(rows.pool, ORDERS).latest(
            before=before, action=action, limit=limit
        )
        return [record.number for record in found]

    assert await numbers() == [4, 3, 2, 1]
    assert await numbers(before=3) == [2, 1]
    assert await numbers(limit=2) == [4, 3]
    assert await numbers(action="a") == [3, 1]
    assert await numbers(before=4, action="b") == [2]


# Pauses ----------------------------------------------------------------------------------------


async def test_each_order_is_a_pause_of_its_own_and_one_end_is_of_all(rows: WalletRows) -> None:
    store = CustodyStore(rows.pool, ORDERS)
    for reason in ("first", "second"):
        await store.pause(EVERYTHING, reason=reason, actor="me")
    found = await store.pauses(over=False)
    assert {item.reason for item in found} == {"first", "second"}
    assert await store.resume(EVERYTHING, actor="you")
    assert await store.pauses(over=False) == []
    assert [item.resumed_by for item in await store.pauses(over=True)] == ["you", "you"]


async def test_one_pause_ends_and_no_other(rows: WalletRows) -> None:
    store, same, other = CustodyStore(rows.pool, ORDERS), new_id(), new_id()
    before = NOW - timedelta(hours=1)
    await pause(rows, "pooler", same, resumed_by="somebody", resumed_at=before)
    reaches = [
        EVERYTHING,
        Reach(scope=Scope.POOLER, target=same),
        Reach(scope=Scope.POOLER, target=other),
        Reach(scope=Scope.WALLET, target=same),
    ]
    for reach in reaches:
        await store.pause(reach, reason="", actor="me")
    for ended in reversed(reaches):
        assert await store.resume(ended, actor="you")
        assert not await store.resume(ended, actor="nobody")
        reaches.remove(ended)
        assert {item.reach for item in await store.pauses(over=False)} == set(reaches)
    resumed = [item.resumed_by for item in await store.pauses(over=True)]
    assert sorted(filter(None, resumed)) == ["somebody", "you", "you", "you", "you"]
    assert {item.resumed_at for item in await store.pauses(over=True)} >= {before}


async def test_pauses_are_told_newest_first(rows: WalletRows) -> None:
    ids = new_ids(3)
    for index in (2, 1, 0):
        await rows.insert(
            "wallet.pauses",
            id=ids[index],
            scope="wallet",
            target=ids[index],
            reason="",
            paused_by="me",
            paused_at=NOW,
        )
    newer = await pause(rows, "wallet", new_id(), paused_at=NOW + timedelta(seconds=1))
    over = await pause(rows, "wallet", new_id(), paused_at=NOW, resumed_by="me", resumed_at=NOW)

    async def told(over: bool) -> list[UUID]:
        return [row["id"] for row in await rows.pool.many("pauses", over)]

    assert await told(False) == [newer, *ids]
    assert await told(True) == [newer, *ids, over]


async def test_a_thousand_pauses_are_told_at_most(rows: WalletRows) -> None:
    await rows.connection.execute(
        "INSERT INTO wallet.pauses (id, scope, target, reason, paused_by) "
        "SELECT gen_random_uuid(), 'wallet', gen_random_uuid(), '', 'me' "
        "FROM generate_series(1, 1002)"
    )
    assert len(await CustodyStore(rows.pool, ORDERS).pauses(over=False)) == 1000


async def carried(rows: WalletRows, wallet: WalletRow) -> TransactionId:
    """A transaction that carries an operation of a wallet."""
    operation = await rows.operation(wallet, "plant", "queued")
    return await rows.transaction(wallet.address, "succeeded", [operation])


async def test_a_transaction_is_paused_with_whom_it_carries(rows: WalletRows) -> None:
    paused, other = await rows.wallet(), await rows.wallet()
    theirs, others = await carried(rows, paused), await carried(rows, other)
    nobodys = await rows.transaction("GPOOL", "succeeded")

    async def stopped() -> list[TransactionId]:
        async with rows.pool.session() as session:
            await lock_audit_log(session)
            held = await PauseGuard(ORDERS).look(session)
            holds = Holds(held=held, switch=KillSwitch(), orders=ORDERS)
            return [
                one for one in (theirs, others, nobodys) if not await holds.allow_bid(session, one)
            ]

    assert await stopped() == []
    await pause(rows, "wallet", paused.id)
    assert await stopped() == [theirs]
    await pause(rows, "everything", None)
    assert await stopped() == [theirs, others, nobodys]


async def test_a_wallet_is_held_apart_by_its_own_pauses(rows: WalletRows) -> None:
    pooler = PoolerId(new_id())
    own, beside = [await rows.wallet(pooler=pooler) for _ in range(2)]
    other = await rows.wallet()

    async def held() -> list[WalletId]:
        async with rows.pool.session() as session:
            return [one.id for one in (own, beside, other) if await is_held_apart(session, one.id)]

    await pause(rows, "everything", None)
    # A pause that is over, and pauses of something else that has the same id.
    await pause(rows, "wallet", own.id, resumed_by="me", resumed_at=NOW)
    await pause(rows, "wallet", pooler)
    await pause(rows, "pooler", own.id)
    assert await held() == []
    await pause(rows, "wallet", own.id)
    assert await held() == [own.id]
    await pause(rows, "pooler", pooler)
    assert await held() == [own.id, beside.id]


async def test_a_pause_of_a_pooler_alone_holds_its_wallets(rows: WalletRows) -> None:
    own, other = await rows.wallet(), await rows.wallet()
    await pause(rows, "pooler", own.pooler_id)
    async with rows.pool.session() as session:
        assert await is_held_apart(session, own.id)
        assert not await is_held_apart(session, other.id)
        assert not await is_held_apart(session, WalletId(OperationId(new_id())))
