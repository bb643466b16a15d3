"""The wallet's custody without keys or a chain: real gRPC and real rows in the wallet's tables.

The fake keeps the promises that registry relies on: one wallet per farmer, committed before the
answer is sent. The fake can be stopped and started at the same port, refuse calls, and lose its
answers.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kalepool.wallet.v1 import (
    agreement_pb2,
    agreement_pb2_grpc,
    closing_pb2,
    closing_pb2_grpc,
    payout_pb2,
    payout_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
    withdrawal_pb2,
    withdrawal_pb2_grpc,
)
from stellar_sdk import Keypair

from libs.common.errors import AlreadyExistsError, PoolError, UnavailableError
from libs.common.grpc.errors import to_status
from libs.common.ids import new_id
from tests.support.database import connect


class FakeCustody(wallet_pb2_grpc.WalletServiceServicer):
    """A servicer of CreateWallet and GetWallet, for registry, as the proto promises them."""

    def __init__(self, dsn: str) -> None:
        """Take the `dsn` of the wallet's own role."""
        #: Calls of CreateWallet by farmer id, refused ones counted.
        self.calls: Counter[str] = Counter()
        #: Errors raised for these farmers, whoever asks.
        self.refusals: dict[str, PoolError] = {}
        #: Number of answers to lose after their wallet was made.
        self.answers_to_lose = 0
        #: All payout addresses that the fake was told, in order, by farmer id.
        self.payout_addresses: dict[str, list[str]] = {}
        #: The newest call of CreateWallet that made a wallet, by farmer id.
        self.created: dict[str, wallet_pb2.CreateWalletRequest] = {}
        #: The pool's rules for fees (decimals).
        self.operator_fee, self.max_fee = "0", "0.3"
        #: What farmers may stake at most (decimals), by farmer id.
        self.stake_limits: dict[str, str] = {}
        #: The addresses that poolers' custodial accounts pay them to, by pooler id.
        self.pooler_addresses: dict[str, str] = {}
        #: What becomes of accounts that are to be closed, by farmer or pooler id: an error, or
        #: whether it is gone; by default it is.
        self.closings: dict[str, PoolError | bool] = {}
        #: Calls of CloseAccount, by the same ids, in order.
        self.closed: list[str] = []
        self.port = 0
        self._dsn = dsn
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        """Return the fake's address (host:port), also while it is stopped."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; the second time at the same port."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(cast("Any", self), server)
        withdrawal_pb2_grpc.add_WithdrawalServiceServicer_to_server(
            cast("Any", _Payouts(self)), server
        )
        agreement_pb2_grpc.add_AgreementServiceServicer_to_server(cast("Any", _Rules(self)), server)
        payout_pb2_grpc.add_PayoutServiceServicer_to_server(_poolers(self), server)
        closer = cast("Any", _Closer(self))
        closing_pb2_grpc.add_ClosingServiceServicer_to_server(closer, server)
        checks = health.aio.HealthServicer()
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        self.port = server.add_insecure_port(self.target)
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await self._server.stop(None)
        self._server = None

    async def CreateWallet(
        self, request: wallet_pb2.CreateWalletRequest, context: Any
    ) -> wallet_pb2.CreateWalletResponse:
        """Return a new wallet, or the one that the farmer has already."""
        self.calls[request.farmer_id] += 1
        await self.refuse(request.farmer_id, context)
        wallet, is_new = await self._wallet_of(request.farmer_id, request.pooler_id)
        if is_new:
            self.payout_addresses.setdefault(request.farmer_id, []).append(request.payout_address)
            self.stake_limits[request.farmer_id] = request.stake_percentage
            self.created[request.farmer_id] = request
        if wallet.pooler_id != request.pooler_id:
            error = AlreadyExistsError("of another pooler", reason="WALLET_OF_OTHER_POOLER")
            await context.abort_with_status(to_status(error))
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            await context.abort_with_status(to_status(UnavailableError("the answer is lost")))
        return wallet_pb2.CreateWalletResponse(wallet=wallet)

    async def GetWallet(
        self, request: wallet_pb2.GetWalletRequest, context: Any
    ) -> wallet_pb2.GetWalletResponse:
        """Return what a farmer may stake; refuse as CreateWallet does."""
        await self.refuse(request.farmer_id, context)
        limit = self.stake_limits[request.farmer_id]
        wallet = wallet_pb2.Wallet(farmer_id=request.farmer_id, stake_limit=limit)
        return wallet_pb2.GetWalletResponse(wallet=wallet)

    async def refuse(self, farmer_id: str, context: Any) -> None:
        """End a call about a farmer who is refused."""
        if (refusal := self.refusals.get(farmer_id)) is not None:
            await context.abort_with_status(to_status(refusal))

    async def fund(self, farmer_id: str, *, has_trustline: bool = True) -> None:
        """Let the farmer's account exist on the chain from now on."""
        async with connect(self._dsn) as connection:
            await connection.execute(
                """INSERT INTO wallet.accounts (wallet_id, is_funded, has_trustline)
                SELECT id, true, $2 FROM wallet.wallets WHERE farmer_id = $1
                ON CONFLICT (wallet_id) DO UPDATE
                SET is_funded = true, has_trustline = excluded.has_trustline""",
                UUID(farmer_id),
                has_trustline,
            )

    async def _wallet_of(self, farmer_id: str, pooler_id: str) -> tuple[wallet_pb2.Wallet, bool]:
        """Return the farmer's wallet, and whether it was made now."""
        async with connect(self._dsn) as connection:
            made = await connection.execute(
                """INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address)
                VALUES ($1, 'farmer', $2, $3, $4) ON CONFLICT (farmer_id) DO NOTHING""",
                new_id(),
                UUID(farmer_id),
                UUID(pooler_id),
                Keypair.random().public_key,
            )
            row = await connection.fetchrow(
                "SELECT id, pooler_id, address FROM wallet.wallets WHERE farmer_id = $1",
                UUID(farmer_id),
            )
        assert row is not None
        wallet = wallet_pb2.Wallet(
            wallet_id=str(row["id"]),
            farmer_id=farmer_id,
            pooler_id=str(row["pooler_id"]),
            address=row["address"],
            status=wallet_pb2.WALLET_STATUS_PENDING,
        )
        return wallet, made == "INSERT 0 1"


