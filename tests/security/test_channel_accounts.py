"""The treasury tops up its channel accounts by what the chain says, whatever the database says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from kalepool.wallet.v1 import engine_pb2, engine_pb2_grpc

from libs.common.grpc.client import open_channel
from tests.support.database import Connection, DatabaseFactory, connect
from tests.support.wallet_world import WalletWorld, eventually, open_wallet_world
from trials.security.thefts.treasury import EMPTIED

XLM = 10_000_000
TOP_UPS = "SELECT state::text, error_message FROM wallet.operations WHERE kind = 'top_up'"


@asynccontextmanager
async def one_channel(
    database_factory: DatabaseFactory,
    tmp_path_factory: pytest.TempPathFactory,
    low: int = 20 * XLM,
    daily: int = 1000 * XLM,
) -> AsyncIterator[tuple[WalletWorld, Connection]]:
    """Run a wallet with one channel account of 200 XLM; yield a connection of wallet's role."""
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database,
            tmp_path_factory.mktemp("channel"),
            PAYER_ACCOUNTS="1",
            CHANNEL_ACCOUNTS="1",
            CHANNEL_FUNDING_STROOPS=str(200 * XLM),
            CHANNEL_LOW_BALANCE_STROOPS=str(low),
            TOP_UP_DAILY_STROOPS=str(daily),
        ) as world,
        connect(database.dsn("wallet")) as connection,
    ):
        await world.wait_for_payers()

        async def ready() -> bool:
            return (await status(world)).channels.ready == 1

        await eventually(ready, "there is no channel account", world.wallet)
        yield world, connection


async def status(world: WalletWorld) -> engine_pb2.GetEngineStatusResponse:
    async with open_channel(world.target) as channel:
        engine = engine_pb2_grpc.EngineServiceStub(channel)
        return await engine.GetEngineStatus(engine_pb2.GetEngineStatusRequest())


async def test_a_row_that_says_that_a_channel_is_empty_brings_it_nothing(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with one_channel(database_factory, tmp_path_factory) as (world, thief):
        for _ in range(8):
            await thief.execute(EMPTIED)
            await asyncio.sleep(1)
        found = await status(world)
        assert found.channels.low == 1
        assert found.channels.top_up_spent_stroops == 0
        assert await thief.fetch(TOP_UPS) == []


async def test_top_ups_end_with_their_budget_and_an_operator_is_told(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The channel has too little all the time, by a mark above what it ever gets.

    Its row keeps telling so, and nothing of what was paid.
    """
    async with one_channel(database_factory, tmp_path_factory, low=5000 * XLM, daily=500 * XLM) as (
        world,
        thief,
    ):

        async def used_up() -> bool:
            await thief.execute(EMPTIED)
            told = (await status(world)).warnings
            return any("TOP_UP_DAILY_STROOPS is used up" in words for words in told)

        await eventually(used_up, "the budget is not used up", world.wallet)
        found = await status(world)
        assert found.channels.top_up_spent_stroops == 400 * XLM
        assert found.channels.top_up_budget_stroops == 500 * XLM
        assert [row["state"] for row in await thief.fetch(TOP_UPS)] == ["succeeded"] * 2


async def test_a_top_up_that_is_no_longer_needed_is_not_signed(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with one_channel(database_factory, tmp_path_factory) as (world, thief):
        async with world.paused():
            await world.restart(CHANNEL_LOW_BALANCE_STROOPS=str(5000 * XLM))

            async def queued() -> bool:
                return [row["state"] for row in await thief.fetch(TOP_UPS)] == ["queued"]

            await eventually(queued, "no top-up was asked for", world.wallet)
            await world.restart(CHANNEL_LOW_BALANCE_STROOPS=str(20 * XLM))
            await world.wait_until_serving()

        async def ended() -> bool:
            return [row["state"] for row in await thief.fetch(TOP_UPS)] == ["failed"]

        await eventually(ended, "the top-up does not end", world.wallet)
        (row,) = await thief.fetch(TOP_UPS)
        assert row["error_message"] == "the account has enough"
