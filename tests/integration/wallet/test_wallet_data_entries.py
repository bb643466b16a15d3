"""Roots on a localnet: written once, the newest one only, whoever dies; read by hand and by SDK."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from kalepool.wallet.v1 import (
    custody_pb2,
    custody_pb2_grpc,
    data_entry_pb2,
    data_entry_pb2_grpc,
    order_pb2,
    order_pb2_grpc,
    wallet_pb2,
)
from stellar_sdk import xdr
from stellar_sdk.soroban_server_async import SorobanServerAsync

from cli.stellar import StellarNode, open_node
from libs.common import errors
from libs.common.grpc.client import call, open_channel
from libs.kale.networks import LOCALNET
from libs.kale.statements.roots import ENTRY_NAME, entry_value
from services.wallet.chain.build.data_entries import data_key
from tests.support.database import connect
from tests.support.wallet_world import PATIENCE, WalletWorld, eventually

pytestmark = pytest.mark.e2e
QUEUED, FAILED, SUCCEEDED = (
    wallet_pb2.OPERATION_STATE_QUEUED,
    wallet_pb2.OPERATION_STATE_FAILED,
    wallet_pb2.OPERATION_STATE_SUCCEEDED,
)


@dataclass(frozen=True, kw_only=True)
class Roots:
    """The data entry of a running wallet."""

    world: WalletWorld
    channel: Any
    node: StellarNode

    @property
    def stub(self) -> "data_entry_pb2_grpc.DataEntryServiceAsyncStub":
        """Calls."""
        found: data_entry_pb2_grpc.DataEntryServiceAsyncStub = (
            data_entry_pb2_grpc.DataEntryServiceStub(self.channel)
        )
        return found

    async def publish(self, day: int, root: bytes) -> data_entry_pb2.DataEntry:
        """Ask for a root."""
        request = data_entry_pb2.PublishRootRequest(day=day, root=root)
        return (await call(self.stub.PublishRoot, request, timeout=PATIENCE)).entry

    async def until_settled(self, day: int, root: bytes) -> data_entry_pb2.DataEntry:
        """Ask for a root until it is settled."""
        found = data_entry_pb2.DataEntry()

        async def is_settled() -> bool:
            nonlocal found
            try:
                found = await self.publish(day, root)
            except errors.UnavailableError:
                return False
            return found.state in {SUCCEEDED, FAILED}

        await eventually(is_settled, "the root is not settled")
        return found

    async def state(self) -> data_entry_pb2.GetDataEntryResponse:
        """The account, and what was asked for last."""
        request = data_entry_pb2.GetDataEntryRequest()
        return await call(self.stub.GetDataEntry, request, timeout=PATIENCE)

    async def today(self) -> int:
        """The running day, by the database."""
        async with connect(self.world.database.admin_dsn) as admin:
            return int(
                await admin.fetchval("SELECT floor(extract(epoch FROM now()))::bigint / 86400")
            )

    async def newest(self) -> int:
        """The day of the newest root; 30 days ago before there is any."""
        state = await self.state()
        return state.newest.day if state.HasField("newest") else await self.today() - 30


@pytest.fixture
async def roots(world: WalletWorld) -> AsyncIterator[Roots]:
    """The data entry of the wallet of all tests."""
    async with open_channel(world.target) as channel, open_node(world.rpc_url) as node:
        yield Roots(world=world, channel=channel, node=node)


async def test_a_root_stands_on_the_chain_and_is_read_without_an_sdk(roots: Roots) -> None:
    day, root = await roots.newest() + 1, b"a" * 32
    settled = await roots.until_settled(day, root)
    account = (await roots.state()).account
    assert settled.state == SUCCEEDED
    assert await roots.node.entry(account) == entry_value(day, root)
    assert (await roots.state()).newest == settled
    # The same by the SDK, and the transaction by its hash.
    async with SorobanServerAsync(roots.world.rpc_url) as sdk:
        key = xdr.LedgerKey.from_xdr(data_key(account, ENTRY_NAME.encode()))
        (entry,) = (await sdk.get_ledger_entries([key])).entries or []
        data = xdr.LedgerEntryData.from_xdr(entry.xdr).data
        assert data is not None
        assert data.data_value.data_value == entry_value(day, root)
        assert (await sdk.get_transaction(settled.transaction_hash)).ledger == settled.ledger
    # Once more is the same operation.
    assert await roots.publish(day, root) == settled


async def test_a_day_has_one_root_and_the_entry_never_goes_back(roots: Roots) -> None:
    day = await roots.newest() + 2
    await roots.until_settled(day, b"b" * 32)
    with pytest.raises(errors.FailedPreconditionError) as differs:
        await roots.publish(day, b"c" * 32)
    with pytest.raises(errors.FailedPreconditionError) as too_old:
        await roots.publish(day - 1, b"c" * 32)
    with pytest.raises(errors.OutOfRangeError) as to_come:
        await roots.publish(await roots.today() + 1, b"c" * 32)
    with pytest.raises(errors.InvalidArgumentError):
        await roots.publish(day, b"short")
    reasons = [one.value.reason for one in (differs, too_old, to_come)]
    assert reasons == ["ROOT_DIFFERS", "ROOT_TOO_OLD", "DAY_TO_COME"]


async def test_of_roots_that_waited_the_newest_is_written(roots: Roots) -> None:
    day = await roots.newest()
    async with roots.world.paused():
        older = await roots.publish(day + 1, b"d" * 32)
        newer = await roots.publish(day + 2, b"e" * 32)
        assert (older.state, newer.state) == (QUEUED, QUEUED)
    assert (await roots.until_settled(day + 2, b"e" * 32)).state == SUCCEEDED
    assert (await roots.until_settled(day + 1, b"d" * 32)).state == FAILED
    account = (await roots.state()).account
    assert await roots.node.entry(account) == entry_value(day + 2, b"e" * 32)


@pytest.mark.parametrize(
    "name",
    [
        "wallet.root.recorded",
        "wallet.root.superseded",
        "wallet.transaction.signed",
        "wallet.settle.after",
    ],
)
async def test_who_is_killed_writes_it_once(roots: Roots, name: str) -> None:
    world, day, root = roots.world, await roots.newest() + 1, name[-1:].encode() * 32
    await payers_opened(roots)
    await world.restart(FAILPOINTS=f"{name}=kill")
    await world.wait_until_serving()
    await ask_and_die(roots, day, root)
    await world.restart()
    await world.wait_until_serving()
    assert (await roots.until_settled(day, root)).state == SUCCEEDED
    async with connect(world.database.admin_dsn) as admin:
        count = await admin.fetchval(
            "SELECT count(*) FROM wallet.data_entries AS d "
            "INNER JOIN wallet.operations AS o ON o.id = d.operation_id "
            "WHERE d.day = $1 AND o.state = 'succeeded'",
            day,
        )
    assert count == 1


async def payers_opened(roots: Roots) -> None:
    """Wait until a wallet that has just started has its payers: it dies of a root's end then."""
    async with connect(roots.world.database.admin_dsn) as admin:

        async def are_open() -> bool:
            found = await admin.fetchval(
                "SELECT bool_and(state = 'succeeded') FROM wallet.operations "
                "WHERE kind = 'open_payer'"
            )
            return bool(found)

        await eventually(are_open, "the payers are not open")


