"""A wallet without a chain: it settles operations at once, with faults on demand.

The fake serves the wallet's batch RPCs over real gRPC and writes the wallet's own tables, so that
the views which the other services read show the same as with the real wallet.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import asyncpg
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import (
    data_entry_pb2,
    data_entry_pb2_grpc,
    payout_pb2_grpc,
    wallet_pb2,
    wallet_pb2_grpc,
)

from libs.common.errors import FailedPreconditionError, PoolError, UnavailableError
from libs.common.grpc.errors import to_status
from libs.common.ids import new_id
from libs.kale.hash import leading_zeros
from tests.support.fake_payouts import FakePayouts

GAP = 7
LEDGER = 123
REWARD = 500
STAKE_RETURNED = 250
FEE = 18_598
#: The account of the data entry.
TREASURY = "G" + "T" * 55


@dataclass(kw_only=True)
class Faults:
    """The faults of the fake wallet; tests change them at any time."""

    #: Farmers whose operations fail, each with the reason.
    failing: dict[UUID, str] = field(default_factory=dict)
    #: Whether a repeated request for failed operations returns the failure, as for a failure that
    #: no repetition cures.
    lasting: bool = False
    #: Number of results after which the next stream breaks; the field is 0 afterwards, and streams
    #: end normally.
    break_after: int = 0
    #: Number of calls that are answered UNAVAILABLE.
    unavailable: int = 0
    #: Farmers whose batches are answered UNAVAILABLE while they are in this set.
    stuck: set[UUID] = field(default_factory=set)
    #: Farmers whose batches are not answered before `go_on` is set.
    hanging: set[UUID] = field(default_factory=set)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    #: Reason with which every new batch is refused.
    refuse: str = ""
    #: Operations whose ends somebody else wrote, and farmers of whom that is so of each new one.
    tampered: set[UUID] = field(default_factory=set)
    forged: set[UUID] = field(default_factory=set)


class FakeDataEntry(data_entry_pb2_grpc.DataEntryServiceServicer):
    """A servicer of the data entry, in which a root stands at once."""

    def __init__(self) -> None:
        #: Roots by their days, in the order of the calls.
        self.roots: dict[int, bytes] = {}

    async def GetDataEntry(
        self, request: data_entry_pb2.GetDataEntryRequest, context: Any
    ) -> data_entry_pb2.GetDataEntryResponse:
        """Tell the account."""
        return data_entry_pb2.GetDataEntryResponse(account=TREASURY, name="kalepool root")

    async def PublishRoot(
        self, request: data_entry_pb2.PublishRootRequest, context: Any
    ) -> data_entry_pb2.PublishRootResponse:
        """Keep a root."""
        self.roots[request.day] = request.root
        entry = data_entry_pb2.DataEntry(
            day=request.day,
            root=request.root,
            operation_id=str(new_id()),
            state=wallet_pb2.OPERATION_STATE_SUCCEEDED,
            transaction_hash=request.root.hex(),
            ledger=LEDGER,
        )
        return data_entry_pb2.PublishRootResponse(entry=entry)


class FakeWallet(wallet_pb2_grpc.WalletServiceServicer):
    """A servicer of the batch RPCs, JudgeOperations, ListMovements and ListHoldings."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self.faults = Faults()
        #: What serves payouts beside it.
        self.payouts: FakePayouts = cast("Any", FakePayouts)()  # it serves what pays only
        self.data_entry = FakeDataEntry()
        #: Request ids of every call, in order.
        self.calls: list[str] = []
        #: What accounts hold on the chain.
        self.holdings: list[wallet_pb2.Holding] = []
        #: Two calls for the same farmer join one operation, as with wallet.
        self._turn = asyncio.Lock()

    async def BatchPlant(
        self, request: wallet_pb2.BatchPlantRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchPlantResponse]:
        """Plant a batch."""
        async for operation in self._serve("plant", request, context):
            yield wallet_pb2.BatchPlantResponse(operation=operation)

    async def BatchWork(
        self, request: wallet_pb2.BatchWorkRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchWorkResponse]:
        """Work a batch."""
        async for operation in self._serve("work", request, context):
            yield wallet_pb2.BatchWorkResponse(operation=operation)

    async def BatchHarvest(
        self, request: wallet_pb2.BatchHarvestRequest, context: Any
    ) -> AsyncIterator[wallet_pb2.BatchHarvestResponse]:
        """Harvest a batch."""
        async for operation in self._serve("harvest", request, context):
            yield wallet_pb2.BatchHarvestResponse(operation=operation)

    async def JudgeOperations(
        self, request: wallet_pb2.JudgeOperationsRequest, context: Any
    ) -> wallet_pb2.JudgeOperationsResponse:
        """Tell how operations ended, as the rows have it."""
        ids = [UUID(value) for value in request.operation_ids]
        return wallet_pb2.JudgeOperationsResponse(operations=await self._ended(ids))

    async def ListMovements(
        self, request: wallet_pb2.ListMovementsRequest, context: Any
    ) -> wallet_pb2.ListMovementsResponse:
        """Tell what ended, as the rows have it; nothing was withdrawn."""
        rows = await self._pool.fetch(
            "SELECT o.operation_id, o.kind::text, o.state::text, o.farmer_id, o.pooler_id, "
            "o.block_index, o.amount, o.fee_charged, "
            "(extract(epoch FROM o.settled_at) * 1000000)::bigint AS at_micros "
            "FROM wallet.all_operations AS o WHERE o.settled_at IS NOT NULL "
            "AND ((extract(epoch FROM o.settled_at) * 1000000)::bigint, o.operation_id) > ($1, $2) "
            "ORDER BY o.settled_at, o.operation_id LIMIT $3",
            request.after_micros,
            UUID(request.after_id) if request.after_id else UUID(int=0),
            request.page_size,
        )
        return wallet_pb2.ListMovementsResponse(movements=map(self._movement, rows))

    async def ListHoldings(
        self, request: wallet_pb2.ListHoldingsRequest, context: Any
    ) -> wallet_pb2.ListHoldingsResponse:
        """Tell what `holdings` says."""
        return wallet_pb2.ListHoldingsResponse(holdings=self.holdings)

    def _movement(self, row: "asyncpg.Record") -> wallet_pb2.Movement:
        operation = self._message(row["operation_id"], row["state"])
        operation.kind = wallet_pb2.OperationKind.Value(f"OPERATION_KIND_{row['kind'].upper()}")
        operation.farmer_id = str(row["farmer_id"] or "")
        operation.pooler_id = str(row["pooler_id"] or "")
        operation.block_index = row["block_index"]
        operation.amount = row["amount"]
        operation.fee_charged = row["fee_charged"]
        return wallet_pb2.Movement(operation=operation, at_micros=row["at_micros"])

    async def _ended(self, ids: Sequence[UUID]) -> list[wallet_pb2.Operation]:
        rows = await self._pool.fetch(
            "SELECT id, state::text FROM wallet.operations "
            "WHERE id = ANY($1::uuid[]) AND settled_at IS NOT NULL ORDER BY id",
            ids,
        )
        return [self._message(row["id"], row["state"]) for row in rows]

    def _message(self, operation_id: UUID, state: str) -> wallet_pb2.Operation:
        is_tampered = operation_id in self.faults.tampered
        name = "FAILED" if is_tampered else state.upper()
        reasons = [common_pb2.FAILURE_REASON_UNSPECIFIED, common_pb2.FAILURE_REASON_TAMPERED]
        return wallet_pb2.Operation(
            operation_id=str(operation_id),
            state=wallet_pb2.OperationState.Value(f"OPERATION_STATE_{name}"),
            reason=reasons[is_tampered],
        )

    async def _serve(
        self, kind: str, request: Any, context: Any
    ) -> AsyncIterator[wallet_pb2.Operation]:
        self.calls.append(request.request_id)
        try:
            operations = await self._settle(kind, request)
        except PoolError as error:
            await context.abort_with_status(to_status(error))
        for sent, operation in enumerate(await self._ended(operations)):
            if self.faults.break_after and sent == self.faults.break_after:
                self.faults.break_after = 0
                await context.abort_with_status(to_status(UnavailableError("broken")))
            yield operation

    async def _settle(self, kind: str, request: Any) -> Sequence[UUID]:
        if self.faults.unavailable:
            self.faults.unavailable -= 1
            raise UnavailableError("away")
        if any(UUID(item.farmer_id) in self.faults.hanging for item in request.operations):
            await self.faults.go_on.wait()
        if any(UUID(item.farmer_id) in self.faults.stuck for item in request.operations):
            raise UnavailableError("stuck")
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        async with self._turn, self._pool.acquire() as connection, connection.transaction():
            known = await connection.fetchval(
                "SELECT arguments_hash FROM wallet.batches WHERE request_id = $1",
                request.request_id,
            )
            if known is None and self.faults.refuse:
                raise FailedPreconditionError("refused", reason=self.faults.refuse)
            if known not in {None, digest}:
                raise FailedPreconditionError("reused", reason="REQUEST_ID_REUSED")
            if known is None:
                await self._insert(connection, kind, request, digest)
            rows = await connection.fetch(
                "SELECT operation_id FROM wallet.batch_operations WHERE request_id = $1 ORDER BY 1",
                request.request_id,
            )
        return [row["operation_id"] for row in rows]

    async def _insert(self, connection: Any, kind: str, request: Any, digest: bytes) -> None:
        await connection.execute(
            "INSERT INTO wallet.batches (request_id, kind, block_index, arguments_hash) "
            "VALUES ($1, $2::wallet.operation_kind, $3, $4)",
            request.request_id,
            kind,
            request.block_index,
            digest,
        )
        for item in request.operations:
            operation_id = await self._operation(connection, kind, request.block_index, item)
            await connection.execute(
                "INSERT INTO wallet.batch_operations VALUES ($1, $2)",
                request.request_id,
                operation_id,
            )

    async def _operation(self, connection: Any, kind: str, block: int, item: Any) -> UUID:
        farmer = UUID(item.farmer_id)
        wallet_id = await connection.fetchval(
            "SELECT id FROM wallet.wallets WHERE farmer_id = $1", farmer
        )
        nonce = item.nonce if kind == "work" else None
        joined = await connection.fetchval(
            "SELECT id FROM wallet.operations WHERE wallet_id = $1 AND kind = "
            "$2::wallet.operation_kind AND block_index = $3 AND nonce IS NOT DISTINCT FROM "
            "$4::numeric AND ($5 OR state NOT IN ('failed', 'expired'))",
            wallet_id,
            kind,
            block,
            nonce,
            self.faults.lasting,
        )
        if joined is not None:
            return cast("UUID", joined)
        reason = self.faults.failing.get(farmer)
        operation_id = new_id()
        if farmer in self.faults.forged:
            self.faults.tampered.add(operation_id)
        amounts = {"plant": getattr(item, "stake", 0), "harvest": REWARD, "work": 0}
        await connection.execute(
            "INSERT INTO wallet.operations (id, kind, wallet_id, block_index, state, amount, "
            "stake_returned, nonce, hash, zeros, gap, fee_charged, ledger, reason, error_message, "
            "settled_at) VALUES ($1, $2::wallet.operation_kind, $3, $4, "
            "$5::wallet.operation_state, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, now())",
            operation_id,
            kind,
            wallet_id,
            block,
            "failed" if reason else "succeeded",
            amounts[kind],
            STAKE_RETURNED if kind == "harvest" else 0,
            nonce,
            item.hash if kind == "work" else None,
            leading_zeros(item.hash) if kind == "work" else None,
            GAP,
            FEE,
            LEDGER,
            reason,
            "made to fail" if reason else "",
        )
        return operation_id


@asynccontextmanager
async def fake_wallet(admin_dsn: str) -> AsyncIterator[tuple[FakeWallet, str]]:
    """Yield a serving fake and its target."""
    async with asyncpg.create_pool(admin_dsn, min_size=0, max_size=8) as pool:
        wallet: FakeWallet = cast("Any", FakeWallet)(pool)  # it serves the batch RPCs only
        server = grpc.aio.server()
        wallet_pb2_grpc.add_WalletServiceServicer_to_server(wallet, server)
        payout_pb2_grpc.add_PayoutServiceServicer_to_server(cast("Any", wallet.payouts), server)
        checks = health.aio.HealthServicer()
        await checks.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        data_entry_pb2_grpc.add_DataEntryServiceServicer_to_server(wallet.data_entry, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield wallet, f"127.0.0.1:{port}"
        finally:
            await server.stop(None)
