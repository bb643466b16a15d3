"""The whole pool through a PgBouncer in transaction mode: nothing that it needs is in a session."""

from pathlib import Path

import pytest

from devstack import pgbouncer
from devstack.farming import farm
from devstack.stack import OPERATOR, Stack, StackConfig, open_stack
from pooler.report import TextReport
from tests.support.breaking import farm_while
from tests.support.database import connect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not pgbouncer.is_installed(), reason="there is no pgbouncer here"),
]


async def test_a_pool_farms_through_it_and_each_change_has_its_actor(tmp_path: Path) -> None:
    config = StackConfig(directory=tmp_path / "pool", pgbouncer=True)
    async with open_stack(config) as stack:
        result = await farm(stack, 3, 1, TextReport(), print)
        assert result.verdict.equal, result.verdict.differences
        assert result.run.harvested >= 3
        async with connect(stack.admin_dsn) as admin:
            actors = {
                row["actor"] for row in await admin.fetch("SELECT actor FROM registry.changes")
            }
    assert any(actor.endswith(f"/{OPERATOR}") for actor in actors)
    assert "" not in actors


async def test_it_may_be_killed_under_a_pool(tmp_path: Path) -> None:
    async def kill(stack: Stack) -> None:
        await stack.end(pgbouncer.NAME)
        await stack.begin(pgbouncer.NAME)

    config = StackConfig(directory=tmp_path / "pool", pgbouncer=True)
    assert await farm_while(config, kill, every=4.0) >= 1
