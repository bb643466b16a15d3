"""What reconciliation records becomes events, once, with two of each service over a real chain."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    reconcile_pb2,
    reconcile_pb2_grpc,
    wallet_pb2,
)
from pydantic import SecretStr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.kale.address import raw_key
from libs.kale.hash import work_hash
from services.harvest.app import open_app as open_harvest
from services.harvest.config import HarvestSettings
from services.plant.app import open_app as open_plant
from services.plant.config import PlantSettings
from services.work.app import open_app as open_work
from services.work.config import WorkSettings
from tests.support.database import DatabaseFactory, connect
from tests.support.stranger import Stranger
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

KALE = 10**7
#: As if the wallet's part of the database were a backup from before.
FORGET = """
SET session_replication_role = replica;
DELETE FROM wallet.operations AS o USING wallet.wallets AS w
WHERE o.wallet_id = w.id AND w.farmer_id = '{farmer}' AND o.kind IN ('plant', 'work', 'harvest');
"""
REGISTER = """
INSERT INTO registry.farmers (id, wallet_id, custodial_public_key, pooler_id, stake_percentage,
    status, request_id, digest)
SELECT farmer_id, id, address, pooler_id, 0, 'active', farmer_id::text, ''
FROM wallet.wallets WHERE farmer_id = $1
"""


@dataclass(kw_only=True)
class Pool:
    """A wallet on a chain, with two of each service that keeps events."""

    wallet: WalletWorld
    stranger: Stranger
    admin: Any

    async def grown(self, *, is_worked: bool = True) -> tuple[str, str, int]:
        """A registered farmer that has planted (and worked) in a block, straight by the wallet."""
        world = self.wallet
        farmers = await world.create_farmers(1)
        ((farmer, address),) = farmers.items()
        await world.wait_until_ready([farmer])
        await self.admin.execute(REGISTER, UUID(farmer))
        await world.pay_kale([address], 10 * KALE)
        block = await world.next_block()
        await world.plant(f"plant {farmer}", block, {farmer: KALE})
        if is_worked:
            await world.work(f"work {farmer}", block, {farmer: 11}, farmers)
        return farmer, address, block

    async def reconcile(self) -> reconcile_pb2.ReconcileResponse:
        async with open_channel(self.wallet.target) as channel:
            stub = reconcile_pb2_grpc.ReconciliationServiceStub(channel)
            return await stub.Reconcile(reconcile_pb2.ReconcileRequest())

    async def differences(self, farmer: str) -> list[tuple[str, str]]:
        """Kind and end of each of a farmer's differences, oldest first."""
        async with open_channel(self.wallet.target) as channel:
            stub = reconcile_pb2_grpc.ReconciliationServiceStub(channel)
            request = reconcile_pb2.ListDifferencesRequest(include_settled=True)
            found = (await stub.ListDifferences(request)).differences
        return [(item.kind, item.settled) for item in reversed(found) if item.farmer_id == farmer]

    async def events(self, farmer: str) -> list[list[Any]]:
        """Stakes, zeros and (reward, stake) of a farmer's successes."""
        queries = (
            "SELECT stake_amount FROM plant.plantings",
            "SELECT zeros FROM work.works",
            "SELECT reward_amount, stake_returned FROM harvest.harvests",
        )
        return [
            [
                tuple(row)
                for row in await self.admin.fetch(
                    f"{query} WHERE farmer_id = $1 AND status = 'success'", UUID(farmer)
                )
            ]
            for query in queries
        ]

    async def balance(self, farmer: str) -> Sequence[int] | None:
        query = "SELECT current_balance, harvests FROM harvest.balances WHERE farmer_id = $1"
        row = await self.admin.fetchrow(query, UUID(farmer))
        return None if row is None else tuple(row)


@pytest.fixture(scope="module")
async def pool(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pool]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(database_factory.create())
        world = await stack.enter_async_context(
            open_wallet_world(database, tmp_path_factory.mktemp("found"), RECONCILE_INTERVAL_MS="0")
        )
        admin = await stack.enter_async_context(connect(database.admin_dsn))
        await admin.execute(
            "INSERT INTO registry.poolers (id, name, public_key, max_farmers, is_active) "
            "VALUES ($1, 'test', 'G', 1000, true)",
            UUID(world.pooler_id),
        )
        for _ in range(2):
            for settings, name, open_app in (
                (PlantSettings, "plant", open_plant),
                (WorkSettings, "work", open_work),
                (HarvestSettings, "harvest", open_harvest),
            ):
                options: dict[str, Any] = {
                    "transport": "plaintext",
                    "port": 0,
                    "database_url": SecretStr(database.dsn(name)),
                    "wallet_target": world.target,
                    "shutdown_grace_ms": 100,
                    "recovery_seconds": 0.2,
                }
                if name == "harvest":
                    # Sweeps come for what a work's event leads to, at the same time.
                    options["harvest_sweep_seconds"] = 0.5
                await stack.enter_async_context(open_app(settings(**options)))  # type: ignore[arg-type]
        server = await stack.enter_async_context(SorobanServerAsync(world.rpc_url))
        stranger = await Stranger.fund(server, world.rpc_url)
        yield Pool(wallet=world, stranger=stranger, admin=admin)


