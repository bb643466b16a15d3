"""The queries of the audit log beyond all bounds, and of pauses that are judged."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from libs.common.ids import new_id
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import CustodyStore, lock_audit_log
from tests.integration.wallet.test_wallet_custody_queries import ALL, pause, write_records
from tests.support.orders import ORDERS
from tests.support.table_rows import drop_indexes, new_ids
from tests.support.wallet_rows import WalletRows, ago

#: More than a record keeps.
LONG, BYTES = "x" * 5000, bytes(range(99))
#: The queries of records, with arguments for all of them.
READS = {
    "audit_records": (0, ALL, None),
    "audit_seals": (0, ALL, ALL),
    "latest_audit_records": (None, ALL, None),
}


async def test_who_adds_records_waits_for_whoever_does(rows: WalletRows) -> None:
    async def lock() -> None:
        async with rows.pool.transaction() as session:
            await lock_audit_log(session)

    async with rows.other() as other:
        await other.connection.execute("SELECT FROM wallet.audit_head FOR NO KEY UPDATE")
        late = asyncio.create_task(lock())
        await rows.until_somebody_waits()
        assert not late.done()
    await late


# Records that somebody with all rights wrote --------------------------------------------------


async def unbound(rows: WalletRows) -> None:
    """Let the log have rows that the database takes from nobody."""
    for statement in (
        "ALTER DOMAIN wallet.moment DROP CONSTRAINT moment_check",
        *(
            f"ALTER TABLE wallet.audit_log DROP CONSTRAINT audit_log_{column}_check"
            for column in ("actor", "action", "subject", "details", "previous", "hash", "mac")
        ),
        "SET session_replication_role = replica",
    ):
        await rows.connection.execute(statement)


@pytest.mark.parametrize("query", READS)
async def test_texts_of_records_are_read_as_far_as_tells_that_they_are_too_long(
    rows: WalletRows, query: str
) -> None:
    await unbound(rows)
    texts = dict.fromkeys(("actor", "action", "subject", "details"), LONG)
    hashes = dict.fromkeys(("previous", "hash", "mac"), BYTES)
    await rows.insert("wallet.audit_log", number=1, at=ago(), **texts, **hashes)
    (row,) = await rows.pool.many(query, *READS[query])
    found = dict(row)
    lengths = {name: len(found[name]) for name in texts if name in found}
    assert set(lengths.values()) == {4097}
    assert len(lengths) == (1 if query == "audit_seals" else 4)
    assert found["hash"] == BYTES[:33]
    assert found.get("previous", BYTES[:33]) == BYTES[:33]
    assert found["mac"] == BYTES[:35]


@pytest.mark.parametrize("query", READS)
async def test_moments_of_records_are_read_as_far_as_they_can_be(
    rows: WalletRows, query: str
) -> None:
    await unbound(rows)
    moments = {
        1: "0002-01-01",
        2: "0001-12-31 23:59:59.999999",
        3: "9998-12-31 23:59:59.999999",
        4: "9999-01-01",
        5: "-infinity",
        6: "infinity",
        7: "4000-01-01 BC",
    }
    for number, moment in moments.items():
        await rows.connection.execute(
            "INSERT INTO wallet.audit_log "
            "(number, at, actor, action, subject, details, previous, hash) "
            "VALUES ($1, $2::text::timestamptz, '', '', '', '', '', '')",
            number,
            moment,
        )
    found = {row["number"]: row["at"] for row in await rows.pool.many(query, *READS[query])}
    assert {number: at.year for number, at in found.items() if at is not None} == {1: 2, 3: 9998}
    assert set(found) == set(moments)


async def test_seals_come_in_the_order_of_numbers_between_two(rows: WalletRows) -> None:
    await write_records(rows, "a", "b", "c", "d", "e")

    async def numbers(after: int, until: int, limit: int = ALL) -> list[int]:
        found = await rows.pool.many("audit_seals", after, until, limit)
        return [row["number"] for row in found]

    assert await numbers(0, 9) == [1, 2, 3, 4, 5]
    assert await numbers(1, 4) == [2, 3, 4]
    assert await numbers(1, 4, limit=2) == [2, 3]


async def test_the_first_record_that_is_vouched_for_is_the_one_with_the_least_number(
    rows: WalletRows,
) -> None:
    assert await rows.pool.one("first_vouched_record") is None
    await write_records(rows, "a", "b", "c", "d")
    assert await rows.pool.one("first_vouched_record") is None
    await rows.connection.execute("SET session_replication_role = replica")
    for number in (4, 2, 3):
        await rows.connection.execute(
            "UPDATE wallet.audit_log SET mac = $2 WHERE number = $1", number, bytes(34)
        )
    row = await rows.pool.one("first_vouched_record")
    assert row is not None
    assert row["number"] == 2


# Pauses ---------------------------------------------------------------------------------------


async def ended(rows: WalletRows, **values: object) -> UUID:
    over = {"resumed_by": "me", "resumed_at": ago()}
    return await pause(rows, "wallet", new_id(), **over, **values)


async def test_a_pause_is_read_by_its_id(rows: WalletRows) -> None:
    names = [await pause(rows, "wallet", new_id()) for _ in range(3)]
    row = await rows.pool.one("pause", names[1])
    assert row is not None
    assert row["id"] == names[1]
    assert await rows.pool.one("pause", new_id()) is None


async def test_pauses_are_judged_in_force_and_until_their_ends_are_known(rows: WalletRows) -> None:
    now = ago()
    moments = [now - timedelta(minutes=minutes) for minutes in (9, 5, 5, 1)]
    ids = new_ids(5)
    for number in (3, 2, 1):
        target = new_id()
        await rows.insert(
            "wallet.pauses",
            id=ids[number],
            scope="wallet",
            target=target,
            reason="",
            paused_by="me",
            paused_at=moments[number],
        )
    # The one with the greatest id is the oldest one.
    judged = await rows.connection.fetchval(
        "INSERT INTO wallet.pauses (id, scope, reason, paused_by, paused_at, resumed_by, "
        "resumed_at) VALUES ($1, 'everything', '', 'me', $2, 'me', now()) RETURNING id",
        ids[4],
        moments[0],
    )
    await drop_indexes(rows.connection, "wallet.pauses")

    async def found(known: list[UUID]) -> list[UUID]:
        return [row["id"] for row in await rows.pool.many("pauses_to_judge", known)]

    assert await found([]) == [judged, *ids[1:4]]
    assert await found([ids[2], judged]) == ids[1:4]


async def test_pauses_in_force_are_of_one_reach(rows: WalletRows) -> None:
    target = new_id()
    mine = {await pause(rows, "wallet", target) for _ in range(2)}
    await pause(rows, "wallet", new_id())
    await pause(rows, "pooler", target)
    await pause(rows, "wallet", target, resumed_by="me", resumed_at=ago())
    everything = await pause(rows, "everything", None)

    async def found(scope: str, of: UUID | None) -> set[UUID]:
        return {row["id"] for row in await rows.pool.many("pauses_in_force", scope, of)}

    assert await found("wallet", target) == mine
    assert await found("everything", None) == {everything}


async def test_an_end_is_written_once_and_signed_again_by_the_pauses_id(rows: WalletRows) -> None:
    store = CustodyStore(rows.pool, ORDERS)
    reach = Reach(scope=Scope.WALLET, target=new_id())
    mine = await store.pause(reach, reason="", actor="me")
    beside, over = await pause(rows, "everything", None), await ended(rows)
    before = await rows.values("wallet.pauses", "resumed_by")
    moment = ago() + timedelta(seconds=1)
    for name, changed in ((over, 0), (mine, 1), (mine, 0)):
        assert await rows.pool.execute("end_pause", name, "you", moment, bytes(34)) == changed
    assert await rows.values("wallet.pauses", "resumed_by") == before | {mine: "you"}
    moments = await rows.values("wallet.pauses", "resumed_at")
    assert (moments[mine], moments[beside]) == (moment, None)
    macs = await rows.values("wallet.pauses", "resume_mac")
    assert await rows.pool.execute("sign_resume", over, bytes([1]) * 34) == 1
    signed = await rows.values("wallet.pauses", "resume_mac")
    assert signed == macs | {over: bytes([1]) * 34}


async def test_orders_that_a_transaction_carries_come_with_their_wallets(rows: WalletRows) -> None:
    one, two = await rows.wallet(), await rows.wallet()
    mine = [await rows.operation(owner, block=7) for owner in (one, two)]
    beside = await rows.operation(one, block=8)
    carrier = await rows.transaction(carries=mine)
    await rows.transaction(carries=[beside])
    found = await rows.pool.many("carried_orders", carrier)
    assert len(found) == 2
    assert {(row["id"], row["wallet_id"], row["address"]) for row in found} == {
        (mine[0], one.id, one.address),
        (mine[1], two.id, two.address),
    }
