"""The farm's instance and code come due while it is farmed: the treasury pays, or calls wait."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc, wallet_pb2
from stellar_sdk import FeeBumpTransactionEnvelope, TransactionBuilder, TransactionEnvelope, xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common.grpc.client import open_channel
from libs.kale.networks import LOCALNET
from services.wallet.domain.rent import FARM_CODE, FARM_INSTANCE, LEAD, farm_rule
from tests.support.database import DatabaseAccess, DatabaseFactory, connect
from tests.support.stranger import Stranger
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world

pytestmark = pytest.mark.e2e

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
RULE = farm_rule(3_110_400)
#: Ledgers left at which a call would have to pay.
DUE = RULE.threshold
#: Stroops that no call of a farmer costs, whatever it does.
ORDINARY = 100_000
#: Stroops that the rent of a week of the farm's code costs at least.
CODE_RENT = 10_000_000
RENT = "SELECT hash, fee_charged FROM wallet.transactions WHERE is_rent AND state = 'succeeded'"
FEES = "SELECT coalesce(sum(stroops), 0)::bigint FROM wallet.fee_hours"
ASKED = "SELECT state FROM wallet.operations WHERE kind = 'plant' AND block_index = $1"
WORKED = "SELECT count(*) FROM wallet.operations WHERE kind = 'work'"


async def ask(world: WalletWorld, method: str, **parameters: Any) -> Any:
    """One answer of the localnet."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    async with aiohttp.ClientSession() as http, http.post(world.rpc_url, json=body) as reply:
        return (await reply.json())["result"]


async def set_lives(world: WalletWorld, **left: int) -> None:
    """From now on the farm's code or instance has so many ledgers left."""
    url = f"{world.rpc_url}/faults"
    async with aiohttp.ClientSession() as http, http.post(url, json={"lives": left}) as reply:
        assert reply.status == 200, await reply.text()


@asynccontextmanager
async def open_engine(world: WalletWorld) -> AsyncIterator[Any]:
    """Calls of the engine."""
    async with open_channel(world.target) as channel:
        yield engine_pb2_grpc.EngineServiceStub(channel)


async def rent(world: WalletWorld) -> engine_pb2.RentStatus:
    """How rent stands."""
    async with open_engine(world) as engine:
        reply = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
        status: engine_pb2.RentStatus = reply.rent
        return status


async def paid(world: WalletWorld, admin: asyncpg.Connection) -> list[str]:
    """What the treasury has extended, as the chain tells: the LedgerKeys' kinds, in order."""
    treasury = (await world.stub.GetTreasury(wallet_pb2.GetTreasuryRequest())).address
    found = []
    for row in await admin.fetch(f"{RENT} ORDER BY ledger"):
        answer = await ask(world, "getTransaction", hash=row["hash"])
        assert answer["status"] == "SUCCESS"
        envelope = TransactionBuilder.from_xdr(answer["envelopeXdr"], LOCALNET.passphrase)
        assert isinstance(envelope, TransactionEnvelope | FeeBumpTransactionEnvelope)
        if isinstance(envelope, FeeBumpTransactionEnvelope):
            envelope = envelope.transaction.inner_transaction_envelope
        transaction = envelope.transaction
        assert transaction.source.account_id == treasury
        (operation,) = transaction.to_xdr_object().operations
        assert operation.body.type is xdr.OperationType.EXTEND_FOOTPRINT_TTL
        assert operation.body.extend_footprint_ttl_op is not None
        assert operation.body.extend_footprint_ttl_op.extend_to.uint32 == RULE.extend_to
        assert transaction.soroban_data is not None
        footprint = transaction.soroban_data.resources.footprint
        assert footprint.read_write == []
        (key,) = footprint.read_only
        is_code = key.type is xdr.LedgerEntryType.CONTRACT_CODE
        found.append(FARM_CODE if is_code else FARM_INSTANCE)
    return found


def lines(world: WalletWorld, event: str) -> list[dict[str, Any]]:
    """What the wallet's log says, all of it."""
    text = "".join(path.read_text() for path in world.logs.glob("wallet*"))
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


class Farming:
    """Three farmers and a block."""

    def __init__(self, world: WalletWorld, farmers: dict[str, str]) -> None:
        self.world = world
        self.farmers = farmers
        self.block = 0

    async def plant(self) -> list[wallet_pb2.Operation]:
        """Everybody, in the next block."""
        self.block = await self.world.next_block()
        return await self.world.plant(f"plant {self.block}", self.block, self._stakes())

    async def work(self) -> list[wallet_pb2.Operation]:
        """Everybody."""
        nonces = dict.fromkeys(self.farmers, 7)
        return await self.world.work(f"work {self.block}", self.block, nonces, self.farmers)

    async def harvest(self) -> list[wallet_pb2.Operation]:
        """Everybody, once somebody has planted in the next block."""
        following = await self.world.next_block()
        first = next(iter(self.farmers))
        await self.world.plant(f"next {following}", following, {first: 0})
        return await self.world.harvest(f"harvest {self.block}", self.block, list(self.farmers))

    def _stakes(self) -> dict[str, int]:
        return dict.fromkeys(self.farmers, KALE)


@asynccontextmanager
async def farming(
    database: DatabaseAccess, logs: Path, rent_daily: int = 10**9
) -> AsyncIterator[Farming]:
    """A wallet with three farmers who may plant."""
    budget = str(rent_daily)
    async with open_wallet_world(
        database, logs, block_seconds=10, RENT_DAILY_STROOPS=budget
    ) as world:
        farmers = await world.create_farmers(3)
        await world.wait_until_ready(list(farmers))
        await world.pay_kale(list(farmers.values()), 10 * KALE)
        yield Farming(world, farmers)


