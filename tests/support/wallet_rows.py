"""Rows of wallet's tables as a test of a single query wants them, written with all rights.

Each row has what its constraints ask for; a test names only what its query looks at. It writes the
rows that the query takes, and beside them rows that differ in one thing only, which it leaves.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.model import NewOperation, OperationKind, TransactionId
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.pool_world import eventually
from tests.support.table_rows import insert_row, read_as_stored

#: The block of an operation, unless a test says something else.
BLOCK = 5
#: The ledger that settled what is settled, and at which accounts were read.
LEDGER = 100
#: How long a statement waits for a row that another transaction holds.
_LOCK_TIMEOUT = "4s"
_IN_FLIGHT = {"signed", "sent"}


@dataclass(frozen=True, kw_only=True)
class WalletRow:
    """A wallet, and whose it is."""

    id: WalletId
    address: str
    #: None unless it is a farmer's.
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
    #: What wallet's own role reads and writes with.
    pool: Database
    #: Where another process with all rights connects.
    dsn: str
    #: Numbers that a test does not choose: of transactions, nonces, and blocks of payments.
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    # Writing ----------------------------------------------------------------------------------

    async def insert(self, table: str, **values: object) -> None:
        """Write one row."""
        await insert_row(self.connection, table, **values)

    async def wallet(
        self,
        kind: str = "farmer",
        *,
        id: UUID | None = None,  # noqa: A002
        pooler: PoolerId | None = None,
        status: str = "ready",
        stopped: str = "",
        leased_until: datetime | None = None,
        **account: object,
    ) -> WalletRow:
        """Write a wallet and its account; a farmer without a pooler gets one of its own."""
        wallet_id, is_farmer = WalletId(id or new_id()), kind == "farmer"
        row = WalletRow(
            id=wallet_id,
            address=f"G{wallet_id.hex.upper():A<55}",
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
            stopped=stopped,
            mac=ORDERS.for_wallet(
                row_id=row.id,
                kind=kind,
                farmer_id=row.farmer_id,
                pooler_id=row.pooler_id,
                address=row.address,
            ),
            **({} if leased_until is None else {"leased_until": leased_until}),
        )
        await self.insert("wallet.accounts", wallet_id=row.id, **account)
        return row

    async def operation(
        self,
        wallet: WalletRow,
        kind: str = "plant",
        state: str = "queued",
        *,
        id: UUID | None = None,  # noqa: A002
        block: int = BLOCK,
        **values: object,
    ) -> OperationId:
        """Write an operation; one in flight gets a transaction unless the test names one."""
        name = OperationId(id or new_id())
        row: dict[str, object] = {"kind": kind, "wallet_id": wallet.id, "block_index": block}
        if kind == "work":
            row |= {"zeros": 4, "nonce": next(self.numbers), "hash": bytes(32)}
        if state in _IN_FLIGHT and "transaction_id" not in values:
            row["transaction_id"] = await self.transaction(state=state)
        if state in {"succeeded", "failed", "expired"}:
            row["settled_at"] = datetime.now(UTC)
        if state in {"failed", "expired"}:
            row["reason"] = "REFUSED"
        columns = row | values
        # A harvest is asked for without an amount: the chain says what it pays.
        is_paid = kind == "harvest" and columns.get("settled_at") is not None
        asked = columns | ({"amount": 0} if is_paid else {})
        columns.setdefault("mac", order_of(name, asked))
        if columns.get("settled_at") is not None:
            columns.setdefault("end_mac", end_of(name, columns | {"state": state}))
        await self.insert("wallet.operations", id=name, state=state, **columns)
        return name

    async def carried(self, wallet: WalletRow, state: str = "signed", **values: Any) -> OperationId:
        """Write an operation in flight as the first one that a transaction carries."""
        carrier = await self.transaction(state=state)
        name = await self.operation(wallet, state=state, transaction_id=carrier, **values)
        await self.place(carrier, 1, name)
        return name

    async def transaction(
        self,
        source: str = "",
        state: str = "signed",
        carries: Sequence[UUID] = (),
        *,
        id: UUID | None = None,  # noqa: A002
        **values: object,
    ) -> TransactionId:
        """Write a transaction, of a source of its own unless one is named.

        The row of what it carries first is written last.
        """
        name = TransactionId(id or new_id())
        row: dict[str, Any] = dict.fromkeys(("hash", "lookup_hash", "envelope"), name.hex)
        row |= {"source": source or name.hex, "sequence": next(self.numbers), "max_time": 1000}
        row |= {"fee_bid": 100, "signed_ledger": LEDGER}
        if state not in _IN_FLIGHT:
            row["closed_at"] = datetime.now(UTC)
        if state in {"succeeded", "failed"}:
            row["ledger"] = LEDGER
        columns = row | values
        covered = ("source", "sequence", "bump_to", "lookup_hash", "max_time", "is_rent")
        numbers = {key: columns[key] for key in covered if key in columns}
        columns.setdefault(
            "mac", ORDERS.for_transaction(row_id=name, operation_ids=carries, **numbers)
        )
        await self.insert("wallet.transactions", id=name, state=state, **columns)
        for position, operation_id in reversed(list(enumerate(carries))):
            await self.place(name, position, operation_id)
        return name

    async def place(self, transaction_id: UUID, position: int, operation_id: UUID) -> None:
        """Have a transaction carry an operation at a place."""
        await self.insert(
            "wallet.transaction_operations",
            transaction_id=transaction_id,
            position=position,
            operation_id=operation_id,
        )

    async def payment(
        self,
        wallet: WalletRow,
        payer: WalletRow | None,
        kind: str = "withdraw",
        *,
        state: str = "queued",
        amount: int = 5,
        asset: str = "kale",
        destination: str = "outside",
        requested_at: datetime | None = None,
        **values: Any,
    ) -> OperationId:
        """Write a payment of a farmer's, or to a farmer, which belongs to a payer or to nobody."""
        columns = {"block": next(self.numbers), "amount": amount} | values
        operation_id = await self.operation(wallet, kind, state, **columns)
        if kind == "withdraw":
            withdrawal: dict[str, Any] = {
                "operation_id": operation_id,
                "wallet_id": wallet.id,
                "request_id": str(operation_id),
                "asset": asset,
                "amount": amount,
                "destination": destination,
                "requested_at": requested_at or datetime.now(UTC),
            }
            mac = ORDERS.for_withdrawal(**withdrawal)
            await self.insert("wallet.withdrawals", **withdrawal, mac=mac)
        if payer is not None:
            await self.assign(operation_id, payer)
        return operation_id

    async def assign(self, operation_id: UUID, payer: WalletRow) -> None:
        """Give a payment to a payer."""
        mac = ORDERS.for_payment(operation_id, payer.id)
        await self.insert("wallet.payments", operation_id=operation_id, payer_id=payer.id, mac=mac)

    async def shown(self, payer: WalletRow, *targets: int) -> None:
        """Write that nodes showed a payer at these targets."""
        for target in targets:
            mac = ORDERS.for_shown_target(payer.address, target)
            await self.insert("wallet.shown_targets", payer_id=payer.id, target=target, mac=mac)

    async def pause(self, *wallets: WalletRow) -> None:
        """Write that nothing is signed for these wallets."""
        for wallet in wallets:
            await self.insert(
                "wallet.pauses",
                id=new_id(),
                scope="wallet",
                target=wallet.id,
                reason="a test",
                paused_by="me",
            )

    # Reading ----------------------------------------------------------------------------------

    async def values(self, table: str, column: str, key: str = "id") -> dict[UUID, object]:
        """Return one column of a table by another one."""
        query = f"SELECT {key} AS key, {column} AS value FROM {table}"  # noqa: S608  (ours)
        return {row["key"]: row["value"] for row in await self.connection.fetch(query)}

    async def operations(self, column: str) -> dict[UUID, object]:
        """Return a column of all operations by id."""
        return await self.values("wallet.operations", column)

    async def transactions(self, column: str) -> dict[UUID, object]:
        """Return a column of all transactions by id."""
        return await self.values("wallet.transactions", column)

    # Other processes --------------------------------------------------------------------------

    @asynccontextmanager
    async def other(self) -> AsyncIterator["WalletRows"]:
        """Open another process's transaction, which is committed when the block ends."""
        async with connect(self.dsn) as connection, connection.transaction():
            yield replace(self, connection=connection)

    @asynccontextmanager
    async def held(self, table: str, row_id: UUID) -> AsyncIterator[None]:
        """Have another process hold the lock of a row while the block runs."""
        async with self.other() as other:
            query = f"SELECT 1 FROM {table} WHERE id = $1 FOR UPDATE"  # noqa: S608  (ours)
            assert await other.connection.fetchval(query, row_id)
            yield

    async def is_free(self, table: str, row_id: UUID) -> bool:
        """Tell whether nobody holds the lock of a row."""
        query = f"SELECT 1 FROM {table} WHERE id = $1 FOR UPDATE SKIP LOCKED"  # noqa: S608  (ours)
        return await self.connection.fetchval(query, row_id) is not None

    async def until_somebody_waits(self) -> None:
        """Wait until a statement waits for a lock."""

        async def waits() -> bool:
            query = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
            return bool(await self.connection.fetchval(query))

        await eventually(waits)


