"""Nodes that lie about payments: nothing is paid twice, and false records become true."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from kalepool.wallet.v1 import (
    engine_pb2,
    engine_pb2_grpc,
    wallet_pb2,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)

from libs.common.grpc.client import open_channel
from libs.common.ids import new_id
from localnet.app import node_urls
from services.wallet.domain.payments import SPAN
from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

KALE = 10**7
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
SECONDS = 60
#: Statements that remove the records of a payment that a database restored from a backup has lost,
#: as if the payment had never been signed.
FORGET = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE lost AS
    SELECT id, transaction_id FROM wallet.operations
    WHERE kind = 'withdraw' ORDER BY id DESC LIMIT 1;
DELETE FROM wallet.transaction_operations WHERE operation_id IN (SELECT id FROM lost);
UPDATE wallet.operations SET state = 'queued', transaction_id = NULL, settled_at = NULL,
    ledger = NULL, due_at = now() WHERE id IN (SELECT id FROM lost);
DELETE FROM wallet.transactions WHERE id IN (SELECT transaction_id FROM lost);
SET session_replication_role = DEFAULT;
"""


@dataclass(frozen=True, kw_only=True)
class Village:
    """A wallet with several nodes of one chain, a farmer, and the account of its payouts."""

    world: WalletWorld
    #: Farmer that withdraws.
    farmer: str
    #: Farmer whose account is paid.
    outside: str

    async def trust_everybody(self) -> None:
        """Let the wallet forget which nodes were contradicted."""
        await self.world.restart()
        await self.world.wait_until_serving()

    async def lie(self, node: int, **lies: Any) -> None:
        """Set the lies of a node; without lies the node is honest again."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.world.rpc_url}/node/{node}/faults", json={"lies": lies}) as reply,
        ):
            assert reply.status == 200, await reply.text()

    async def struck(self, node: int) -> dict[str, int]:
        """Return how often each lie was told."""
        url = f"{self.world.rpc_url}/node/{node}/faults"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            used: dict[str, int] = (await reply.json(content_type=None))["used"]
            return used

    async def withdraw(self, name: str, amount: int) -> withdrawal_pb2.Withdrawal:
        """Withdraw, and wait for the withdrawal's end."""
        request = withdrawal_pb2.WithdrawRequest(
            request_id=name,
            farmer_id=self.farmer,
            asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
            amount=amount,
        )
        async with open_channel(self.world.target) as channel:
            stub = withdrawal_pb2_grpc.WithdrawalServiceStub(channel)
            return (await stub.Withdraw(request, timeout=SECONDS)).withdrawal

    async def paid_out(self) -> int:
        """Return the stroops of KALE that have arrived, according to the honest chain."""
        found = await self.world.balances([self.outside])
        return int(found[self.outside].kale_stroops)

    async def ledgers_later(self, count: int) -> None:
        """Wait until the wallet has seen this many more ledgers."""
        now = (await self.world.block()).head.ledger
        await self.world.wait_for_ledger(now + count)


@asynccontextmanager
async def open_village(
    factory: DatabaseFactory, paths: pytest.TempPathFactory, *, nodes: int
) -> AsyncIterator[Village]:
    """Run a wallet with this many nodes in its settings.

    There is one payer, so that all payments meet there.
    """
    async with (
        factory.create() as database,
        open_wallet_world(
            database,
            paths.mktemp("lies"),
            localnet_environment={"LOCALNET_NODES": "3"},
            RECONCILE_INTERVAL_MS="0",
            PAYER_ACCOUNTS="1",
        ) as world,
    ):
        urls = ",".join(node_urls(world.rpc_url, nodes))
        world.environment |= {"STELLAR_RPC_URLS": urls, "STELLAR_HEDGE_MS": "300"}
        await world.restart()
        await world.wait_until_serving()
        ((outside, destination),) = (await world.create_farmers(1)).items()
        request = wallet_pb2.CreateWalletRequest(
            farmer_id=str(new_id()), pooler_id=world.pooler_id, payout_address=destination
        )
        wallet = (await world.stub.CreateWallet(request)).wallet
        await world.wait_until_ready([outside, wallet.farmer_id])
        await world.pay_kale([wallet.address], 1000 * KALE)
        yield Village(world=world, farmer=wallet.farmer_id, outside=outside)


@pytest.fixture(scope="module")
async def crowd(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Village]:
    """Run a wallet with three nodes."""
    async with open_village(database_factory, tmp_path_factory, nodes=3) as found:
        yield found


