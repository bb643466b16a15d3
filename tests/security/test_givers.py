"""Wallet takes an order about money from its giver, not from a service that says whose it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import (
    wallet_pb2,
    wallet_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair

from devstack.stack import Stack, StackConfig, open_stack
from libs.common.errors import FailedPreconditionError, PermissionDeniedError
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind
from tests.support.database import connect

pytestmark = pytest.mark.e2e

FIRST, SECOND, THIRD = (Keypair.random().public_key for _ in range(3))


@asynccontextmanager
async def doors(stack: Stack, kind: CallerKind, name: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Registry, withdrawals and wallets, as somebody."""
    transport = stack.transport(kind, name)
    async with (
        open_channel(stack.target("registry"), transport, name="registry") as registry,
        open_channel(stack.target("wallet"), transport, name="wallet") as wallet,
    ):
        yield (
            registry_pb2_grpc.RegistryServiceStub(registry),
            withdrawal_pb2_grpc.WithdrawalServiceStub(wallet),
            wallet_pb2_grpc.WalletServiceStub(wallet),
        )


async def register(registry: Any, name: str) -> tuple[str, str]:
    """Return the ids of a new pooler and of its farmer, who has a payout address."""
    new = registry_pb2.RegisterPoolerRequest(
        request_id=name, name=name, public_key=Keypair.random().public_key
    )
    pooler = (await call(registry.RegisterPooler, new, timeout=20)).pooler.pooler_id
    farmer = registry_pb2.RegisterFarmerRequest(
        request_id=name, pooler_id=pooler, stake_percentage="0.5", payout_wallet_address=FIRST
    )
    return pooler, (await call(registry.RegisterFarmer, farmer, timeout=20)).farmer_id


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
        doors(stack, CallerKind.OPERATOR, "ann") as (registry, _, _),
        connect(stack.admin_dsn) as admin,
    ):
        honest, farmer = await register(registry, "honest")
        thief, _ = await register(registry, "thief")
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
            async with doors(stack, CallerKind.SERVICE, service) as (_, withdrawals, wallets):
                assert await reason(withdrawals.SetPayoutAddress, set_second) == "ACCESS_DENIED"
                assert await reason(wallets.SetStakeLimit, stake_all) == "ACCESS_DENIED"

        # Nor has a thief anything of all rows of registry saying that the farmer is the thief's.
        async with doors(stack, CallerKind.POOLER, thief) as (registry, withdrawals, wallets):
            assert await reason(withdrawals.SetPayoutAddress, set_second) == "NOT_YOURS"
            assert await reason(wallets.SetStakeLimit, stake_all) == "NOT_YOURS"
            assert await reason(registry.UpdateFarmer, note_third) == "PAYOUT_ADDRESS_NOT_SET"
            assert await reason(registry.UpdateFarmer, note_stake) == "STAKE_NOT_AGREED"

        async with doors(stack, CallerKind.POOLER, honest) as (_, withdrawals, wallets):
            asked = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer)
            found = await call(withdrawals.GetPayoutAddress, asked, timeout=20)
            assert (found.address, found.pending_address) == (FIRST, "")
            await call(withdrawals.SetPayoutAddress, set_third, timeout=20)
            found = await call(withdrawals.GetPayoutAddress, asked, timeout=20)
            assert (found.address, found.pending_address) == (FIRST, THIRD)
            # The pooler trusts no record of ours: it names where it expects the money to go.
            elsewhere = withdrawal_pb2.WithdrawRequest(
                request_id="one", farmer_id=farmer, amount=1, destination=THIRD
            )
            assert await reason(withdrawals.Withdraw, elsewhere) == "PAYOUT_ADDRESS_DIFFERS"
            wallet = (await call(wallets.SetStakeLimit, stake_all, timeout=20)).wallet
            assert wallet.stake_limit == "1"
