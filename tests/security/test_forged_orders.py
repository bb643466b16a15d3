"""Who may write wallet's rows may not therefore give wallet an order.

Each attack writes with the password of wallet's own role, as far as that role's rights go, or with
all rights, and knows no key of the wallet. Nothing is signed for any of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from tests.support.database import Connection, DatabaseFactory, connect
from tests.support.payers import KALE, Outside, Payer, payer
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world
from trials.security.forged_orders import (
    BY_ALL_RIGHTS,
    BY_WALLET,
    Attack,
    Scene,
    a_payer_of_the_thief,
    a_withdrawal_of_another_kind,
    a_withdrawal_of_the_thief,
    another_account_to_pay_from,
    another_amount,
    exists,
)

#: What the database refuses to wallet's own role.
REFUSED = {another_amount, a_withdrawal_of_another_kind, another_account_to_pay_from}


@asynccontextmanager
async def one_payer(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """Run a wallet with one payer and no channel accounts."""
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database, tmp_path_factory.mktemp("forged"), PAYER_ACCOUNTS="1", CHANNEL_ACCOUNTS="0"
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
async def world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    async with one_payer(database_factory, tmp_path_factory) as running:
        yield running


@pytest.fixture
async def own_world(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WalletWorld]:
    """A wallet of the test's own: its payer may stop."""
    async with one_payer(database_factory, tmp_path_factory) as running:
        yield running


@pytest.fixture
async def outside(world: WalletWorld) -> AsyncIterator[Outside]:
    async with SorobanServerAsync(world.rpc_url) as rpc:
        yield Outside(world, rpc)


@pytest.mark.parametrize(
    ("attack", "role"),
    [
        *((one, "wallet") for one in BY_WALLET.values()),
        *((one, "") for one in BY_ALL_RIGHTS.values()),
    ],
    ids=lambda value: getattr(value, "__name__", value or "all rights"),
)
async def test_an_order_that_wallet_did_not_write_is_not_carried_out(
    world: WalletWorld, outside: Outside, attack: Attack, role: str
) -> None:
    farmer = await payer(world, await outside.account())
    dsn = world.database.dsn(role) if role else world.database.admin_dsn
    async with connect(world.database.admin_dsn) as admin, connect(dsn) as thieves:
        async with world.paused():
            waiting = asyncio.create_task(farmer.withdraw("honest", KALE))
            scene = await a_scene(world, admin, farmer, thieves)
            try:
                forged = await attack(scene)
            except (asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError):
                # Such a column no role ever changes.
                assert attack in REFUSED
                forged = None
        if forged is None:
            assert (await waiting).operation.transaction_hash
            return
        if attack is a_payer_of_the_thief:
            # All payers are there, so nobody takes up another one.
            assert (await waiting).operation.transaction_hash
            assert not await exists(world.rpc_url, scene.thief)
            return
        await eventually(lambda: _ended(admin, forged), "it has not ended", world.wallet)
        row = await admin.fetchrow(
            "SELECT state, reason, attempts FROM wallet.operations WHERE id = $1", forged
        )
        assert row is not None
        assert tuple(row) == ("failed", "TAMPERED", 0)
        assert not await exists(world.rpc_url, scene.thief)
        if forged != scene.withdrawal:
            # The honest order beside it is carried out.
            assert (await waiting).operation.transaction_hash or attack is a_withdrawal_of_the_thief
        else:
            assert not (await waiting).operation.transaction_hash
    assert "order not written by wallet" in world.wallet.log_path.read_text(encoding="utf-8")


async def a_scene(
    world: WalletWorld, admin: Connection, farmer: Payer, thieves: Connection
) -> Scene:
    async def is_recorded() -> bool:
        return bool(await _withdrawal(admin, farmer))

    await eventually(is_recorded, "the withdrawal is not recorded", world.wallet)
    row = await _withdrawal(admin, farmer)
    assert row is not None
    return Scene(
        wallet_id=row["wallet_id"],
        payer_id=row["payer_id"],
        withdrawal=row["operation_id"],
        thief=Keypair.random().public_key,
        thieves=thieves,
    )