@pytest.fixture(scope="module")
async def hermit(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Village]:
    """Run a wallet with one node."""
    async with open_village(database_factory, tmp_path_factory, nodes=1) as found:
        yield found


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a condition holds."""
    for _ in range(SECONDS * 5):
        if await holds():
            return
        await asyncio.sleep(0.2)
    pytest.fail(what)


@pytest.mark.parametrize(
    ("node", "lies"),
    [
        (0, {"omit": "paying"}),
        (0, {"failed": "paying"}),
        (2, {"add_ledgers": 10, "omit": "paying"}),
        (0, {"sequences": {"*": -1}}),
        (0, {"payer": "not included"}),
        (0, {"payer": "failed"}),
        (0, {"payer": "paid", "send": {"says": "PENDING", "takes": False}}),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "-".join(value),
)
async def test_one_liar_of_three_moves_no_money(
    node: int, lies: dict[str, Any], crowd: Village
) -> None:
    await crowd.trust_everybody()
    before, name, count = await crowd.paid_out(), str(new_id()), 0
    await crowd.lie(node, **lies)
    # Waits until the node was asked for the subject of its lie: a slow machine has others asked
    # instead.
    while count < 2 or (count < 12 and not sum((await crowd.struck(node)).values())):
        found = await crowd.withdraw(f"{name} {count}", KALE)
        assert found.operation.state == SUCCEEDED
        count += 1
    await crowd.ledgers_later(12)
    assert await crowd.paid_out() == before + count * KALE
    assert sum((await crowd.struck(node)).values()) > 0
    await crowd.lie(node)
    assert (await crowd.withdraw(name, KALE)).operation.state == SUCCEEDED
    await crowd.ledgers_later(3)
    assert await crowd.paid_out() == before + (count + 1) * KALE


@pytest.mark.parametrize("said", ["not included", "failed"])
async def test_the_only_node_denies_what_was_paid(said: str, hermit: Village) -> None:
    before = await hermit.paid_out()
    await hermit.lie(0, payer=said, omit="paying")
    asked = asyncio.create_task(hermit.withdraw(said, KALE))
    await hermit.ledgers_later(30)  # past the bounds of several envelopes
    await hermit.lie(0)
    assert (await asked).operation.state == SUCCEEDED
    await hermit.ledgers_later(12)
    assert await hermit.paid_out() == before + KALE


async def test_what_the_only_node_invents_is_made_good(hermit: Village) -> None:
    before = await hermit.paid_out()
    async with connect(hermit.world.database.admin_dsn) as admin:
        payer = await admin.fetchval("SELECT address FROM wallet.wallets WHERE kind = 'payer'")
    # All sent envelopes are thrown away; then the payer's number seems to be the one they would
    # set.
    swallowed = {"says": "PENDING", "takes": False}
    await hermit.lie(0, send=swallowed)
    asked = asyncio.create_task(hermit.withdraw("invented", KALE))
    await hermit.ledgers_later(3)
    await hermit.lie(0, sequences={payer: 1 + SPAN}, send=swallowed)
    assert (await asked).operation.state == SUCCEEDED  # so it seems
    assert await hermit.paid_out() == before
    await hermit.lie(0)

    async def arrived() -> bool:
        return await hermit.paid_out() == before + KALE

    await until(arrived, "the record stayed false")
    await hermit.ledgers_later(12)
    assert (await hermit.withdraw("afterwards", KALE)).operation.state == SUCCEEDED
    await hermit.ledgers_later(3)
    assert await hermit.paid_out() == before + 2 * KALE


async def test_a_payment_that_a_restored_database_has_lost_is_read_from_the_chain(
    hermit: Village,
) -> None:
    before = await hermit.paid_out()
    assert (await hermit.withdraw("lost", KALE)).operation.state == SUCCEEDED
    await hermit.ledgers_later(2)
    await hermit.world.wallet.stop(number=9)
    async with connect(hermit.world.database.admin_dsn) as admin:
        await admin.execute(FORGET)
    await hermit.world.restart()
    await hermit.world.wait_until_serving()
    assert (await hermit.withdraw("lost", KALE)).operation.state == SUCCEEDED
    await hermit.ledgers_later(12)
    assert await hermit.paid_out() == before + KALE
    assert (await hermit.withdraw("found", KALE)).operation.state == SUCCEEDED
    async with open_channel(hermit.world.target) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        status = await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())
        assert (status.payers.made, status.payers.stopped) == (1, 0)
