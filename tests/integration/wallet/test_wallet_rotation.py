"""Rotation of the KEK: every data key gets a new wrapping once, whoever dies or joins in."""

import asyncio
import base64
import secrets
from pathlib import Path

import asyncpg
import pytest
from kalepool.wallet.v1 import keys_pb2, keys_pb2_grpc, wallet_pb2

from libs.common.db.pool import Database
from libs.common.grpc.client import open_channel
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.engine.rotation import BATCH, KeyRotator
from services.wallet.engine.wakeup import Wakeup
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.provider import KeyProvider
from services.wallet.keys.seal import seal_new_key, unsealed
from services.wallet.store.keys import KeyStore
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, DatabaseFactory, connect
from tests.support.orders import ORDERS
from tests.support.wallet_world import eventually, open_wallet_world

OLD, NEW, LOST = (bytes([number]) * 32 for number in (1, 2, 3))
BEFORE, AFTER = LocalKeyProvider(OLD), LocalKeyProvider(NEW, OLD)
WALLETS = 2 * BATCH + 7


async def wallets(pool: Database, count: int, provider: KeyProvider) -> dict[WalletId, str]:
    """Address by wallet, sealed under the provider's KEK."""
    made = {}
    for _ in range(count):
        sealed = await seal_new_key(provider, WalletId(new_id()))
        await WalletStore(pool, ORDERS).insert_farmer(
            sealed,
            farmer_id=FarmerId(new_id()),
            pooler_id=PoolerId(new_id()),
            onboarding_id=OperationId(new_id()),
        )
        made[sealed.wallet_id] = sealed.address
    return made


def rotator(pool: Database, provider: KeyProvider = AFTER) -> KeyRotator:
    return KeyRotator(provider, KeyStore(pool, ORDERS), Wakeup())


async def signs(pool: Database, provider: KeyProvider, made: dict[WalletId, str]) -> bool:
    """Whether this provider alone opens all of them, and each is what it was."""
    sealed = await WalletStore(pool, ORDERS).sealed_keys(list(made))
    async with unsealed(provider, [sealed[item] for item in made]) as signers:
        return [signer.address for signer in signers] == list(made.values())


async def test_all_data_keys_come_under_the_new_kek(pool: Database) -> None:
    made = await wallets(pool, WALLETS, BEFORE)
    one = rotator(pool)
    await one.start(actor="me")
    assert await one.step()
    assert await signs(pool, AFTER, made)  # in the middle of it
    while await one.step():
        pass
    status = await one.status()
    assert [(use.kek_id, use.keys) for use in status.keks] == [(await AFTER.current_kek(), WALLETS)]
    assert status.rotation is not None
    assert (status.rotation.rewrapped, status.rotation.failed) == (WALLETS, 0)
    assert status.rotation.ended_at is not None
    assert await signs(pool, LocalKeyProvider(NEW), made)


async def test_many_may_ask_for_one_while_it_ends(pool: Database) -> None:
    one, done = rotator(pool), asyncio.Event()

    async def end_whatever_opens() -> None:
        while not done.is_set():
            await one.step()

    ending = [asyncio.create_task(end_whatever_opens()) for _ in range(2)]
    for _ in range(40):
        asked = await asyncio.gather(*(rotator(pool).start(actor="me") for _ in range(5)))
        assert {rotation.kek_id for rotation in asked} == {await AFTER.current_kek()}
    done.set()
    await asyncio.gather(*ending)


async def test_several_processes_share_it_and_one_that_died_does_no_harm(pool: Database) -> None:
    made = await wallets(pool, WALLETS, BEFORE)
    dead = rotator(pool)
    await dead.start(actor="me")
    await dead.step()  # and never again
    several = [rotator(pool) for _ in range(3)]

    async def work(one: KeyRotator) -> None:
        while await one.step():
            pass

    await asyncio.gather(*(work(one) for one in several))
    rotation = await KeyStore(pool, ORDERS).last_rotation()
    assert rotation is not None
    assert (rotation.rewrapped, rotation.failed) == (WALLETS, 0)
    assert await signs(pool, LocalKeyProvider(NEW), made)


async def test_what_does_not_open_stays_as_it_is(pool: Database) -> None:
    lost = await wallets(pool, 2, LocalKeyProvider(LOST))
    made = await wallets(pool, 3, BEFORE)
    one = rotator(pool)
    await one.start(actor="me")
    while await one.step():
        pass
    rotation = await KeyStore(pool, ORDERS).last_rotation()
    assert rotation is not None
    assert (rotation.rewrapped, rotation.failed) == (3, 2)
    assert await signs(pool, LocalKeyProvider(NEW), made)
    assert await signs(pool, LocalKeyProvider(LOST), lost)


async def test_a_process_with_the_old_kek_does_not_undo_it(pool: Database) -> None:
    made = await wallets(pool, 3, BEFORE)
    await rotator(pool).start(actor="me")
    assert not await rotator(pool, LocalKeyProvider(OLD, NEW)).step()
    assert await signs(pool, BEFORE, made)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallet.sealed_keys SET sealed_seed = '\\x00'",
        "UPDATE wallet.sealed_keys SET nonce = '\\x000102030405060708090a0b'",
        "DELETE FROM wallet.sealed_keys",
    ],
)
async def test_nobody_changes_a_seed(
    pool: Database, database: DatabaseAccess, statement: str
) -> None:
    await wallets(pool, 1, BEFORE)
    async with connect(database.admin_dsn) as admin:
        with pytest.raises(asyncpg.RaiseError, match="never changes"):
            await admin.execute(statement)


async def test_a_wallet_that_is_killed_in_the_middle_finishes(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(database, tmp_path) as world,
    ):
        farmers = await world.create_farmers(3)
        await world.wait_until_ready(list(farmers))
        old = tmp_path / "old"
        old.write_text(world.environment["MASTER_KEY"], encoding="ascii")
        world.environment |= {
            "MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "MASTER_KEY_PREVIOUS_FILES": str(old),
        }
        await world.restart(FAILPOINTS="wallet.keys.wrapped=kill")
        await world.wait_until_serving()
        async with open_channel(world.target) as channel:
            stub = keys_pb2_grpc.KeyServiceStub(channel)
            await stub.RotateKeys(keys_pb2.RotateKeysRequest())
            await world.revive()

            async def done() -> bool:
                status = await stub.GetKeyStatus(keys_pb2.GetKeyStatusRequest())
                return status.rotation.HasField("ended_at")

            await eventually(done, "the rotation does not end", world.wallet)
            status = await stub.GetKeyStatus(keys_pb2.GetKeyStatusRequest())
        # The treasury's, and those of five payers, too.
        # The treasury, five payers, the key of rows and that of tokens.
        assert [use.data_keys for use in status.keks] == [len(farmers) + 1 + 5 + 2]
        # The old KEK is not needed any more.
        world.environment["MASTER_KEY_PREVIOUS_FILES"] = ""
        await world.restart()
        await world.wait_until_serving()
        await world.pay_kale(list(farmers.values()), 10**8)
        block = await world.next_block()
        plants = await world.plant("one", block, dict.fromkeys(farmers, 10**7))
        assert {item.state for item in plants} == {wallet_pb2.OPERATION_STATE_SUCCEEDED}