async def _withdrawal(admin: Connection, farmer: Payer) -> "dict[str, UUID] | None":
    row = await admin.fetchrow(
        "SELECT d.operation_id, d.wallet_id, p.payer_id FROM wallet.withdrawals AS d "
        "JOIN wallet.wallets AS w ON w.id = d.wallet_id "
        "JOIN wallet.payments AS p ON p.operation_id = d.operation_id "
        "WHERE w.farmer_id = $1",
        UUID(farmer.farmer_id),
    )
    return None if row is None else dict(row)


async def _ended(admin: Connection, operation_id: UUID) -> bool:
    query = "SELECT settled_at IS NOT NULL FROM wallet.operations WHERE id = $1"
    return bool(await admin.fetchval(query, operation_id))


#: What somebody with all rights does to a withdrawal that was paid.
PUT_BACK = """
SET LOCAL session_replication_role = 'replica';
UPDATE wallet.operations
SET state = 'queued', settled_at = NULL, ledger = NULL, transaction_id = NULL
WHERE id = $1
"""


#: Why the payer stops then.
WHY = {"nothing": "", "its link": "not written by wallet", "its transaction": "is gone"}
#: What is deleted besides, by the name of the case.
FORGOTTEN = {
    "nothing": "",
    "its link": "DELETE FROM wallet.transaction_operations WHERE operation_id = $1",
    "its transaction": """
        WITH gone AS (
            DELETE FROM wallet.transaction_operations WHERE operation_id = $1
            RETURNING transaction_id
        )
        DELETE FROM wallet.transactions WHERE id IN (SELECT transaction_id FROM gone)
    """,
}


async def _put_back(admin: Connection, operation_id: UUID, *, forgets: str) -> None:
    async with admin.transaction():
        for statement in PUT_BACK.split(";"):
            arguments = [operation_id] if "$1" in statement else []
            await admin.execute(statement, *arguments)
        if FORGOTTEN[forgets]:
            await admin.execute(FORGOTTEN[forgets], operation_id)


@pytest.mark.parametrize("forgets", FORGOTTEN)
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
async def test_a_payment_that_was_made_is_not_made_again_when_it_is_put_back(
    own_world: WalletWorld, forgets: str, restarts: bool
) -> None:
    world = own_world
    async with SorobanServerAsync(world.rpc_url) as rpc:
        await _put_back_and_look(world, Outside(world, rpc), forgets=forgets, restarts=restarts)


async def _put_back_and_look(
    world: WalletWorld, outside: Outside, *, forgets: str, restarts: bool
) -> None:
    destination = await outside.account()
    farmer = await payer(world, destination)
    other = await payer(world, await outside.account())
    paid = await farmer.withdraw("one", KALE)
    # The payer has gone on since: its number alone does not tell of the first payment.
    await other.withdraw("another", KALE)
    if forgets == "its link" and not restarts:
        # All payers are looked at every 12 ledgers: the process has seen all of the past.
        await asyncio.sleep(7)
    assert await outside.kale(destination) == KALE
    async with connect(world.database.admin_dsn) as admin:
        if restarts:
            await world.wallet.stop(number=9)
        await _put_back(admin, UUID(paid.withdrawal_id), forgets=forgets)
        if restarts:
            await world.restart()
            await world.wait_until_serving()
        await asyncio.sleep(8)
        assert await outside.kale(destination) == KALE
        stopped = await admin.fetchval("SELECT stopped FROM wallet.wallets WHERE kind = 'payer'")
        assert WHY[forgets] in stopped
        if forgets == "nothing":
            assert stopped == ""
            assert await _ended(admin, UUID(paid.withdrawal_id))