@pytest.fixture
async def wallets_role(pool: Pool) -> AsyncIterator[Any]:
    """A connection of whoever has wallet's database password."""
    async with connect(pool.wallet.database.dsn("wallet")) as connection:
        yield connection


async def test_lost_records_become_events_once(pool: Pool) -> None:
    farmer, _, block = await pool.grown()
    await pool.admin.execute(FORGET.format(farmer=farmer))
    await pool.admin.execute("RESET session_replication_role")
    assert (await pool.reconcile()).settled == 1
    await pool.grown(is_worked=False)  # and so closes the block
    await pool.wallet.wait_for_current(block + 1)

    async def told() -> bool:
        await pool.reconcile()
        return all(await pool.events(farmer))

    await eventually(told, "the events do not appear", pool.wallet.wallet)
    plants, works, harvests = await pool.events(farmer)
    assert plants == [(KALE,)]
    assert len(works) == len(harvests) == 1
    ((reward, stake),) = harvests
    assert (reward > 0, stake) == (True, KALE)
    assert await pool.balance(farmer) == (reward, 1)
    chain = (await pool.wallet.balances([farmer]))[farmer].kale_stroops
    assert chain == 10 * KALE + reward
    await pool.reconcile()
    kinds = await pool.differences(farmer)
    assert [kind for kind, _ in kinds] == ["plant_without_record", "work_without_record"]
    assert all(settled for _, settled in kinds)


async def test_what_a_stranger_harvests_is_in_the_balance(pool: Pool) -> None:
    farmer, address, block = await pool.grown()
    await pool.reconcile()
    await pool.grown(is_worked=False)
    await pool.wallet.wait_for_current(block + 1)
    reward = await pool.stranger.harvest(address, block)
    # The pool's own one comes too late.
    (own,) = await pool.wallet.harvest(f"harvest {farmer}", block, [farmer])
    assert own.reason

    async def booked() -> bool:
        await pool.reconcile()
        return await pool.balance(farmer) is not None

    await eventually(booked, "the reward is not booked", pool.wallet.wallet)
    await pool.reconcile()
    _, _, harvests = await pool.events(farmer)
    assert harvests == [(reward, KALE)]
    assert await pool.balance(farmer) == (reward, 1)
    assert await pool.differences(farmer) == [("harvest_without_record", "recorded")]


async def test_a_strangers_better_work_is_recorded_and_harvested(pool: Pool) -> None:
    farmer, address, block = await pool.grown(is_worked=False)
    current = (await pool.wallet.block(block)).block
    (nonce,) = await pool.wallet.nonces_by_zeros(block, address, [1])
    # The ledger of the plant itself is too early.
    await pool.wallet.wait_for_ledger((await pool.wallet.block()).head.ledger + 2)
    digest = work_hash(
        index=block, nonce=nonce, entropy=current.entropy, farmer_key=raw_key(address)
    )
    await pool.stranger.work(address, nonce, digest)
    await pool.reconcile()
    assert await pool.differences(farmer) == [("work_without_record", "")]
    await pool.grown(is_worked=False)
    await pool.wallet.wait_for_current(block + 1)

    async def booked() -> bool:
        await pool.reconcile()
        return await pool.balance(farmer) is not None

    await eventually(booked, "the reward is not booked", pool.wallet.wallet)
    _, works, harvests = await pool.events(farmer)
    assert works == [(1,)]
    assert await pool.balance(farmer) == (harvests[0][0], 1)
    await pool.reconcile()
    assert await pool.differences(farmer) == [("work_without_record", "they agree again")]


