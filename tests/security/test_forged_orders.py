"""Who may write wallet's rows may not therefore give wallet an order.

Each attack writes with the password of wallet's own role, as far as that role's rights go, or with
all rights, and knows no key of the wallet. Nothing is signed for any of them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from stellar_sdk import Keypair
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.ids import new_id
from tests.support.database import Connection, DatabaseFactory, connect
from tests.support.payers import KALE, Outside, Payer, payer
from tests.support.table_rows import insert_row
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

#: What the thief would like to have, in stroops.
LOOT = 777_000_000


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A farmer with a withdrawal that waits, and a thief."""

    world: WalletWorld
    #: The farmer's wallet, and its payer's.
    wallet_id: UUID
    payer_id: UUID
    #: The withdrawal's operation.
    withdrawal: UUID
    #: The thief's address.
    thief: str
    #: The connection by which the thief writes.
    thieves: Connection

    async def order(self, kind: str, wallet_id: UUID, **values: object) -> UUID:
        """Write an operation, as the wallet would."""
        name = UUID(str(new_id()))
        columns = {"kind": kind, "wallet_id": wallet_id, "block_index": 0} | values
        await insert_row(self.thieves, "wallet.operations", id=name, **columns)
        return name

    async def account(self, kind: str, **owner: object) -> UUID:
        """Write an account of the pool with the thief's address."""
        name = UUID(str(new_id()))
        row = {"id": name, "kind": kind, "address": self.thief, "status": "pending"} | owner
        await insert_row(self.thieves, "wallet.wallets", **row)
        await insert_row(self.thieves, "wallet.accounts", wallet_id=name)
        return name


async def a_channel_of_the_thief(scene: Scene) -> UUID:
    return await scene.order("open_channel", await scene.account("channel"))


async def a_payer_of_the_thief(scene: Scene) -> UUID:
    return await scene.order("open_payer", await scene.account("payer"))


async def a_top_up_of_the_thief(scene: Scene) -> UUID:
    account = await scene.account("channel")
    name = await scene.order("top_up", account, amount=LOOT, block_index=7)
    await insert_row(scene.thieves, "wallet.payments", operation_id=name, payer_id=scene.payer_id)
    return name


async def a_farmer_of_the_thief(scene: Scene) -> UUID:
    owner = {"farmer_id": new_id(), "pooler_id": new_id()}
    return await scene.order("onboard", await scene.account("farmer", **owner))


async def a_withdrawal_of_the_thief(scene: Scene) -> UUID:
    await insert_row(
        scene.thieves,
        "wallet.payout_addresses",
        wallet_id=scene.wallet_id,
        number=2,
        address=scene.thief,
        effective_at=await scene.thieves.fetchval("SELECT now() - interval '1 second'"),
    )
    name = await scene.order("withdraw", scene.wallet_id, amount=LOOT, block_index=9)
    await insert_row(
        scene.thieves,
        "wallet.withdrawals",
        operation_id=name,
        wallet_id=scene.wallet_id,
        request_id="mine",
        asset="xlm",
        amount=LOOT,
        destination=scene.thief,
    )
    await insert_row(scene.thieves, "wallet.payments", operation_id=name, payer_id=scene.payer_id)
    return name


async def another_amount(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET amount = $2 WHERE id = $1", scene.withdrawal, LOOT
    )
    return scene.withdrawal


async def a_withdrawal_of_another_kind(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET kind = 'top_up' WHERE id = $1", scene.withdrawal
    )
    return scene.withdrawal


async def a_stake_that_nobody_agreed_to(scene: Scene) -> UUID:
    block = await scene.thieves.fetchval("SELECT plantable_block FROM chain.head")
    return await scene.order("plant", scene.wallet_id, amount=9 * KALE, block_index=block)


async def a_copied_authenticator(scene: Scene) -> UUID:
    """The authenticator of a genuine order, in another row."""
    mac = await scene.thieves.fetchval(
        "SELECT mac FROM wallet.operations WHERE id = $1", scene.withdrawal
    )
    block = await scene.thieves.fetchval("SELECT plantable_block FROM chain.head")
    return await scene.order("plant", scene.wallet_id, amount=KALE, block_index=block, mac=mac)