def order_of(operation_id: UUID, columns: Mapping[str, Any]) -> bytes:
    """Return the authenticator of an operation's row."""
    operation = NewOperation(
        id=OperationId(operation_id),
        wallet_id=columns["wallet_id"],
        amount=columns.get("amount", 0),
        nonce=columns.get("nonce"),
        hash=columns.get("hash"),
        zeros=columns.get("zeros"),
    )
    kind = OperationKind(columns["kind"])
    return ORDERS.for_operation(kind, operation, block_index=columns["block_index"])


def end_of(operation_id: UUID, columns: Mapping[str, Any]) -> bytes:
    """Return the authenticator of how an operation ended, by its row."""
    nothing = {"amount": 0, "stake_returned": 0, "gap": None, "ledger": None}
    return ORDERS.for_end_of(nothing | dict(columns) | {"operation_id": operation_id})


@asynccontextmanager
async def open_wallet_rows(database: DatabaseAccess, pool: Database) -> AsyncIterator[WalletRows]:
    """Open the tables of a wallet in which nothing has happened yet.

    `pool` is wallet's own, with no connection yet. From now on rows come in the order in which they
    stand, unless a query asks for another one, and no statement waits for long.
    """
    await read_as_stored(database)
    async with connect(database.admin_dsn) as connection:
        await connection.execute(
            f"ALTER DATABASE \"{database.name}\" SET lock_timeout = '{_LOCK_TIMEOUT}'"
        )
    async with connect(database.admin_dsn) as connection:
        yield WalletRows(connection=connection, pool=pool, dsn=database.admin_dsn)


def ago(seconds: float = 0, *, minutes: float = 0, hours: float = 0) -> datetime:
    """Return the moment so long ago; a negative time is one to come."""
    return datetime.now(UTC) - timedelta(seconds=seconds, minutes=minutes, hours=hours)
