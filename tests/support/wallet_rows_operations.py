"""Rows of wallet's tables, written with all rights, for tests of single queries.

Each row has what its constraints ask for; a test names only what its query looks at.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.model import TransactionId
from tests.support.database import Connection, DatabaseAccess, connect
from tests.support.pool_world import eventually

#: The ledger that settled what is settled.
LEDGER = 100
#: Switched off, so that rows come in the order that a query asks for, and in no other by chance.
_ORDERLY = ("indexscan", "indexonlyscan", "bitmapscan", "mergejoin", "sort")
#: How long a statement waits for a row that another transaction holds.
_LOCK_TIMEOUT = "4s"

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A wallet, and whose it is."""

    wallet_id: WalletId
    address: str
    farmer_id: FarmerId | None
    pooler_id: PoolerId | None


class Rows:
    """A writer of rows."""

    def __init__(self, connection: Connection, dsn: str) -> None:
        self.connection = connection
        self._dsn = dsn

    async def insert(self, table: str, **values: object) -> None:
        """Write one row."""
        columns = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        query = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608  (ours)
        await self.connection.execute(query, *values.values())

    async def wallet(
        self,
        kind: str = "farmer",
        *,
        wallet_id: UUID | None = None,
        status: str = "ready",
        leased_until: datetime | None = None,
        stopped: str = "",
        **account: object,
    ) -> Owner:
        """Write a wallet with the row of its account; each farmer has a pooler of its own."""
        is_farmer = kind == "farmer"
        owner = Owner(
            wallet_id=WalletId(wallet_id or new_id()),
            address=f"G{new_id().hex.upper():A<55}",
            farmer_id=FarmerId(new_id()) if is_farmer else None,
            pooler_id=PoolerId(new_id()) if is_farmer else None,
        )
        await self.insert(
            "wallet.wallets",
            id=owner.wallet_id,
            kind=kind,
            farmer_id=owner.farmer_id,
            pooler_id=owner.pooler_id,
            address=owner.address,
            status=status,
            stopped=stopped,
            **({} if leased_until is None else {"leased_until": leased_until}),
        )
        await self.insert("wallet.accounts", wallet_id=owner.wallet_id, **account)
        return owner

    async def operation(
        self,
        owner: Owner,
        kind: str = "plant",
        block: int = 5,
        state: str = "queued",
        *,
        operation_id: UUID | None = None,
        **values: object,
    ) -> OperationId:
        """Write an operation; of a work, one with a nonce of its own."""
        name = OperationId(operation_id or new_id())
        columns: dict[str, object] = {}
        if kind == "work":
            columns |= {"zeros": 4, "nonce": name.int % 2**64, "hash": bytes(32)}
        if state in {"succeeded", "failed", "expired"}:
            columns |= {"settled_at": datetime.now(UTC)}
        if state in {"failed", "expired"}:
            columns |= {"reason": "REFUSED"}
        columns |= {"kind": kind, "wallet_id": owner.wallet_id, "block_index": block}
        await self.insert("wallet.operations", id=name, state=state, **(columns | values))
        return name

    async def transaction(
        self,
        source: str = "",
        state: str = "signed",
        *,
        transaction_id: UUID | None = None,
        carries: Sequence[UUID] = (),
        **values: object,
    ) -> TransactionId:
        """Write a transaction with the places of what it carries; without a source, of its own."""
        name = TransactionId(transaction_id or new_id())
        columns: dict[str, object] = dict.fromkeys(("hash", "lookup_hash", "envelope"), name.hex)
        columns |= {"sequence": 1, "max_time": 1000, "fee_bid": 100, "signed_ledger": LEDGER}
        if state in {"succeeded", "failed", "excluded"}:
            columns |= {"closed_at": datetime.now(UTC)}
        if state in {"succeeded", "failed"}:
            columns |= {"ledger": LEDGER}
        columns |= {"source": source or name.hex, "state": state}
        await self.insert("wallet.transactions", id=name, **(columns | values))
        for position, operation_id in enumerate(carries, start=1):
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

    async def carried(self, owner: Owner, state: str = "signed", **values: Any) -> OperationId:
        """Write an operation with the transaction that carries it, from a source of its own."""
        name = OperationId(new_id())
        carrier = await self.transaction(state=state if state == "sent" else "signed")
        await self.operation(
            owner, state=state, operation_id=name, transaction_id=carrier, **values
        )
        await self.place(carrier, 1, name)
        return name

    async def pause(self, *owners: Owner) -> None:
        """Pause wallets."""
        for owner in owners:
            await self.insert(
                "wallet.pauses",
                id=new_id(),
                scope="wallet",
                target=owner.wallet_id,
                reason="a test",
                paused_by="me",
            )

    async def payment(self, operation_id: UUID, payer: Owner) -> None:
        """Give a payment to a payer."""
        await self.insert("wallet.payments", operation_id=operation_id, payer_id=payer.wallet_id)

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

    @asynccontextmanager
    async def other(self) -> AsyncIterator["Rows"]:
        """Open another process's transaction, which is committed when the block ends."""
        async with connect(self._dsn) as connection, connection.transaction():
            yield Rows(connection, self._dsn)

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


@asynccontextmanager
async def open_rows(database: DatabaseAccess) -> AsyncIterator[Rows]:
    """Open a writer of a database's rows, before anything else connects to that database.

    From then on rows come in no order but the one that a query asks for, and no statement waits for
    long.
    """
    async with connect(database.admin_dsn) as connection:
        for name in _ORDERLY:
            await connection.execute(f'ALTER DATABASE "{database.name}" SET enable_{name} = off')
        await connection.execute(
            f"ALTER DATABASE \"{database.name}\" SET lock_timeout = '{_LOCK_TIMEOUT}'"
        )
    async with connect(database.admin_dsn) as connection:
        yield Rows(connection, database.admin_dsn)


def ids(count: int) -> list[UUID]:
    """Return new ids in their order."""
    return sorted(new_id() for _ in range(count))


def mixed(items: Sequence[_T]) -> list[_T]:
    """Return three or more items in an order that is neither theirs nor its reverse.

    The first of them is at neither end.
    """
    return [*items[1:-1:2], items[0], items[-1], *items[2:-1:2]]


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds ago."""
    return datetime.now(UTC) - timedelta(seconds=seconds)
