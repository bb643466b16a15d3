"""The public list of poolers, as a running harvest tells it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2, report_pb2_grpc
from pydantic import SecretStr

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.client import call, open_channel
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from services.harvest.domain.poolers import FEWEST_WORKS
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_wallet import fake_wallet
from tests.support.pool_world import PoolWorld
from tests.support.table_rows import insert_event, insert_row

#: The running block; each before it was opened 300 s before the next.
BLOCK = 10_000
AT = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = bytes(range(32))


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A running harvest, and rows."""

    stub: "report_pb2_grpc.ReportServiceAsyncStub"
    world: PoolWorld

    async def listed(self, name: str, **changes: object) -> UUID:
        """A pooler that is listed."""
        pooler = await self.world.pooler(max_farmers=10)
        given = {"name": name, "is_listed": True, **changes}
        for column, value in given.items():
            await self.world.connection.execute(
                f"UPDATE registry.poolers SET {column} = $2 WHERE id = $1",  # noqa: S608  (the test's own words)
                pooler,
                value,
            )
        await insert_row(
            self.world.connection,
            "registry.terms",
            pooler_id=pooler,
            version=1,
            stake_bps=5000,
            pooler_bps=500,
            miners_bps=6000,
            payout_threshold=70,
            payout_interval_seconds=60,
            harvest_blocks=3,
            text="hello",
            digest=DIGEST,
            published_by="",
            published_at=AT,
        )
        return pooler

    async def list(
        self, page_size: int = 0, page_token: str = ""
    ) -> "report_pb2.ListPublicPoolersResponse":
        """A page of the list."""
        request = report_pb2.ListPublicPoolersRequest(page_size=page_size, page_token=page_token)
        return await call(self.stub.ListPublicPoolers, request, timeout=5)


@asynccontextmanager
async def open_pool(database: DatabaseAccess, *, self_join_daily: int) -> AsyncIterator[Pool]:
    """Run harvest, where so many farmers may join by themselves."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connect(database.admin_dsn))
        _, target = await stack.enter_async_context(fake_wallet(database.admin_dsn))
        world = PoolWorld(connection)
        settings = HarvestSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("harvest")),
            wallet_target=target,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            harvest_sweep_seconds=0,
            self_join_daily=self_join_daily,
        )
        running = await stack.enter_async_context(open_app(settings))
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{running.port}"))
        for index in (BLOCK - 288, BLOCK):
            await world.head(current=index)
            await connection.execute(
                "UPDATE chain.blocks SET opened_at = $2 WHERE index = $1",
                index,
                AT + timedelta(seconds=300 * index),
            )
        yield Pool(stub=report_pb2_grpc.ReportServiceStub(channel), world=world)


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[Pool]:
    """A pool that one farmer a day may join by itself."""
    async with open_pool(database, self_join_daily=1) as opened:
        yield opened


async def test_a_pooler_is_told_with_terms_room_and_what_it_came_to(pool: Pool) -> None:
    pooler = await pool.listed("north", is_open_to_join=True, current_farmers=4)
    people = [await pool.world.farmer(pooler) for _ in range(FEWEST_WORKS)]
    # In the last day, the last week, the last month, and before.
    for block in (BLOCK - 1, BLOCK - 289, BLOCK - 2017, BLOCK - 8641):
        for person in people:
            await pool.world.planted(pooler, person, block, 20)
            await pool.world.worked(pooler, person, block, 5)
    for person in people[1:]:
        await insert_event(
            pool.world.connection,
            "harvest.harvests",
            farmer=person.farmer_id,
            pooler=pooler,
            block=BLOCK - 1,
            reward_amount=1000,
        )
    (found,) = (await pool.list()).poolers
    assert (found.pooler_id, found.name, found.room, found.can_join) == (
        str(pooler),
        "north",
        6,
        True,
    )
    expected = registry_pb2.Terms(
        version=1,
        stake_percentage="0.5",
        pooler_fee="0.05",
        miners_part="0.6",
        payout_threshold=70,
        payout_interval_seconds=60,
        harvest_blocks=3,
        text="hello",
        digest=DIGEST,
    )
    expected.published_at.FromDatetime(AT)
    assert found.terms == expected
    assert found.day == report_pb2.PoolerFigures(
        success=report_pb2.Success(blocks=288, planted=25, worked=25, harvested=24),
        rewards=24_000,
        staked=500,
        rewards_per_farmer_block=960,
        hash_rate=report_pb2.HashRate(
            rate=25 * 16**5 // 300, error=5 * 16**5 // 300, blocks=1, works=25, zeros=5
        ),
    )
    assert [
        (one.success.blocks, one.success.planted, one.rewards_per_farmer_block)
        for one in (found.day, found.week, found.month)
    ] == [(288, 25, 960), (2016, 50, 480), (8640, 75, 320)]
    # Each hash was done in the blocks in which somebody worked, however many they are.
    assert found.month.hash_rate.rate == found.day.hash_rate.rate


async def test_a_pooler_that_did_nothing_has_no_rates(pool: Pool) -> None:
    await pool.listed("idle")
    (found,) = (await pool.list()).poolers
    assert found.week == report_pb2.PoolerFigures(success=report_pb2.Success(blocks=2016))
    assert not found.week.HasField("hash_rate")
    assert not found.week.HasField("rewards_per_farmer_block")


async def test_one_joins_where_pooler_and_operator_allow_it_and_there_is_room(
    pool: Pool, database: DatabaseAccess
) -> None:
    await pool.listed("open", is_open_to_join=True, current_farmers=9)
    await pool.listed("closed")
    await pool.listed("full", is_open_to_join=True, current_farmers=10)
    can = {one.name: one.can_join for one in (await pool.list()).poolers}
    assert can == {"open": True, "closed": False, "full": False}


async def test_nobody_joins_by_itself_unless_the_operator_says_so(database: DatabaseAccess) -> None:
    async with open_pool(database, self_join_daily=0) as pool:
        await pool.listed("open", is_open_to_join=True)
        assert [one.can_join for one in (await pool.list()).poolers] == [False]


async def test_pages_have_each_pooler_once(pool: Pool) -> None:
    names = ["one", "two", "three"]
    for name in names:
        await pool.listed(name)
    assert [one.name for one in (await pool.list()).poolers] == names
    first = await pool.list(page_size=2)
    second = await pool.list(page_size=2, page_token=first.next_page_token)
    assert [one.name for one in first.poolers] == names[:2]
    assert [one.name for one in second.poolers] == names[2:]
    assert second.next_page_token == ""


async def test_wrong_fields_are_named(pool: Pool) -> None:
    for wrong, name in (({"page_size": 1001}, "page_size"), ({"page_token": "x"}, "page_token")):
        with pytest.raises(InvalidArgumentError) as caught:
            await pool.list(**wrong)
        assert [one.field for one in caught.value.violations] == [name]


async def test_before_the_chain_has_begun_there_are_no_figures(pool: Pool) -> None:
    await pool.listed("early")
    await pool.world.connection.execute("UPDATE chain.head SET current_block = NULL")
    (found,) = (await pool.list()).poolers
    assert found.day == report_pb2.PoolerFigures(success=report_pb2.Success())
