"""The rows of a pool, for tests of one service: poolers, farmers, wallets, the chain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from stellar_sdk import Keypair

from libs.common.db.pool import Database
from libs.common.ids import new_id
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.table_rows import read_as_stored

ENTROPY = bytes(range(32))


@dataclass(frozen=True, kw_only=True)
class Person:
    """A farmer and its wallet."""

    farmer_id: UUID
    wallet_id: UUID
    address: str


@asynccontextmanager
async def open_tables_of(
    database: DatabaseAccess, service: str, queries: Path | Sequence[Path]
) -> AsyncIterator[tuple["PoolWorld", Database]]:
    """Open a service's queries by its own role, beside a writer of rows, which are in no order."""
    await read_as_stored(database)
    async with (
        connect(database.admin_dsn) as connection,
        open_as(database, service, queries) as opened,
    ):
        yield PoolWorld(connection), opened


class PoolWorld:
    """A writer that has all rights and writes the rows of other services."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self.connection = connection

    async def pooler(self, *, active: bool = True, max_farmers: int = 1000) -> UUID:
        """Write a pooler."""
        pooler_id = new_id()
        await self.connection.execute(
            "INSERT INTO registry.poolers (id, name, public_key, max_farmers, is_active) "
            "VALUES ($1, 'test', $2, $3, $4)",
            pooler_id,
            Keypair.random().public_key,
            max_farmers,
            active,
        )
        return pooler_id

    async def farmer(
        self,
        pooler_id: UUID,
        *,
        balance: int = 1_000,
        stake: str = "0.25",
        status: str = "active",
        funded: bool = True,
        trustline: bool = True,
    ) -> Person:
        """Write a farmer with a wallet, and with balances as the wallet has read them."""
        person = Person(farmer_id=new_id(), wallet_id=new_id(), address=Keypair.random().public_key)
        await self.connection.execute(
            "INSERT INTO wallet.wallets (id, kind, farmer_id, pooler_id, address) "
            "VALUES ($1, 'farmer', $2, $3, $4)",
            person.wallet_id,
            person.farmer_id,
            pooler_id,
            person.address,
        )
        await self.connection.execute(
            "INSERT INTO wallet.accounts (wallet_id, is_funded, has_trustline, kale_stroops) "
            "VALUES ($1, $2, $3, $4)",
            person.wallet_id,
            funded,
            trustline,
            balance,
        )
        await self.connection.execute(
            "INSERT INTO registry.farmers (id, wallet_id, custodial_public_key, pooler_id, "
            "stake_percentage, status, request_id, digest) VALUES ($1, $2, $3, $4, "
            "$5::text::numeric, $6::registry.farmer_status, $7, '')",
            person.farmer_id,
            person.wallet_id,
            person.address,
            pooler_id,
            stake,
            status,
            str(person.farmer_id),
        )
        return person

    async def owned(self, person: Person, account: str) -> None:
        """Write the account that speaks for a farmer from now on; empty: none."""
        await self.connection.execute(
            "INSERT INTO wallet.owner_accounts (wallet_id, number, address, registered_at, "
            "effective_at) SELECT $1, 1 + count(*), $2, now(), now() FROM wallet.owner_accounts "
            "WHERE wallet_id = $1",
            person.wallet_id,
            account,
        )

    async def planted(self, pooler_id: UUID, person: Person, block: int, stake: int = 250) -> None:
        """Write a successful planting."""
        await self.connection.execute("SELECT plant.ensure_partition($1)", block)
        await self.connection.execute(
            "INSERT INTO plant.plantings (id, block_index, farmer_id, pooler_id, custodial_wallet, "
            "stake_amount, transaction_hash, ledger, fee_charged, status, planted_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, '', 100, 0, 'success', now())",
            new_id(),
            block,
            person.farmer_id,
            pooler_id,
            person.address,
            stake,
        )

    async def worked(self, pooler_id: UUID, person: Person, block: int, zeros: int = 4) -> None:
        """Write a successful work."""
        await self.connection.execute("SELECT work.ensure_partition($1)", block)
        await self.connection.execute(
            "INSERT INTO work.works (id, block_index, farmer_id, pooler_id, custodial_wallet, "
            "nonce, hash, zeros, gap, transaction_hash, ledger, fee_charged, status, worked_at) "
            "VALUES ($1, $2, $3, $4, $5, 1, $6, $7, 3, '', 103, 0, 'success', now())",
            new_id(),
            block,
            person.farmer_id,
            pooler_id,
            person.address,
            bytes(32),
            zeros,
        )

    async def found(self, person: Person, block: int, kind: str, **values: Any) -> UUID:
        """Write an operation that reconciliation recorded: settled, and requested by no batch."""
        return await self.settled(person, block, kind, is_found=True, **values)

    async def settled(
        self,
        person: Person,
        block: int,
        kind: str,
        *,
        id: UUID | None = None,  # noqa: A002
        reason: str | None = None,
        ledger: int | None = 103,
        **values: object,
    ) -> UUID:
        """Write an operation that has ended; the operation failed when there is a reason."""
        operation_id = id or new_id()
        names = "".join(f", {name}" for name in values)
        places = "".join(f", ${number}" for number in range(8, 8 + len(values)))
        await self.connection.execute(
            f"INSERT INTO wallet.operations (id, wallet_id, block_index, kind, state, reason, "  # noqa: S608  (the test's own words)
            f"ledger, settled_at{names}) VALUES ($1, $2, $3, $4::wallet.operation_kind, "
            f"$5::wallet.operation_state, $6, $7, now(){places})",
            operation_id,
            person.wallet_id,
            block,
            kind,
            "failed" if reason else "succeeded",
            reason,
            ledger,
            *values.values(),
        )
        return operation_id

    async def head(self, *, current: int, plantable: int | None = None, ledger: int = 100) -> None:
        """Write the head of the chain; the current block has just opened."""
        await self.connection.execute(
            "INSERT INTO chain.head (ledger, close_time, current_block, plantable_block, paused, "
            "block_seconds) VALUES ($1, now(), $2, $3, false, 300) ON CONFLICT (singleton) "
            "DO UPDATE SET ledger = $1, current_block = $2, plantable_block = $3",
            ledger,
            current,
            current if plantable is None else plantable,
        )
        await self.connection.execute(
            "INSERT INTO chain.blocks (index, opened_ledger, opened_at, closes_at, entropy, "
            "min_gap, max_gap, min_zeros, max_zeros, min_stake, max_stake, staked_total, "
            "normalized_total, expires_ledger, updated_ledger) "
            "VALUES ($1, $2, $3, $3::timestamptz + interval '300 s', $4, 1, 40, 0, 8, 0, 1000, "
            "0, 0, $5, $2) "
            "ON CONFLICT DO NOTHING",
            current,
            ledger,
            datetime.now(UTC) - timedelta(seconds=5),
            ENTROPY,
            ledger + 17_280,
        )

    async def count(self, table: str, where: str = "true") -> int:
        """Return the number of rows of a table."""
        query = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608  (the test's own words)
        found: int = await self.connection.fetchval(query)
        return found


async def eventually(holds: Callable[[], Awaitable[object]], *, patience: float = 120) -> None:
    """Wait until a condition holds; fail when it does not hold within `patience` seconds."""
    ends = monotonic() + patience
    while not (found := await holds()):
        if monotonic() > ends:
            code = getattr(holds, "__code__", None)
            place = f"{code.co_filename}:{code.co_firstlineno}" if code else repr(holds)
            pytest.fail(f"not so after {patience} s: {place} still gives {found!r}")
        await asyncio.sleep(0.05)
