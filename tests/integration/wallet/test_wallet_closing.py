"""Accounts of farmers that leave: closed once, with all of their XLM at their own address.

What an account holds keeps it open, and is named.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from kalepool.wallet.v1 import (
    closing_pb2,
    closing_pb2_grpc,
    wallet_pb2,
)
from stellar_sdk import (
    AccountMerge,
    Asset,
    ChangeTrust,
    CreateAccount,
    Keypair,
    ManageData,
    Payment,
    SetOptions,
    Signer,
    xdr,
)
from stellar_sdk.soroban_server_async import SorobanServerAsync

from libs.common import errors
from libs.common.grpc.client import call, open_channel
from libs.common.ids import new_id
from localnet.network import Network
from tests.support.database import connect
from tests.support.owner import Owner, owner_of
from tests.support.wallet_world import PATIENCE, WalletWorld, eventually

pytestmark = pytest.mark.e2e
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
#: Stroops of XLM that an outside account has at first.
FUNDED = 10_000_000_000


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """Calls of a running wallet about accounts that are to be closed, and the chain."""

    world: WalletWorld
    channel: Any
    rpc: SorobanServerAsync

    async def close(self, farmer: str) -> closing_pb2.CloseAccountResponse:
        """Ask for a farmer's account to be closed."""
        stub = closing_pb2_grpc.ClosingServiceStub(self.channel)
        request = closing_pb2.CloseAccountRequest(farmer_id=farmer)
        return await call(stub.CloseAccount, request, timeout=PATIENCE)

    async def closed(self, farmer: str) -> closing_pb2.CloseAccountResponse:
        """Ask until it is closed, as registry does."""
        found = closing_pb2.CloseAccountResponse()

        async def is_closed() -> bool:
            nonlocal found
            try:
                found = await self.close(farmer)
            except (errors.UnavailableError, errors.FailedPreconditionError, errors.ConflictError):
                return False
            return found.state == SUCCEEDED

        await eventually(is_closed, "the account is not closed")
        return found

    async def refused(self, farmer: str) -> tuple[str, str]:
        """Ask while it cannot be closed; return why, for machines and people."""
        with pytest.raises(errors.FailedPreconditionError) as caught:
            await self.close(farmer)
        return caught.value.reason, caught.value.message

    async def farmer(self, pays_to: str = "") -> tuple[str, str]:
        """Return a new farmer that is on the chain, and its address."""
        farmer, address = await self.made(pays_to)
        await self.world.wait_until_ready([farmer])
        return farmer, address

    async def made(self, pays_to: str) -> tuple[str, str]:
        """Return a new farmer that is to be brought onto the chain, and its address."""
        await self.world.mark()
        request = wallet_pb2.CreateWalletRequest(
            farmer_id=str(new_id()), pooler_id=self.world.pooler_id, payout_address=pays_to
        )
        wallet = (await self.world.stub.CreateWallet(request, timeout=PATIENCE)).wallet
        return wallet.farmer_id, wallet.address

    async def outside(self) -> Keypair:
        """Return an account outside of the pool."""
        key, faucet = Keypair.random(), Owner(rpc=self.rpc, key=Network().faucet)
        await faucet.does(CreateAccount(key.public_key, "1000"))
        return key

    async def give(self, address: str, xlm: str) -> None:
        """Send XLM from outside."""
        faucet = Owner(rpc=self.rpc, key=Network().faucet)
        await faucet.does(Payment(address, Asset.native(), xlm))

    async def account(self, address: str) -> Any:
        """Return an account entry of the chain; None when it is gone."""
        key = xdr.LedgerKey(
            xdr.LedgerEntryType.ACCOUNT,
            account=xdr.LedgerKeyAccount(Keypair.from_public_key(address).xdr_account_id()),
        )
        entries = (await self.rpc.get_ledger_entries([key])).entries or []
        return xdr.LedgerEntryData.from_xdr(entries[0].xdr).account if entries else None

    async def sponsoring(self) -> int:
        """Return how many reserves the treasury pays for others."""
        async with connect(self.world.database.admin_dsn) as admin:
            address = await admin.fetchval(
                "SELECT address FROM wallet.wallets WHERE kind = 'treasury'"
            )
        account = await self.account(address)
        return int(account.ext.v1.ext.v2.num_sponsoring.uint32)