class _Poolers:
    """A servicer of CreatePoolerWallet."""

    def __init__(self, custody: FakeCustody) -> None:
        self._custody = custody

    async def CreatePoolerWallet(
        self, request: payout_pb2.CreatePoolerWalletRequest, context: Any
    ) -> payout_pb2.CreatePoolerWalletResponse:
        """Keep the address that was named first."""
        await self._custody.refuse(request.pooler_id, context)
        known = self._custody.pooler_addresses
        address = known.setdefault(request.pooler_id, request.pooler_address)
        return payout_pb2.CreatePoolerWalletResponse(address=address, pooler_address=address)


def _poolers(custody: FakeCustody) -> Any:
    """Return a servicer that refuses all but CreatePoolerWallet."""
    base: Any = payout_pb2_grpc.PayoutServiceServicer
    return type("PayoutServicer", (_Poolers, base), {})(custody)


class _Payouts:
    """The part of WithdrawalService that registry calls."""

    def __init__(self, custody: FakeCustody) -> None:
        self._custody = custody

    def __getattr__(self, name: str) -> None:
        """Accept the name of any other RPC: these exist and are called by nobody."""

    async def GetPayoutAddress(
        self, request: withdrawal_pb2.GetPayoutAddressRequest, context: Any
    ) -> withdrawal_pb2.GetPayoutAddressResponse:
        """Return the newest payout address; refuse as CreateWallet does."""
        await self._custody.refuse(request.farmer_id, context)
        known = self._custody.payout_addresses[request.farmer_id]
        return withdrawal_pb2.GetPayoutAddressResponse(address=known[-1] if known else "")


class _Rules:
    """The part of AgreementService that registry calls."""

    def __init__(self, custody: FakeCustody) -> None:
        self._custody = custody

    def __getattr__(self, name: str) -> None:
        """Accept the name of any other RPC: these exist and are called by nobody."""

    async def GetAgreementRules(
        self, request: agreement_pb2.GetAgreementRulesRequest, context: Any
    ) -> agreement_pb2.GetAgreementRulesResponse:
        """Return the pool's rules for fees."""
        return agreement_pb2.GetAgreementRulesResponse(
            operator_fee=self._custody.operator_fee, max_fee=self._custody.max_fee
        )


@asynccontextmanager
async def open_fake_custody(dsn: str) -> AsyncIterator[FakeCustody]:
    """Open a fake that listens while the block runs."""
    # The generated base class counts RPCs that nobody calls here as abstract.
    wallet: FakeCustody = cast("Any", FakeCustody)(dsn)
    await wallet.start()
    try:
        yield wallet
    finally:
        await wallet.stop()


class _Closer(closing_pb2_grpc.ClosingServiceServicer):
    """Closes accounts, as far as the test lets it."""

    def __init__(self, fake: FakeCustody) -> None:
        self._fake = fake

    async def CloseAccount(
        self, request: closing_pb2.CloseAccountRequest, context: Any
    ) -> closing_pb2.CloseAccountResponse:
        """Refuse, or tell how far it is."""
        owner = request.farmer_id or request.pooler_id
        self._fake.closed.append(owner)
        outcome = self._fake.closings.get(owner, True)
        if isinstance(outcome, PoolError):
            await context.abort_with_status(to_status(outcome))
        state = wallet_pb2.OPERATION_STATE_SUCCEEDED if outcome else wallet_pb2.OPERATION_STATE_SENT
        return closing_pb2.CloseAccountResponse(state=state)
