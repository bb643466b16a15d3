"""The audit log and the kill switch on a real database, and through a running wallet."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    engine_pb2,
    engine_pb2_grpc,
    wallet_pb2,
)
from stellar_sdk import Keypair

from cli.main import main
from libs.common.db.pool import Database
from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from services.wallet.domain.audit import Act, Action, Verifier
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.store.custody import CustodyStore
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.wallet_world import WalletWorld, eventually

KALE = 10**7
ACT = Act(actor="me", action=Action.SIGN, subject="hash")
EVERYTHING = Reach(scope=Scope.EVERYTHING)


async def verified(store: CustodyStore) -> Verifier:
    verifier = Verifier()
    async for page in store.records():
        verifier.take(page)
    verifier.finish()
    return verifier


async def test_records_that_come_at_once_make_one_chain_without_gaps(pool: Database) -> None:
    store = CustodyStore(pool, ORDERS)
    await asyncio.gather(*(store.record(replace(ACT, subject=str(n))) for n in range(40)))
    found = await verified(store)
    assert (found.broken, found.head.number) == ("", 40)
    latest = await store.latest(before=None, action=None, limit=100)
    assert {item.subject for item in latest} == {str(number) for number in range(40)}


@pytest.mark.parametrize("role", ["wallet", "admin"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet.audit_log SET actor = 'you'",
        "DELETE FROM wallet.audit_log",
        "TRUNCATE wallet.audit_log",
    ],
)
async def test_the_log_never_changes(
    pool: Database, database: DatabaseAccess, role: str, statement: str
) -> None:
    await CustodyStore(pool, ORDERS).record(ACT)
    dsn = database.admin_dsn if role == "admin" else database.dsn("wallet")
    async with connect(dsn) as connection:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.RaiseError)):
            await connection.execute(statement)


async def test_a_record_that_was_changed_behind_the_triggers_is_found(
    pool: Database, database: DatabaseAccess
) -> None:
    store = CustodyStore(pool, ORDERS)
    for number in range(5):
        await store.record(replace(ACT, subject=str(number)))
    async with connect(database.admin_dsn) as admin:
        await admin.execute("SET session_replication_role = replica")
        await admin.execute("UPDATE wallet.audit_log SET subject = 'x' WHERE number = 3")
    found = await verified(store)
    assert (found.broken, found.head.number) == ("record 3 was changed", 2)


async def test_who_paused_what_is_kept(pool: Database) -> None:
    store, pooler = CustodyStore(pool, ORDERS), Reach(scope=Scope.POOLER, target=UUID(int=7))
    for _ in range(2):
        await store.pause(pooler, reason="audit", actor="ann")
    await store.pause(EVERYTHING, reason="fire", actor="bob")
    assert [item.reach for item in await store.pauses(over=False)] == [EVERYTHING, pooler, pooler]
    assert await store.resume(pooler, actor="cid")
    assert not await store.resume(pooler, actor="cid")
    ended = [item for item in await store.pauses(over=True) if item.resumed_by]
    assert [(item.paused_by, item.resumed_by, item.reason) for item in ended] == [
        ("ann", "cid", "audit")
    ] * 2
    records = await store.latest(before=None, action=None, limit=10)
    assert [(item.actor, item.action) for item in reversed(records)] == [
        ("ann", "pause"),
        ("ann", "pause"),
        ("bob", "pause"),
        ("cid", "resume"),
    ]


# Through a running wallet ----------------------------------------------------------------------


async def signed(world: WalletWorld) -> int:
    async with connect(world.database.admin_dsn) as admin:
        count: int = await admin.fetchval("SELECT count(*) FROM wallet.transactions")
        return count


@pytest.mark.parametrize("which", ["everything", "pooler_id", "farmer_id"])
async def test_nothing_is_signed_while_it_is_paused(world: WalletWorld, which: str) -> None:
    # What the treasury signs at its start is no matter of this pause.
    await world.wait_for_payers()
    farmers = await world.create_farmers(1)
    await world.wait_until_ready(list(farmers))
    await world.pay_kale(list(farmers.values()), 10 * KALE)
    (farmer,) = farmers
    reach = custody_pb2.PauseReach(everything=True)
    if which == "pooler_id":
        reach = custody_pb2.PauseReach(pooler_id=world.pooler_id)
    elif which == "farmer_id":
        reach = custody_pb2.PauseReach(farmer_id=farmer)
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        await stub.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a test"))
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
        assert (status.is_paused, status.pauses) == (which == "everything", 1)
        before = await signed(world)
        block = await world.next_block()
        planting = asyncio.create_task(world.plant(f"paused {which}", block, {farmer: KALE}))
        await asyncio.sleep(1.5)
        assert (await signed(world), planting.done()) == (before, False)
        await stub.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))
    (plant,) = await planting
    assert plant.state == wallet_pb2.OPERATION_STATE_SUCCEEDED


async def test_what_is_paused_when_its_block_ends_is_settled_as_that(world: WalletWorld) -> None:
    farmers = await world.create_farmers(2)
    await world.wait_until_ready(list(farmers))
    held, other = farmers
    reach = custody_pb2.PauseReach(farmer_id=held)
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        await stub.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a test"))
        block = await world.next_block()
        planting = asyncio.create_task(world.plant("held back", block, {held: 0}))
        (opened,) = await world.plant("not held back", block, {other: 0})
        assert (opened.state, planting.done()) == (wallet_pb2.OPERATION_STATE_SUCCEEDED, False)
        await world.wait_for_plantable(block + 1)
        await world.plant("the next block", block + 1, {other: 0})
        (plant,) = await asyncio.wait_for(planting, 30)
        await stub.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))
    assert plant.state == wallet_pb2.OPERATION_STATE_FAILED
    assert plant.reason == common_pb2.FAILURE_REASON_BLOCK_CLOSED
    assert plant.attempts == 0


async def test_a_pooler_that_nobody_has_is_not_paused(world: WalletWorld) -> None:
    """A mistyped id must not look like a kill switch that was thrown."""
    reach = custody_pb2.PauseReach(pooler_id=str(UUID(int=12)))
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a typo"))
        pauses = await stub.ListPauses(custody_pb2.ListPausesRequest())
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert list(pauses.pauses) == []


async def test_every_envelope_is_in_a_sound_log(world: WalletWorld) -> None:
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)

        async def complete() -> bool:
            async with connect(world.database.admin_dsn) as admin:
                missing = await admin.fetchval(
                    """SELECT count(*) FROM wallet.transactions AS t WHERE NOT EXISTS (
                        SELECT 1 FROM wallet.audit_log AS a
                        WHERE a.action = 'sign' AND a.subject = t.hash
                    )"""
                )
            return bool(missing == 0)

        await eventually(complete, "an envelope is not in the audit log")
        found = await stub.VerifyAuditLog(custody_pb2.VerifyAuditLogRequest())
        assert (found.is_sound, found.flaw) == (True, "")
        again = custody_pb2.VerifyAuditLogRequest(
            expected_number=found.head_number, expected_hash=found.head_hash
        )
        assert (await stub.VerifyAuditLog(again)).is_sound
        again.begins_there = True
        since = await stub.VerifyAuditLog(again)
        assert (since.is_sound, since.head_number >= found.head_number) == (True, True)
        forged = custody_pb2.VerifyAuditLogRequest(
            expected_number=found.head_number, expected_hash=bytes(32)
        )
        assert not (await stub.VerifyAuditLog(forged)).is_sound
        forged.begins_there = True
        assert not (await stub.VerifyAuditLog(forged)).is_sound
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.VerifyAuditLog(custody_pb2.VerifyAuditLogRequest(begins_there=True))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def wrap(world: WalletWorld, address: str, wrapped: bytes) -> bytes:
    """Puts something else in the place of a wrapped data key; what was there."""
    async with connect(world.database.admin_dsn) as admin:
        old: bytes = await admin.fetchval(
            "SELECT wrapped_data_key FROM wallet.sealed_keys AS k"
            " INNER JOIN wallet.wallets AS w ON k.wallet_id = w.id WHERE w.address = $1",
            address,
        )
        await admin.execute(
            "UPDATE wallet.sealed_keys AS k SET wrapped_data_key = $2 FROM wallet.wallets AS w"
            " WHERE k.wallet_id = w.id AND w.address = $1",
            address,
            wrapped,
        )
    return old


async def test_a_key_that_does_not_open_stops_nobody_else(world: WalletWorld) -> None:
    farmers = await world.create_farmers(3)
    await world.wait_until_ready(list(farmers))
    await world.pay_kale(list(farmers.values()), 10 * KALE)
    broken, *sound = farmers
    old = await wrap(world, farmers[broken], b"no key at all")
    try:
        block = await world.next_block()
        plants = await world.plant("broken key", block, dict.fromkeys(farmers, KALE))
    finally:
        await wrap(world, farmers[broken], old)
    states = {plant.farmer_id: plant.state for plant in plants}
    assert [states[item] for item in sound] == [wallet_pb2.OPERATION_STATE_SUCCEEDED] * 2
    assert states[broken] == wallet_pb2.OPERATION_STATE_FAILED


async def test_a_farmer_whose_key_does_not_open_keeps_nobody_off_the_chain(
    world: WalletWorld,
) -> None:
    reach = custody_pb2.PauseReach(everything=True)
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        await stub.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a test"))
        farmers = await world.create_farmers(3)
        broken, *sound = farmers
        old = await wrap(world, farmers[broken], b"no key at all")
        await stub.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))
    try:
        await world.wait_until_ready(sound)
    finally:
        await wrap(world, farmers[broken], old)


async def test_a_key_leaves_only_where_that_is_allowed(
    world: WalletWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((farmer, address),) = (await world.create_farmers(1)).items()
    out = tmp_path / "secret"
    line = ["custody", "export-key", farmer, "--address", address, "--reason", "the owner asked"]
    line += ["--out", str(out), "--wallet-target", world.target, "--transport", "plaintext"]
    assert await asyncio.to_thread(main, line) == 1
    assert "KEY_EXPORT" in capsys.readouterr().err
    assert not out.exists()
    await world.restart(KEY_EXPORT="true")
    await world.wait_until_serving()
    assert await asyncio.to_thread(main, line) == 0
    secret = out.read_text(encoding="ascii").strip()
    assert Keypair.from_secret(secret).public_key == address
    assert out.stat().st_mode & 0o777 == 0o600
    assert secret not in "".join(capsys.readouterr())
    assert secret not in (world.logs / "wallet.log").read_text(encoding="utf-8")
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        request = custody_pb2.ListAuditRecordsRequest(action="export_key")
        (record,) = (await stub.ListAuditRecords(request)).records
        assert record.details == "the owner asked"
        wrong = custody_pb2.ExportKeyRequest(
            farmer_id=farmer,
            address=Keypair.random().public_key,
            reason="x",
            receiver_key=bytes(31) + b"\1",
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExportKey(wrong)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await world.restart(KEY_EXPORT="false")
    await world.wait_until_serving()


async def test_bad_input_names_its_fields(world: WalletWorld) -> None:
    async with open_channel(world.target) as channel:
        stub = custody_pb2_grpc.CustodyServiceStub(channel)
        for request, fields in (
            (custody_pb2.PauseSigningRequest(), ["reason", "reach"]),
            (
                custody_pb2.PauseSigningRequest(
                    reach=custody_pb2.PauseReach(pooler_id="x"), reason="r"
                ),
                ["reach.pooler_id"],
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.PauseSigning(request)
            for field in fields:
                assert field in (caught.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            nobody = custody_pb2.PauseReach(pooler_id=str(new_id()))
            await stub.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=nobody))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