async def another_destination(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.withdrawals SET destination = $2 WHERE operation_id = $1",
        scene.withdrawal,
        scene.thief,
    )
    await scene.thieves.execute(
        "UPDATE wallet.payout_addresses SET address = $2 WHERE wallet_id = $1",
        scene.wallet_id,
        scene.thief,
    )
    return scene.withdrawal


async def a_farmer_of_another_pooler(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.wallets SET pooler_id = $2 WHERE id = $1", scene.wallet_id, new_id()
    )
    return scene.withdrawal


async def another_account_to_pay_from(scene: Scene) -> UUID:
    await scene.thieves.execute(
        "UPDATE wallet.operations SET wallet_id = (SELECT id FROM wallet.wallets "
        "WHERE kind = 'treasury') WHERE id = $1",
        scene.withdrawal,
    )
    return scene.withdrawal


Attack = Callable[[Scene], Awaitable[UUID]]
#: What wallet's own role may write.
BY_WALLET: tuple[Attack, ...] = (
    a_channel_of_the_thief,
    a_payer_of_the_thief,
    a_top_up_of_the_thief,
    a_farmer_of_the_thief,
    a_withdrawal_of_the_thief,
    another_amount,
    a_withdrawal_of_another_kind,
    a_stake_that_nobody_agreed_to,
    a_copied_authenticator,
    another_account_to_pay_from,
)
#: What somebody with all rights may write.
BY_ALL_RIGHTS: tuple[Attack, ...] = (another_destination, a_farmer_of_another_pooler)


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
    [*((one, "wallet") for one in BY_WALLET), *((one, "") for one in BY_ALL_RIGHTS)],
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
            forged = await attack(scene)
        if attack is a_payer_of_the_thief:
            # All payers are there, so nobody takes up another one.
            assert (await waiting).operation.transaction_hash
            assert not await outside_exists(scene)
            return
        await eventually(lambda: _ended(admin, forged), "it has not ended", world.wallet)
        row = await admin.fetchrow(
            "SELECT state, reason, attempts FROM wallet.operations WHERE id = $1", forged
        )
        assert row is not None
        assert tuple(row) == ("failed", "TAMPERED", 0)
        assert not await outside_exists(scene)
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
        world=world,
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


async def outside_exists(scene: Scene) -> bool:
    """Tell whether anybody paid the thief."""
    async with SorobanServerAsync(scene.world.rpc_url) as rpc:
        try:
            await rpc.load_account(scene.thief)
        except Exception:
            return False
    return True


#: What somebody with all rights does to a withdrawal that was paid.
PUT_BACK = """
SET LOCAL session_replication_role = 'replica';
UPDATE wallet.operations
SET state = 'queued', settled_at = NULL, ledger = NULL, transaction_id = NULL
WHERE id = $1
"""


async def _put_back(admin: Connection, operation_id: UUID, *, forgets: bool) -> None:
    async with admin.transaction():
        carriers = await admin.fetch(
            "SELECT transaction_id FROM wallet.transaction_operations WHERE operation_id = $1",
            operation_id,
        )
        for statement in PUT_BACK.split(";"):
            arguments = [operation_id] if "$1" in statement else []
            await admin.execute(statement, *arguments)
        if forgets:
            await admin.execute(
                "DELETE FROM wallet.transaction_operations WHERE operation_id = $1", operation_id
            )
            await admin.execute(
                "DELETE FROM wallet.transactions WHERE id = ANY($1)",
                [row["transaction_id"] for row in carriers],
            )


@pytest.mark.parametrize("forgets", [False, True], ids=["kept", "forgotten"])
@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
async def test_a_payment_that_was_made_is_not_made_again_when_it_is_put_back(
    own_world: WalletWorld, forgets: bool, restarts: bool
) -> None:
    world = own_world
    async with SorobanServerAsync(world.rpc_url) as rpc:
        await _put_back_and_look(world, Outside(world, rpc), forgets=forgets, restarts=restarts)


async def _put_back_and_look(
    world: WalletWorld, outside: Outside, *, forgets: bool, restarts: bool
) -> None:
    destination = await outside.account()
    farmer = await payer(world, destination)
    other = await payer(world, await outside.account())
    paid = await farmer.withdraw("one", KALE)
    # The payer has gone on since: its number alone does not tell of the first payment.
    await other.withdraw("another", KALE)
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
        if forgets:
            assert "is gone" in stopped
        else:
            assert stopped == ""
            assert await _ended(admin, UUID(paid.withdrawal_id))
