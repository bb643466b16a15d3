"""Calls of a running pool's registry and wallet, over mutual TLS, as somebody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kalepool.registry.v1 import registry_pb2_grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    approval_pb2_grpc,
    custody_pb2_grpc,
    engine_pb2_grpc,
    order_pb2_grpc,
    token_pb2_grpc,
    wallet_pb2_grpc,
    withdrawal_pb2_grpc,
)

from devstack.stack import Stack
from libs.common.grpc.client import open_channel
from libs.common.grpc.identity import CallerKind


@dataclass(frozen=True, kw_only=True)
class Stubs:
    """One caller's stubs."""

    #: Of registry.
    registry: Any
    #: Of wallet.
    wallets: Any
    agreements: Any
    withdrawals: Any
    custody: Any
    approvals: Any
    orders: Any
    engine: Any
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
            agreements=agreement_pb2_grpc.AgreementServiceStub(wallet),
            withdrawals=withdrawal_pb2_grpc.WithdrawalServiceStub(wallet),
            custody=custody_pb2_grpc.CustodyServiceStub(wallet),
            approvals=approval_pb2_grpc.ApprovalServiceStub(wallet),
            orders=order_pb2_grpc.OrderServiceStub(wallet),
            engine=engine_pb2_grpc.EngineServiceStub(wallet),
            tokens=token_pb2_grpc.TokenServiceStub(wallet),
        )


def own_mark(pooler_id: str) -> agreement_pb2.MarkPoolerRequest:
    """Return an operator's word that a pooler farms for itself.

    The pools of tests, trials and the demo are of one hand, which sets the payout addresses of its
    farmers itself.
    """
    return agreement_pb2.MarkPoolerRequest(pooler_id=pooler_id, farms_for_itself=True)


async def mark(stack: Stack, pooler_id: str) -> None:
    """Say, as an operator, that a pooler farms for itself."""
    async with stubs_of(stack, CallerKind.OPERATOR, "ann") as ann:
        await ann.agreements.MarkPooler(own_mark(pooler_id), timeout=20)
