"""The database's own record of who changed what of poolers and farmers."""

import json
from typing import Any

import asyncpg
import pytest
from kalepool.registry.v1 import registry_pb2

from tests.support.database import connect
from tests.support.registry_world import RegistryWorld

CHANGES = """
SELECT actor, role, relation, before, after FROM registry.changes
WHERE row_id = $1 ORDER BY number
"""


async def changes(world: RegistryWorld, row_id: str) -> list[tuple[Any, ...]]:
    """What was noted of one row, columns as Python has them."""
    async with connect(world.database.admin_dsn) as admin:
        rows = await admin.fetch(CHANGES, row_id)
    return [
        (row["actor"], row["role"], row["relation"], _json(row["before"]), _json(row["after"]))
        for row in rows
    ]


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


async def test_every_change_is_noted_with_who_asked_for_it(world: RegistryWorld) -> None:
    pooler = await world.pooler(name="north")
    await world.stub.Heartbeat(registry_pb2.HeartbeatRequest(pooler_id=pooler.pooler_id))
    await world.stub.UpdatePooler(
        registry_pb2.UpdatePoolerRequest(pooler_id=pooler.pooler_id, name="south")
    )
    await world.stub.SuspendPooler(registry_pb2.SuspendPoolerRequest(pooler_id=pooler.pooler_id))
    made, renamed, suspended = await changes(world, pooler.pooler_id)
    # The tests' servers are plaintext: the caller is its host.
    who = ("127.0.0.1", "kalepool_registry", "poolers")
    assert (made[:3], made[3], made[4]["name"]) == (who, None, "north")
    assert renamed == (*who, {"name": "north"}, {"name": "south"})
    assert suspended == (*who, {"is_active": True}, {"is_active": False})


async def test_what_comes_another_way_is_noted_too(world: RegistryWorld) -> None:
    pooler = await world.pooler()
    farmer = await world.farmer(pooler.pooler_id)
    async with connect(world.database.admin_dsn) as admin:
        await admin.execute(
            "UPDATE registry.farmers SET payout_wallet_address = 'GEVIL' WHERE id = $1",
            farmer.farmer_id,
        )
    *_, last = await changes(world, farmer.farmer_id)
    assert last == (
        "",
        "postgres",
        "farmers",
        {"payout_wallet_address": ""},
        {"payout_wallet_address": "GEVIL"},
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registry.changes SET actor = 'nobody'",
        "DELETE FROM registry.changes",
        "TRUNCATE registry.changes",
    ],
)
async def test_the_record_is_not_changed_by_anybody(world: RegistryWorld, statement: str) -> None:
    await world.pooler()
    async with connect(world.database.admin_dsn) as admin:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await admin.execute(statement)
    async with connect(world.database.dsn("registry")) as own:
        for forged in (statement, "INSERT INTO registry.changes DEFAULT VALUES"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute(forged)