@pytest.fixture
async def leaving(world: WalletWorld) -> AsyncIterator[Leaving]:
    """The wallet of all tests, and a node."""
    async with open_channel(world.target) as channel, SorobanServerAsync(world.rpc_url) as rpc:
        yield Leaving(world=world, channel=channel, rpc=rpc)


async def test_an_account_that_holds_nothing_is_merged_into_the_treasury(leaving: Leaving) -> None:
    farmer, address = await leaving.farmer()
    await leaving.world.wait_until_settled()
    before = await leaving.sponsoring()
    closed = await leaving.closed(farmer)
    assert closed.transaction_hash
    assert await leaving.account(address) is None
    assert await leaving.sponsoring() == before - 3
    # Once more is the same operation, and nobody brings the account back.
    assert await leaving.close(farmer) == closed
    async with connect(leaving.world.database.admin_dsn) as admin:
        told = await admin.fetchval(
            "SELECT details FROM wallet.audit_log WHERE action = 'close_account'"
            " AND details LIKE $1",
            f"{address}%",
        )
        fee = await admin.fetchval(
            "SELECT fee_charged FROM wallet.operations WHERE kind = 'close_account' AND id = $1",
            closed.operation_id,
        )
    assert told == (
        f"{address} into the treasury, 15000000 stroops of reserves back, {closed.operation_id}"
    )
    assert fee > 0


async def test_own_xlm_goes_to_the_payout_address_to_the_stroop(leaving: Leaving) -> None:
    outside = (await leaving.outside()).public_key
    farmer, address = await leaving.farmer(outside)
    await leaving.give(address, "3.0000007")
    await leaving.closed(farmer)
    assert await leaving.account(address) is None
    assert (await leaving.account(outside)).balance.int64 == FUNDED + 30_000_007


async def test_own_xlm_without_a_place_to_go_keeps_an_account_open(leaving: Leaving) -> None:
    farmer, address = await leaving.farmer()
    await leaving.give(address, "0.0000001")
    reason, message = await leaving.refused(farmer)
    assert reason == "PAYOUT_ADDRESS_MISSING"
    assert message == "the account has 1 stroops of XLM of its own, and no payout address"
    nobody = Keypair.random().public_key
    farmer, address = await leaving.farmer(nobody)
    await leaving.give(address, "0.0000001")
    reason, message = await leaving.refused(farmer)
    assert reason == "XLM_UNPAYABLE"
    assert message == f"1 stroops of XLM cannot be paid to {nobody}: DESTINATION_MISSING"
    assert await leaving.account(address) is not None


async def test_kale_keeps_an_account_open(leaving: Leaving) -> None:
    farmer, address = await leaving.farmer()
    await leaving.world.pay_kale([address], 5)
    reason, message = await leaving.refused(farmer)
    assert (reason, message) == ("ACCOUNT_NOT_EMPTY", "the account has 5 stroops of KALE")
    assert await leaving.account(address) is not None


async def test_what_else_an_account_holds_is_named(leaving: Leaving) -> None:
    farmer, address = await leaving.farmer()
    await leaving.give(address, "5")
    owner, signer = await owner_of(leaving.world, farmer, leaving.rpc), Keypair.random()
    await owner.does(
        ManageData("config.memo_required", "1"),
        ChangeTrust(Asset("OTHER", Network().faucet.public_key)),
        SetOptions(signer=Signer.ed25519_public_key(signer.public_key, 1)),
    )
    reason, message = await leaving.refused(farmer)
    assert reason == "ACCOUNT_HOLDS"
    assert message == (
        "the account cannot be closed: data entry config.memo_required; 1 other trustlines, offers"
        f" or data entries; signer {signer.public_key}"
    )


