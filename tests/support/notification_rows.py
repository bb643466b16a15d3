"""Rows of notifications, webhooks and deliveries as a test of a single query wants them.

They are written with all rights, and no trigger adds anything to them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.db.pool import Database
from libs.common.ids import FarmerId, PoolerId, new_id
from services.registry.store.notifications import QUERIES, NotificationStore
from tests.support.database import Connection, DatabaseAccess
from tests.support.pool_world import PoolWorld, open_tables_of
from tests.support.table_rows import insert_row

#: The owner of operators' webhooks, as claims name it.
OPERATORS = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class NotificationRows:
    """A writer with all rights, and registry's own access to the same tables."""

    connection: Connection
    pool: Database
    store: NotificationStore
    world: PoolWorld
    #: Two poolers, and a farmer of each.
    one: PoolerId
    other: PoolerId
    mine: FarmerId
    theirs: FarmerId

    async def notifications(self, *numbers: int, **values: Any) -> None:
        """Write notifications, by default the first pooler's."""
        row = {"kind": "payout.made", "pooler_id": self.one, **values}
        for number in numbers:
            await insert_row(self.connection, "registry.notifications", number=number, **row)

    async def webhook(self, pooler: UUID | None = None, **values: Any) -> UUID:
        """Write a webhook; the operators' without a pooler."""
        row = {
            "id": new_id(),
            "pooler_id": pooler,
            "url": "https://hooks.example.com/",
            "kinds": [],
            "key_name": "0123456789abcdef",
            "created_by": "ann",
            **values,
        }
        if row.get("disabled_at") is not None:
            row.setdefault("disabled_reason", "no answer")
        await insert_row(self.connection, "registry.webhooks", **row)
        name = row["id"]
        assert isinstance(name, UUID)
        return name

    async def deliveries(self, webhook: UUID, *numbers: int, **values: Any) -> None:
        """Write deliveries of notifications; what has ended did so now unless a test says when."""
        row = {"due_at": ago(60), **values}
        if row.get("state") in {"delivered", "failed", "cancelled"}:
            row.setdefault("ended_at", ago())
        for number in numbers:
            await insert_row(
                self.connection,
                "registry.deliveries",
                webhook_id=webhook,
                notification_number=number,
                **row,
            )

    async def states(self, column: str = "state::text") -> dict[tuple[UUID, int], Any]:
        """Return a column of all deliveries."""
        rows = await self.connection.fetch(
            f"SELECT webhook_id, notification_number, {column} AS value "  # noqa: S608  (ours)
            "FROM registry.deliveries"
        )
        return {(row["webhook_id"], row["notification_number"]): row["value"] for row in rows}

    async def webhooks(self, column: str) -> dict[UUID, Any]:
        """Return a column of all webhooks."""
        rows = await self.connection.fetch(
            f"SELECT id, {column} AS value FROM registry.webhooks"  # noqa: S608  (ours)
        )
        return {row["id"]: row["value"] for row in rows}


@asynccontextmanager
async def open_notification_rows(database: DatabaseAccess) -> AsyncIterator[NotificationRows]:
    """Open the tables; rows are read in the order in which they stand."""
    async with open_tables_of(database, "registry", QUERIES) as (world, opened):
        one, other = [PoolerId(await world.pooler()) for _ in range(2)]
        mine, theirs = [await world.farmer(pooler) for pooler in (one, other)]
        await world.connection.execute("SET session_replication_role = replica")
        yield NotificationRows(
            connection=world.connection,
            pool=opened,
            store=NotificationStore(opened),
            world=world,
            one=one,
            other=other,
            mine=FarmerId(mine.farmer_id),
            theirs=FarmerId(theirs.farmer_id),
        )


def ago(seconds: float = 0) -> datetime:
    """Return the moment so long ago; a negative time is one to come."""
    return datetime.now(UTC) - timedelta(seconds=seconds)
