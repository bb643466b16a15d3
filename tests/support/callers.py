"""Calls of a running pool's registry and wallet, over mutual TLS, as somebody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import (
    approval_pb2_grpc,
    custody_pb2_grpc,
    token_pb2_grpc,
    wallet_pb2_grpc,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair

from devstack.stack import Stack
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import CallerKind


@dataclass(frozen=True, kw_only=True)
class Stubs:
    """One caller's stubs."""

    #: Of registry.
    registry: Any
    #: Of wallet.
    wallets: Any
    withdrawals: Any
    custody: Any
    approvals: Any
    tokens: Any


@asynccontextmanager
async def stubs_of(stack: Stack, kind: CallerKind, name: str) -> AsyncIterator[Stubs]:
    """Yield the stubs of whoever has such a certificate."""
    transport = stack.transport(kind, name)
    async with (
        open_channel(stack.target("registry"), transport, name="registry") as registry,
        open_channel(stack.target("wallet"), transport, name="wallet") as wallet,
    ):
        yield Stubs(
            registry=registry_pb2_grpc.RegistryServiceStub(registry),
            wallets=wallet_pb2_grpc.WalletServiceStub(wallet),
            withdrawals=withdrawal_pb2_grpc.WithdrawalServiceStub(wallet),
            custody=custody_pb2_grpc.CustodyServiceStub(wallet),
            approvals=approval_pb2_grpc.ApprovalServiceStub(wallet),
            tokens=token_pb2_grpc.TokenServiceStub(wallet),
        )


def new_pooler(name: str) -> registry_pb2.RegisterPoolerRequest:
    """Return the request that registers a pooler."""
    return registry_pb2.RegisterPoolerRequest(
        request_id=name, name=name, public_key=Keypair.random().public_key
    )


async def register(
    registry: Any,
    name: str,
    *,
    payout_address: str = "",
    new: registry_pb2.RegisterPoolerRequest | None = None,
) -> tuple[str, str]:
    """Return the ids of a new pooler and of its farmer, who stakes half of what it has."""
    new = new or new_pooler(name)
    pooler = (await call(registry.RegisterPooler, new, timeout=20)).pooler.pooler_id
    farmer = registry_pb2.RegisterFarmerRequest(
        request_id=name,
        pooler_id=pooler,
        stake_percentage="0.5",
        payout_wallet_address=payout_address,
    )
    return pooler, (await call(registry.RegisterFarmer, farmer, timeout=20)).farmer_id
