"""Rows of wallet's tables as a test wants them, beside what wallet's own role reads and writes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from stellar_sdk import Keypair

from libs.common.db.pool import Database, open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.store import QUERIES
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.table_rows import insert_row, read_as_stored

BLOCK = 41
LEDGER = 1000
_NUMBERS = count(1)
_SETTLED = {"succeeded", "failed", "expired"}


@dataclass(frozen=True, kw_only=True)
class WalletRow:
    """A wallet and its owner, if it has one."""

    id: WalletId
    address: str
    farmer_id: FarmerId | None
    pooler_id: PoolerId | None

    @property
    def owner(self) -> FarmerId:
        """Return the farmer whose wallet it is."""
        assert self.farmer_id is not None
        return self.farmer_id


@dataclass(frozen=True, kw_only=True)
class WalletRows:
    """A writer with all rights, and wallet's own access to the same tables."""

    connection: Connection
    pool: Database

    async def insert(self, table: str, **values: object) -> None:
        """Write one row."""
        await insert_row(self.connection, table, **values)

    async def wallet(
        self, kind: str = "farmer", *, pooler: PoolerId | None = None, status: str = "ready"
    ) -> WalletRow:
        """Write a wallet; a farmer without a pooler gets one of its own."""
        is_farmer = kind == "farmer"
        row = WalletRow(
            id=WalletId(new_id()),
            address=Keypair.random().public_key,
            farmer_id=FarmerId(new_id()) if is_farmer else None,
            pooler_id=(pooler or PoolerId(new_id())) if is_farmer else None,
        )
        await self.insert(
            "wallet.wallets",
            id=row.id,
            kind=kind,
            farmer_id=row.farmer_id,
            pooler_id=row.pooler_id,
            address=row.address,
            status=status,
        )
        await self.insert("wallet.accounts", wallet_id=row.id)
        return row

    async def operation(
        self,
        wallet: WalletRow,
        kind: str,
        state: str = "succeeded",
        *,
        block: int = BLOCK,
        **values: object,
    ) -> OperationId:
        """Write an operation with what its state asks for."""
        operation_id, number = OperationId(new_id()), next(_NUMBERS)
        if kind == "work":
            values = {"zeros": 4, "nonce": number, "hash": bytes(32), **values}
        if state in {"signed", "sent"} and "transaction_id" not in values:
            values["transaction_id"] = await self.transaction(f"G{number}", state=state)
        if state in _SETTLED:
            values = {"settled_at": datetime.now(UTC), **values}
        if state in {"failed", "expired"}:
            values["reason"] = "FEE_CAP"
        await self.insert(
            "wallet.operations",
            id=operation_id,
            kind=kind,
            wallet_id=wallet.id,
            block_index=block,
            state=state,
            **values,
        )
        return operation_id

    async def transaction(
        self,
        source: str,
        *,
        sequence: int = 1,
        state: str = "succeeded",
        carries: Sequence[OperationId] = (),
    ) -> UUID:
        """Write a transaction that carries operations."""
        transaction_id = new_id()
        is_closed = state not in {"signed", "sent"}
        await self.insert(
            "wallet.transactions",
            id=transaction_id,
            state=state,
            source=source,
            sequence=sequence,
            hash=transaction_id.hex,
            lookup_hash=transaction_id.hex,
            envelope="",
            max_time=1000,
            fee_bid=100,
            signed_ledger=LEDGER,
            ledger=LEDGER if state in {"succeeded", "failed"} else None,
            closed_at=datetime.now(UTC) if is_closed else None,
        )
        for position, operation_id in enumerate(carries):
            await self.insert(
                "wallet.transaction_operations",
                transaction_id=transaction_id,
                position=position,
                operation_id=operation_id,
            )
        return transaction_id


@asynccontextmanager
async def open_wallet_rows(database: DatabaseAccess) -> AsyncIterator[WalletRows]:
    """Open the tables of a wallet in which nothing has happened yet."""
    await read_as_stored(database)
    async with (
        connect(database.admin_dsn) as connection,
        open_database(
            DatabaseAddress(dsn=database.dsn("wallet")),
            queries=QUERIES,
            pool_size=2,
            timeout_ms=10_000,
            name="test",
        ) as pool,
    ):
        yield WalletRows(connection=connection, pool=pool)