async def ask_and_die(roots: Roots, day: int, root: bytes) -> None:
    """Ask for a root, and wait until the wallet has died of that."""
    with suppress(errors.PoolError):
        await roots.publish(day, root)
    await roots.world.wait_until_dead()


async def test_log_and_orders_tell_of_every_root(roots: Roots) -> None:
    await roots.until_settled(await roots.newest() + 1, b"f" * 32)
    custody = custody_pb2_grpc.CustodyServiceStub(roots.channel)
    orders = order_pb2_grpc.OrderServiceStub(roots.channel)

    async def verify() -> custody_pb2.VerifyAuditLogResponse:
        return await call(
            custody.VerifyAuditLog, custody_pb2.VerifyAuditLogRequest(), timeout=PATIENCE
        )

    async def forged() -> list[str]:
        found = await call(orders.CheckOrders, order_pb2.CheckOrdersRequest(), timeout=PATIENCE)
        return [row.name.partition("/")[0] for row in found.rows]

    assert (list((await verify()).findings), await forged()) == ([], [])
    async with connect(roots.world.database.admin_dsn) as admin:
        # Whoever writes a root of its own by all rights, without wallet's word.
        await admin.execute("SET session_replication_role = replica")
        old = await admin.fetchrow(
            "SELECT operation_id, root FROM wallet.data_entries ORDER BY day DESC LIMIT 1"
        )
        assert old is not None
        change = "UPDATE wallet.data_entries SET root = $1 WHERE operation_id = $2"
        await admin.execute(change, bytes(32), old["operation_id"])
        try:
            assert len((await verify()).findings) == 2  # the row, and the record of the row
            assert await forged() == ["data_entries"]
            with pytest.raises(errors.FailedPreconditionError) as caught:
                await roots.state()
            assert caught.value.reason == "DATA_ENTRY_TAMPERED"
        finally:
            await admin.execute(change, old["root"], old["operation_id"])
    assert (list((await verify()).findings), await forged()) == ([], [])


async def test_the_node_is_known_by_its_passphrase(roots: Roots) -> None:
    found = await roots.node.network()
    assert found.oldest > 0
    from stellar_sdk import Asset, StrKey  # noqa: PLC0415

    code, _, issuer = LOCALNET.asset.partition(":")
    contract = Asset(code, issuer).contract_id(LOCALNET.passphrase)
    assert found.token == StrKey.decode_contract(contract)