async def test_a_pail_that_can_be_worked_or_harvested_keeps_an_account_open(
    leaving: Leaving,
) -> None:
    farmer, address = await leaving.farmer()
    world = leaving.world
    block = await world.next_block()
    await world.plant(f"leaving {block}", block, {farmer: 0})
    reason, message = await leaving.refused(farmer)
    assert (reason, message) == (
        "ACCOUNT_NOT_EMPTY",
        f"the pail in block {block} is not harvested yet",
    )
    # Nobody works it: once its block is over there is nothing to wait for.
    other, _ = await leaving.farmer()
    following = await world.next_block()
    await world.plant(f"leaving {following}", following, {other: 0})
    await world.wait_for_current(following)
    await leaving.closed(farmer)
    assert await leaving.account(address) is None


async def test_an_account_that_the_pool_does_not_sponsor_goes_to_the_farmers_address(
    leaving: Leaving,
) -> None:
    """Whoever has the key may make the account before the pool does."""
    world = leaving.world
    outside = (await leaving.outside()).public_key
    async with world.paused():
        farmer, address = await leaving.made(outside)
        faucet = Owner(rpc=leaving.rpc, key=Network().faucet)
        await faucet.does(CreateAccount(address, "4"))
    await world.wait_until_ready([farmer])
    await leaving.closed(farmer)
    assert await leaving.account(address) is None
    assert (await leaving.account(outside)).balance.int64 == FUNDED + 40_000_000


async def test_a_farmer_that_nobody_knows_has_no_account(leaving: Leaving) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        await leaving.close(str(new_id()))
    assert caught.value.reason == "WALLET_NOT_FOUND"
    stub = closing_pb2_grpc.ClosingServiceStub(leaving.channel)
    for request in (
        closing_pb2.CloseAccountRequest(),
        closing_pb2.CloseAccountRequest(farmer_id=str(new_id()), pooler_id=str(new_id())),
    ):
        with pytest.raises(errors.InvalidArgumentError):
            await call(stub.CloseAccount, request, timeout=PATIENCE)
    request = closing_pb2.CloseAccountRequest(pooler_id=str(new_id()))
    with pytest.raises(errors.NotFoundError) as caught:
        await call(stub.CloseAccount, request, timeout=PATIENCE)
    assert caught.value.reason == "POOLER_WALLET_NOT_FOUND"


@pytest.mark.parametrize(
    "name",
    [
        "wallet.closing.recorded",
        "wallet.transaction.signed",
        "wallet.transaction.accepted",
        "wallet.settle.before",
        "wallet.settle.after",
    ],
)
async def test_an_account_is_closed_once_whenever_wallet_dies(leaving: Leaving, name: str) -> None:
    outside = (await leaving.outside()).public_key
    farmer, address = await leaving.farmer(outside)
    await leaving.give(address, "1")
    world = leaving.world
    await world.wait_until_settled()
    await world.restart(FAILPOINTS=f"{name}=kill")
    await world.wait_until_serving()
    try:
        with suppress(errors.PoolError):
            await leaving.close(farmer)
        await world.wait_until_dead()
    finally:
        await world.restart()
        await world.wait_until_serving()
    await leaving.closed(farmer)
    assert await leaving.account(address) is None
    assert (await leaving.account(outside)).balance.int64 == FUNDED + 10_000_000


async def test_an_account_that_its_owner_closed_counts_as_closed_whenever_wallet_dies(
    leaving: Leaving,
) -> None:
    world = leaving.world
    outside = (await leaving.outside()).public_key
    farmer, address = await leaving.farmer(outside)
    owner = await owner_of(world, farmer, leaving.rpc)
    await world.wait_until_settled()
    await owner.does(ChangeTrust(Network().kale, "0"), AccountMerge(outside))
    await world.restart(FAILPOINTS="wallet.closing.gone=kill")
    await world.wait_until_serving()
    try:
        with suppress(errors.PoolError):
            await leaving.close(farmer)
        await world.wait_until_dead()
    finally:
        await world.restart()
        await world.wait_until_serving()
    closed = await leaving.closed(farmer)
    assert closed.transaction_hash == ""
    assert await leaving.account(address) is None