@pytest.mark.parametrize("multicall", [False, True], ids=["singly", "together"])
async def test_it_comes_due_in_each_phase_and_nobody_is_left_out(
    database_factory: DatabaseFactory, tmp_path: Path, *, multicall: bool
) -> None:
    async with (
        database_factory.create() as database,
        farming(database, tmp_path) as farm,
        connect(database.admin_dsn) as admin,
    ):
        if multicall:
            await farm.world.use_multicall(channels=3)
        # The first plant of all lets the farm's instance grow, and pays for that.
        await farm.plant()
        before = await admin.fetchval(FEES)
        # An hour before it is due, at the moment itself, and when it is long over.
        for lives in ({"code": DUE + LEAD}, {"code": DUE, "instance": DUE}, {"instance": 100}):
            extended = len(await paid(farm.world, admin))
            operations = []
            for phase in (farm.plant, farm.work, farm.harvest):
                await set_lives(farm.world, **lives)
                operations += await phase()
            assert {item.state for item in operations} == {SUCCEEDED}
            assert max(item.fee_charged for item in operations) < ORDINARY
            names = {"code": FARM_CODE, "instance": FARM_INSTANCE}
            found = await paid(farm.world, admin)
            assert set(found[extended:]) == {names[name] for name in lives}
        status = await rent(farm.world)
        assert not status.calls_wait_for_rent
        assert not status.rent_error
        spent = sum(row["fee_charged"] for row in await admin.fetch(RENT))
        assert status.rent_spent_stroops == spent > CODE_RENT
        assert {entry.name for entry in status.entries} >= {FARM_CODE, FARM_INSTANCE}
        assert all(entry.ledgers_left > DUE + LEAD for entry in status.entries[:2])
        assert await admin.fetchval(FEES) - before < CODE_RENT  # rent is booked apart


async def test_without_enough_calls_wait_with_one_word_and_no_flood(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        farming(database, tmp_path, 200_000) as farm,
        connect(database.admin_dsn) as admin,
    ):
        world = farm.world
        await farm.plant()  # the first one lets the farm's instance grow
        await set_lives(world, code=DUE, instance=DUE)

        async def alarmed() -> bool:
            return bool((await rent(world)).rent_error)

        await eventually(alarmed, "nobody is told", world.wallet)
        # The instance's rent has room in the budget: each is judged by itself.
        status = await rent(world)
        assert status.calls_wait_for_rent
        assert FARM_CODE in status.rent_error
        block = await world.next_block()
        stakes = dict.fromkeys(farm.farmers, KALE)
        for number in range(20):
            await world.plant_without_waiting(f"try {number}", block, stakes)
        waiting = await admin.fetch(ASKED, block)
        assert [row["state"] for row in waiting] == ["queued"] * len(farm.farmers)
        told = [line for line in lines(world, "refused") if line["what"] == "rent"]
        assert len(told) == 1
        assert told[0]["level"] == "critical"
        assert FARM_CODE not in await paid(world, admin)

        # Nobody was refused, and nobody is left out once the operator allows it.
        await world.restart(RENT_DAILY_STROOPS="1000000000")
        planted = await world.plant("try 0", block, stakes)
        assert {item.state for item in planted} == {SUCCEEDED}
        assert max(item.fee_charged for item in planted) < ORDINARY
        assert FARM_CODE in await paid(world, admin)
        assert len(await admin.fetch(ASKED, block)) == len(farm.farmers)
        assert not (await rent(world)).rent_error


async def test_what_waited_until_its_block_was_over_is_told_why_once(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        farming(database, tmp_path, 0) as farm,
        connect(database.admin_dsn) as admin,
    ):
        world = farm.world
        await farm.plant()
        await set_lives(world, code=DUE)

        async def holds() -> bool:
            return (await rent(world)).calls_wait_for_rent

        await eventually(holds, "calls do not wait", world.wallet)
        nonces, requests = (
            dict.fromkeys(farm.farmers, 7),
            [f"work {number}" for number in range(20)],
        )
        works = [
            asyncio.create_task(world.work(name, farm.block, nonces, farm.farmers))
            for name in requests
        ]
        following = await world.next_block()
        async with SorobanServerAsync(world.rpc_url) as server:
            stranger = await Stranger.fund(server, world.rpc_url)
            await stranger.plant()  # pays for the farm's code, and opens the next block
        await world.wait_for_current(following)
        for operations in await asyncio.gather(*works):
            reasons = {item.reason for item in operations}
            assert reasons == {common_pb2.FAILURE_REASON_RENT_DUE}
            assert len(operations) == len(farm.farmers)
        assert await admin.fetchval(WORKED) == len(farm.farmers)


async def test_a_stranger_who_pays_ends_the_waiting(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        farming(database, tmp_path, 0) as farm,
    ):
        await set_lives(farm.world, code=DUE)

        async def holds() -> bool:
            return (await rent(farm.world)).calls_wait_for_rent

        await eventually(holds, "calls do not wait", farm.world.wallet)
        block = await farm.world.next_block()
        stakes = dict.fromkeys(farm.farmers, KALE)
        await farm.world.plant_without_waiting("plant", block, stakes)
        await set_lives(farm.world, code=RULE.extend_to)
        operations = await farm.world.plant("plant", block, stakes)
        assert {item.state for item in operations} == {SUCCEEDED}
        assert [line["what"] for line in lines(farm.world, "no longer refused")] == ["rent"]
