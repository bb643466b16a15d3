"""Wallet takes an order about money from its giver, not from a service that says whose it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2
from stellar_sdk import Keypair

from devstack.stack import Stack, StackConfig, open_stack
from libs.common.errors import FailedPreconditionError, PermissionDeniedError
from libs.common.grpc.client import call
from libs.common.grpc.identity import CallerKind
from tests.support.callers import register, stubs_of
from tests.support.database import connect

pytestmark = pytest.mark.e2e

FIRST, SECOND, THIRD = (Keypair.random().public_key for _ in range(3))


async def reason(method: Any, request: Any) -> str:
    """Return why a call is refused."""
    with pytest.raises((PermissionDeniedError, FailedPreconditionError)) as caught:
        await call(method, request, timeout=20)
    return caught.value.reason


@asynccontextmanager
async def two_poolers(directory: Path) -> AsyncIterator[tuple[Stack, str, str, str]]:
    """A pool with an honest pooler and its farmer, whose rows in registry a thief has taken."""
    config = StackConfig(directory=directory / "stack", services=("registry", "wallet"))
    async with (
        open_stack(config) as stack,
        stubs_of(stack, CallerKind.OPERATOR, "ann") as ann,
        connect(stack.admin_dsn) as admin,
    ):
        honest, farmer = await register(ann, "honest", payout_address=FIRST)
        thief, _ = await register(ann, "thief", payout_address=FIRST)
        await admin.execute(
            "UPDATE registry.farmers SET pooler_id = $2, payout_wallet_address = $3 WHERE id = $1",
            UUID(farmer),
            UUID(thief),
            SECOND,
        )
        yield stack, farmer, honest, thief


async def test_orders_about_money_are_their_givers_own_word(tmp_path: Path) -> None:
    async with two_poolers(tmp_path) as (stack, farmer, honest, thief):
        set_second = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer, address=SECOND)
        set_third = withdrawal_pb2.SetPayoutAddressRequest(farmer_id=farmer, address=THIRD)
        stake_all = wallet_pb2.SetStakeLimitRequest(farmer_id=farmer, stake_percentage="1")
        note_third = registry_pb2.UpdateFarmerRequest(farmer_id=farmer, payout_wallet_address=THIRD)
        note_stake = registry_pb2.UpdateFarmerRequest(farmer_id=farmer, stake_percentage="1")

        # Whoever has a service's certificate gives no such order.
        for service in ("registry", "plant"):
            async with stubs_of(stack, CallerKind.SERVICE, service) as theirs:
                assert (
                    await reason(theirs.withdrawals.SetPayoutAddress, set_second) == "ACCESS_DENIED"
                )
                assert await reason(theirs.wallets.SetStakeLimit, stake_all) == "ACCESS_DENIED"

        # Nor has a thief anything of all rows of registry saying that the farmer is the thief's.
        async with stubs_of(stack, CallerKind.POOLER, thief) as theirs:
            assert await reason(theirs.withdrawals.SetPayoutAddress, set_second) == "NOT_YOURS"
            assert await reason(theirs.wallets.SetStakeLimit, stake_all) == "NOT_YOURS"
            assert (
                await reason(theirs.registry.UpdateFarmer, note_third) == "PAYOUT_ADDRESS_NOT_SET"
            )
            assert await reason(theirs.registry.UpdateFarmer, note_stake) == "STAKE_NOT_AGREED"

        async with stubs_of(stack, CallerKind.POOLER, honest) as own:
            asked = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer)
            found = await call(own.withdrawals.GetPayoutAddress, asked, timeout=20)
            assert (found.address, found.pending_address) == (FIRST, "")
            await call(own.withdrawals.SetPayoutAddress, set_third, timeout=20)
            found = await call(own.withdrawals.GetPayoutAddress, asked, timeout=20)
            assert (found.address, found.pending_address) == (FIRST, THIRD)
            # The pooler trusts no record of ours: it names where it expects the money to go.
            elsewhere = withdrawal_pb2.WithdrawRequest(
                request_id="one",
                farmer_id=farmer,
                asset=withdrawal_pb2.WITHDRAWAL_ASSET_KALE,
                amount=1,
                destination=THIRD,
            )
            assert await reason(own.withdrawals.Withdraw, elsewhere) == "PAYOUT_ADDRESS_DIFFERS"
            wallet = (await call(own.wallets.SetStakeLimit, stake_all, timeout=20)).wallet
            assert wallet.stake_limit == "1"
