"""Rows of wallet's tables around payments and fees, as a superuser writes them.

A test of one query writes the rows that the query takes, and beside them rows that differ in one
thing only, which it leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.model import TransactionId
from tests.support.database import Connection, DatabaseAccess, connect

#: The ledger at which rows are due, unless a test says something else.
LEDGER = 100
#: Switched off, so that rows come in the order that a query asks for, and in no other by chance.
_IN_ORDER = ("indexscan", "indexonlyscan", "bitmapscan", "mergejoin", "sort")
_LOCK_IS_WAITED_FOR = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A wallet and whose it is."""

    id: WalletId
    address: str
    #: None unless it is a farmer's.
    farmer_id: FarmerId | None
    pooler_id: PoolerId | None


def ago(**parts: float) -> datetime:
    """Return the moment that lies so much in the past."""
    return datetime.now(UTC) - timedelta(**parts)


@dataclass(frozen=True, kw_only=True)
class PaymentRows:
    """A writer of rows, by a connection that has all rights."""

    connection: Connection
    #: Blocks of operations and numbers of transactions that a test does not choose.
    numbers: "count[int]" = field(default_factory=count)

    async def insert(self, table: str, **values: object) -> None:
        """Write one row of a table of the schema wallet."""
        await self.connection.copy_records_to_table(
            table, schema_name="wallet", columns=list(values), records=[tuple(values.values())]
        )

    async def account(
        self,
        kind: str = "farmer",
        *,
        id: UUID | None = None,  # noqa: A002
        pooler_id: PoolerId | None = None,
        **values: object,
    ) -> Account:
        """Write a wallet; a farmer's has a pooler of its own unless one is named."""
        wallet_id = id or new_id()
        is_farmer = kind == "farmer"
        account = Account(
            id=WalletId(wallet_id),
            address=f"address {wallet_id.hex}",
            farmer_id=FarmerId(new_id()) if is_farmer else None,
            pooler_id=(pooler_id or PoolerId(new_id())) if is_farmer else None,
        )
        row = {"status": "ready"} | values
        await self.insert(
            "wallets",
            id=account.id,
            kind=kind,
            farmer_id=account.farmer_id,
            pooler_id=account.pooler_id,
            address=account.address,
            **row,
        )
        return account

    async def operation(
        self, account: Account, kind: str, state: str = "queued", **values: object
    ) -> OperationId:
        """Write an operation with all that its state asks for."""
        row: dict[str, object] = {"id": new_id(), "block_index": next(self.numbers)}
        if kind == "work":
            # Of one that was found nobody knows the nonce.
            row |= {"zeros": 4, "is_found": True}
        if state in {"failed", "expired"}:
            row["reason"] = "REFUSED"
        if state in {"succeeded", "failed", "expired"}:
            row["settled_at"] = datetime.now(UTC)
        if state in {"signed", "sent"}:
            row["transaction_id"] = await self.transaction("nobody", "excluded")
        row |= values
        await self.insert("operations", kind=kind, wallet_id=account.id, state=state, **row)
        return OperationId(UUID(str(row["id"])))

    async def payment(
        self,
        account: Account,
        payer: Account | None,
        kind: str = "withdraw",
        *,
        state: str = "queued",
        amount: int = 5,
        asset: str = "kale",
        destination: str = "outside",
        **values: object,
    ) -> OperationId:
        """Write a payment of a farmer's, or to a farmer, which belongs to a payer or to nobody."""
        operation_id = await self.operation(account, kind, state, amount=amount, **values)
        if kind == "withdraw":
            await self.insert(
                "withdrawals",
                operation_id=operation_id,
                wallet_id=account.id,
                request_id=str(operation_id),
                asset=asset,
                amount=amount,
                destination=destination,
            )
        if payer is not None:
            await self.insert("payments", operation_id=operation_id, payer_id=payer.id)
        return operation_id

    async def transaction(
        self,
        source: str,
        state: str = "succeeded",
        carries: Sequence[OperationId] = (),
        *,
        id: UUID | None = None,  # noqa: A002
        **values: object,
    ) -> TransactionId:
        """Write a transaction that carries operations; the last of them is written first."""
        name = id or new_id()
        row: dict[str, object] = {"id": name, "sequence": next(self.numbers), "fee_bid": 100}
        if state in {"succeeded", "failed"}:
            row["ledger"] = LEDGER
        if state not in {"signed", "sent"}:
            row["closed_at"] = datetime.now(UTC)
        row |= {"hash": name.hex, "lookup_hash": name.hex, "envelope": "", "max_time": 1}
        row |= {"signed_ledger": LEDGER} | values
        await self.insert("transactions", source=source, state=state, **row)
        for position, operation_id in reversed(list(enumerate(carries))):
            await self.insert(
                "transaction_operations",
                transaction_id=name,
                position=position,
                operation_id=operation_id,
            )
        return TransactionId(name)

    async def shown(self, payer: Account, *targets: int) -> None:
        """Write that nodes showed a payer at these targets."""
        for target in targets:
            await self.insert("shown_targets", payer_id=payer.id, target=target)

    async def pause(self, account: Account) -> None:
        """Write that nothing is signed for a wallet."""
        await self.insert(
            "pauses", id=new_id(), scope="wallet", target=account.id, reason="", paused_by=""
        )

    async def done_or_waiting(self, task: "asyncio.Task[object]") -> None:
        """Wait until a task is done, or a statement waits for a lock that another one holds."""
        while not task.done():
            if await self.connection.fetchval(_LOCK_IS_WAITED_FOR):
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def payment_rows(database: DatabaseAccess) -> AsyncIterator[PaymentRows]:
    """Open a writer of rows in a database, whose later connections find no order by chance."""
    async with connect(database.admin_dsn) as connection:
        for name in _IN_ORDER:
            await connection.execute(f'ALTER DATABASE "{database.name}" SET enable_{name} = off')
        yield PaymentRows(connection=connection)


def backwards(amount: int) -> list[UUID]:
    """Return so many ids, the greatest first: rows of this order stand the wrong way round."""
    return sorted((new_id() for _ in range(amount)), reverse=True)