#: What whoever has wallet's password writes: a harvest that nobody made, the end of one.
INVENTED = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, ledger, found_hash, settled_at, is_found,
    end_mac
)
SELECT gen_random_uuid(), 'harvest', w.id, $2, 'succeeded', 9 * 10^17, 9, 'ab', now(), true, (
    SELECT o.end_mac FROM wallet.operations AS o
    WHERE o.kind = 'harvest' AND o.state = 'succeeded' LIMIT 1
)
FROM wallet.wallets AS w WHERE w.farmer_id = $1
"""
ENDED = """
UPDATE wallet.operations AS o
SET state = 'succeeded', amount = 9 * 10^17, ledger = 9, settled_at = now()
FROM wallet.wallets AS w
WHERE o.wallet_id = w.id AND w.farmer_id = $1 AND o.kind = 'harvest' AND o.state = 'queued'
"""


async def test_a_harvest_that_wallets_password_invents_is_not_booked(
    pool: Pool, wallets_role: Any
) -> None:
    farmer, address, block = await pool.grown()
    await wallets_role.execute(INVENTED, UUID(farmer), block + 1000)
    await pool.grown(is_worked=False)
    await pool.wallet.wait_for_current(block + 1)
    reward = await pool.stranger.harvest(address, block)

    async def booked() -> bool:
        await pool.reconcile()
        return await pool.balance(farmer) is not None

    # What was found on the chain is booked, beside it.
    await eventually(booked, "the reward is not booked", pool.wallet.wallet)
    _, _, harvests = await pool.events(farmer)
    assert harvests == [(reward, KALE)]
    assert await pool.balance(farmer) == (reward, 1)


async def test_a_harvest_that_wallets_password_ends_is_not_booked(
    pool: Pool, wallets_role: Any
) -> None:
    farmer, _, block = await pool.grown()
    async with open_channel(pool.wallet.target) as channel:
        custody = custody_pb2_grpc.CustodyServiceStub(channel)
        reach = custody_pb2.PauseReach(everything=True)
        await pool.grown(is_worked=False)
        await pool.wallet.wait_for_current(block + 1)
        await custody.PauseSigning(custody_pb2.PauseSigningRequest(reach=reach, reason="a test"))
        try:
            asked = asyncio.create_task(pool.wallet.harvest(f"harvest {farmer}", block, [farmer]))

            async def is_ended() -> bool:
                return str(await wallets_role.execute(ENDED, UUID(farmer))) != "UPDATE 0"

            await eventually(is_ended, "no harvest waits", pool.wallet.wallet)
            (own,) = await asked
        finally:
            await custody.ResumeSigning(custody_pb2.ResumeSigningRequest(reach=reach))
    assert own.state == wallet_pb2.OPERATION_STATE_FAILED
    assert own.reason == common_pb2.FAILURE_REASON_TAMPERED
    assert own.amount == 0

    # Reconciliation finds the pail, twice, and the harvest can be made after all.
    await pool.reconcile()
    assert (await pool.reconcile()).settled == 1
    (again,) = await pool.wallet.harvest(f"again {farmer}", block, [farmer])
    assert again.state == wallet_pb2.OPERATION_STATE_SUCCEEDED
    assert 0 < again.amount < 10**12
    assert await pool.balance(farmer) in (None, (again.amount, 1))


async def test_an_event_that_the_chain_does_not_know_waits_for_a_person(pool: Pool) -> None:
    farmer, address, block = await pool.grown(is_worked=False)
    (other,) = await pool.wallet.create_farmers(1)
    await pool.wallet.wait_until_ready([other])
    await pool.admin.execute(REGISTER, UUID(other))
    await pool.admin.execute("SELECT plant.ensure_partition($1)", block)
    await pool.admin.execute(
        "INSERT INTO plant.plantings (id, block_index, farmer_id, pooler_id, custodial_wallet, "
        "stake_amount, transaction_hash, ledger, fee_charged, status, planted_at) "
        "VALUES ($1, $2, $1, $3, $4, 5, '', 1, 0, 'success', now())",
        UUID(other),
        block,
        UUID(pool.wallet.pooler_id),
        address,
    )
    await pool.reconcile()
    await pool.reconcile()
    assert await pool.differences(other) == [("event_without_plant", "")]
    # What was settled a moment ago may have its event on its way.
    assert await pool.differences(farmer) == []


async def test_all_records_of_a_harvested_block_are_gone(pool: Pool) -> None:
    """Nothing but the balance tells of it, and the chain's own history."""
    farmer, _, block = await pool.grown()
    await pool.reconcile()
    await pool.admin.execute(
        "DELETE FROM wallet.reconciled_balances AS b USING wallet.wallets AS w "
        "WHERE b.wallet_id = w.id AND w.farmer_id = $1",
        UUID(farmer),
    )
    await pool.reconcile()
    await pool.grown(is_worked=False)
    await pool.wallet.wait_for_current(block + 1)
    await pool.wallet.harvest(f"harvest {farmer}", block, [farmer])
    await pool.admin.execute(FORGET.format(farmer=farmer))
    await pool.admin.execute("RESET session_replication_role")

    async def booked() -> bool:
        await pool.reconcile()
        return await pool.balance(farmer) is not None

    await eventually(booked, "the reward is not booked", pool.wallet.wallet)
    _, _, harvests = await pool.events(farmer)
    assert await pool.balance(farmer) == (harvests[0][0], 1)
