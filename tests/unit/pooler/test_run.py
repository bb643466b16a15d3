"""The block loop against a pool that is real but for its size: nothing planted is left behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2

from client import BatchSummary, FarmerId, PoolClient, PoolerId
from libs.common.errors import FailedPreconditionError
from libs.kale import farm
from pooler.config import PoolerConfig
from pooler.events import (
    Event,
    Harvested,
    Mining,
    Planted,
    Registered,
    SatOut,
    Trouble,
    Worked,
)
from pooler.plants import Purse, read_purses
from pooler.prices import PricesError, PriceSettings
from pooler.report import describe_run
from pooler.run import run
from pooler.strategies.choice import StrategyNames
from pooler.strategies.model import StrategyError
from tests.support.fake_pool import STAKE, FakePool, FakeServer, new_address, open_fake

FARMERS = 3


@pytest.fixture
async def pool() -> FakePool:
    """A pool with a chain that has just begun."""
    return FakePool()


@pytest.fixture
async def server(pool: FakePool) -> AsyncIterator[FakeServer]:
    """The pool, served."""
    async with open_fake(pool) as running:
        yield running


def config(server: FakeServer, *, blocks: int) -> PoolerConfig:
    """A pooler with three farmers that nobody helps to open blocks."""
    return PoolerConfig(
        targets=server.targets,
        public_key="G" + "A" * 55,
        farmers=FARMERS,
        blocks=blocks,
        threads=1,
        closing_seconds=0.2,
        heartbeat_seconds=0.5,
        strategies=StrategyNames(send="share"),
        submit_share=0.6,
    )


async def until(reached: Callable[[], bool]) -> None:
    """Waits until something is so."""
    while not reached():  # noqa: ASYNC110  (what is watched has no event)
        await asyncio.sleep(0.01)


def of_kind(events: list[Event], kind: type[Event]) -> list[Event]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


async def test_two_blocks_are_farmed_and_paid(pool: FakePool, server: FakeServer) -> None:
    events: list[Event] = []
    summary = await run(config(server, blocks=2), events.append)

    assert len(summary.blocks) == 2
    assert summary.harvested == 2 * FARMERS
    assert summary.rewards == pool.chain.rewards > 0
    # The block that closes the last one: one farmer planted and worked, and its stake waits there.
    assert summary.planted == summary.worked == 2 * FARMERS + 1
    assert [index for _, index in pool.chain.state.pails] == [summary.blocks[-1] + 1]
    assert summary.still_pending == 0
    assert pool.heartbeats > 2
    assert not of_kind(events, Trouble)
    assert summary.hashes >= 2 * FARMERS


async def test_what_the_pool_has_harvested_itself_is_counted(
    pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool's own sweep is always faster here: the pooler's calls find nothing to harvest."""
    slower = pool.harvest

    def harvest(request: harvest_pb2.HarvestRequest) -> harvest_pb2.HarvestResponse:
        slower(request)
        return slower(request)

    monkeypatch.setattr(pool, "harvest", harvest)
    async with open_fake(pool) as server:
        summary = await run(config(server, blocks=2))
    assert summary.harvested == 2 * FARMERS
    assert summary.rewards == pool.chain.rewards > 0
    assert summary.still_pending == 0


async def test_events_tell_the_story_in_order(pool: FakePool, server: FakeServer) -> None:
    events: list[Event] = []
    summary = await run(config(server, blocks=1), events.append)
    first = summary.blocks[0]

    story = [type(event) for event in events if isinstance(event, Planted | Worked | Harvested)]
    assert story == [Planted, Worked, Planted, Worked, Harvested]
    registered = of_kind(events, Registered)[-1]
    assert isinstance(registered, Registered)
    assert (registered.farmers, registered.funded) == (FARMERS, FARMERS)
    mining = [event for event in events if isinstance(event, Mining) and event.block_index == first]
    assert sum(mining[-1].zeros.values()) == FARMERS
    assert [event.hashes for event in mining] == sorted(event.hashes for event in mining)


async def test_the_second_run_finds_pooler_and_farmers_again(
    pool: FakePool, server: FakeServer
) -> None:
    first = await run(config(server, blocks=1))
    second = await run(config(server, blocks=1))
    assert second.pooler_id == first.pooler_id
    assert len(pool.farmers) == FARMERS
    assert second.blocks[0] > first.blocks[0]


async def test_lost_answers_do_not_matter(pool: FakePool, server: FakeServer) -> None:
    """Every kind of call is done once though its first answers are lost."""
    for method in ("RegisterPooler", "RegisterFarmer", "Plant", "SubmitWork", "Harvest"):
        pool.lose[method] = 2
    events: list[Event] = []
    summary = await run(config(server, blocks=1), events.append)

    assert len(pool.farmers) == FARMERS
    assert len(of_kind(events, Trouble)) == 10
    assert summary.harvested == FARMERS
    # Plant and SubmitWork: one each for the block, one each to close it.
    assert (pool.calls["Plant"], pool.calls["SubmitWork"], pool.calls["Harvest"]) == (2, 2, 1)
    assert summary.worked == FARMERS + 1


async def test_a_restart_of_the_services_does_not_matter(
    pool: FakePool, server: FakeServer
) -> None:
    events: list[Event] = []

    async def restart() -> None:
        await until(lambda: bool(pool.plantings))
        await server.stop()
        # Down from the mining on, until a call has met it: which one depends on the machine.
        await until(lambda: any(isinstance(event, Trouble) for event in events))
        await server.start()

    _, summary = await asyncio.gather(restart(), run(config(server, blocks=1), events.append))
    assert summary.harvested == FARMERS
    assert len(pool.chain.state.pails) == 1


async def test_others_who_open_the_next_block_close_ours(
    pool: FakePool, server: FakeServer
) -> None:
    """Where other people farm, the pooler plants in its own blocks only."""

    async def others() -> None:
        await until(lambda: pool.calls["SubmitWork"] > 0)
        await until(lambda: pool.chain.plantable > pool.chain.current)
        pool.chain.plant(new_address())

    patient = replace(config(server, blocks=1), closing_seconds=5.0)
    _, summary = await asyncio.gather(others(), run(patient))
    assert summary.planted == FARMERS
    assert summary.harvested == FARMERS
    assert summary.still_pending == 0


async def test_a_block_that_is_closed_too_early_is_told_and_the_next_one_farmed(
    pool: FakePool, server: FakeServer
) -> None:
    """A stranger opens the next block while this one is mined for too long: its work is lost."""

    async def stranger() -> None:
        await until(lambda: bool(pool.plantings))
        await until(lambda: pool.chain.plantable > pool.chain.current)
        pool.chain.plant(new_address())

    late = replace(config(server, blocks=2), submit_share=1.5)
    events: list[Event] = []
    _, summary = await asyncio.gather(stranger(), run(late, events.append))
    troubles = [event for event in events if isinstance(event, Trouble)]
    assert [event.what for event in troubles] == [f"work block {summary.blocks[0]}"]
    assert troubles[0].error == f"BLOCK_OVER: {FARMERS} works were not sent in time"
    assert summary.harvested == FARMERS
    assert (pool.chain.state.index or 0) > summary.blocks[1]


async def test_a_run_that_is_cancelled_ends_at_once(pool: FakePool, server: FakeServer) -> None:
    running = asyncio.create_task(run(config(server, blocks=0)))
    await until(lambda: bool(pool.plantings))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, timeout=60)


@pytest.mark.parametrize("seconds", [0, 1], ids=["at once", "a second later"])
async def test_stakes_of_a_run_that_crashed_are_saved(
    pool: FakePool, server: FakeServer, seconds: int
) -> None:
    """The pooler dies after planting and comes back when the block's interval is over already,
    which may be earlier than the block's own time says."""
    founded = farm.founded(pool.chain.at())
    pool.chain.state = replace(pool.chain.state, running=founded.running)
    await asyncio.sleep(seconds)
    crashed = asyncio.create_task(run(config(server, blocks=0)))
    await until(lambda: bool(pool.plantings))
    crashed.cancel()
    await asyncio.gather(crashed, return_exceptions=True)
    await until(lambda: pool.chain.plantable > pool.chain.current)
    unworked = pool.chain.current
    assert pool.calls["SubmitWork"] == 0

    summary = await run(config(server, blocks=1))
    assert {index for index, _ in pool.chain.worked} >= {unworked, *summary.blocks}
    assert summary.blocks == (unworked + 1,)
    assert summary.harvested == 2 * FARMERS


async def test_who_has_worked_before_a_restart_is_left_alone(
    pool: FakePool, server: FakeServer
) -> None:
    """A better nonce would be accepted: it would be a second work, which nobody has asked for."""
    soon = replace(config(server, blocks=0), enough_zeros=2)
    crashed = asyncio.create_task(run(soon))
    await until(lambda: len(pool.works) >= FARMERS)
    crashed.cancel()
    await asyncio.gather(crashed, return_exceptions=True)

    await run(config(server, blocks=1))
    works = Counter((one.farmer_id, one.block_index) for one in pool.works)
    assert set(works.values()) == {1}
    assert len(works) > FARMERS


async def test_who_is_planted_is_farmed_though_the_plant_failed(
    pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is an error, yet some are planted: a stake that is not worked is lost."""
    plant, calls = pool.plant, Counter[str]()

    def fail_at_first(request: plant_pb2.PlantRequest) -> plant_pb2.PlantResponse:
        answer = plant(request)
        calls["Plant"] += 1
        if calls["Plant"] == 1:
            raise FailedPreconditionError("of no use any more", reason="TOO_LATE")
        return answer

    monkeypatch.setattr(pool, "plant", fail_at_first)
    events: list[Event] = []
    async with open_fake(pool) as failing:
        summary = await run(config(failing, blocks=1), events.append)
    assert summary.harvested == FARMERS
    troubles = [event.what for event in events if isinstance(event, Trouble)]
    assert troubles == [f"plant everybody in block {summary.blocks[0]}"]


async def test_what_is_pending_is_not_known_when_the_last_sweep_failed(
    pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise FailedPreconditionError("of no use", reason="BLOCK_NOT_CLOSED")

    monkeypatch.setattr(pool, "harvest_pending", refuse)
    async with open_fake(pool) as failing:
        summary = await run(config(failing, blocks=1))
    assert summary.still_pending is None
    assert "not known" in describe_run(summary)


async def test_a_farmer_that_a_run_before_left_out_is_registered(
    pool: FakePool, server: FakeServer
) -> None:
    """Several are registered at a time: a crash may leave a gap between them."""
    await run(config(server, blocks=1))
    pool.forget_farmer(2)
    assert len(pool.farmers) == FARMERS - 1
    summary = await run(config(server, blocks=1))
    assert len(pool.farmers) == FARMERS
    assert summary.harvested >= FARMERS


async def test_a_pool_that_refuses_the_pooler_is_told_at_once(
    pool: FakePool, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise FailedPreconditionError("closed", reason="POOL_CLOSED")

    monkeypatch.setattr(pool, "register_pooler", refuse)
    async with open_fake(pool) as refusing:
        with pytest.raises(FailedPreconditionError) as caught:
            await run(config(refusing, blocks=1))
    assert caught.value.reason == "POOL_CLOSED"


# Strategies ---------------------------------------------------------------------------------------


async def test_the_default_strategies_lose_nothing(pool: FakePool, server: FakeServer) -> None:
    """Blocks of two seconds with ledgers of a tenth: late is the last second."""
    default = replace(config(server, blocks=3), strategies=StrategyNames())
    events: list[Event] = []
    summary = await run(default, events.append)
    assert summary.harvested == 3 * FARMERS
    assert not of_kind(events, Trouble)
    gaps = [one.gap for one in pool.chain.state.pails.values() if one.gap is not None]
    assert gaps
    # Planted for no more than the half that was agreed, and no more than earned anything.
    assert {one.stake_amount for one in pool.plantings} <= set(range(STAKE + 1))


async def test_a_second_work_follows_a_poor_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a block of eight seconds, all of which the early works may take on a slow machine."""
    monkeypatch.setattr("tests.support.fake_pool.BLOCK_SECONDS", 8)
    monkeypatch.setattr("pooler.sending._EARLY_LEDGERS", 80)
    twice, pool = StrategyNames(send="share", works="second-work"), FakePool()
    async with open_fake(pool) as server:
        summary = await run(replace(config(server, blocks=1), strategies=twice))
    block = summary.blocks[0]
    by_farmer: dict[str, list[int]] = {}
    for work in pool.works:
        if work.block_index == block:
            by_farmer.setdefault(work.farmer_id, []).append(work.zeros)
    assert len(by_farmer) == FARMERS
    for zeros in by_farmer.values():
        assert zeros[0] <= 1
        assert zeros == sorted(set(zeros))
    assert max(map(len, by_farmer.values())) == 2


async def test_who_earns_less_than_the_fees_sits_out_until_the_price_changes(
    pool: FakePool, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pooler.run._SIT_OUT_SECONDS", 0.3)
    prices = tmp_path / "prices.json"
    prices.write_text('{"kale": "0.0000001", "xlm": "1"}')
    gated = replace(config(server, blocks=2), prices=PriceSettings(file=prices))
    events: list[Event] = []

    async def rise() -> None:
        await until(lambda: len(of_kind(events, SatOut)) >= 2)
        prices.write_text('{"kale": "1", "xlm": "1"}')

    _, summary = await asyncio.gather(rise(), run(gated, events.append))
    told = of_kind(events, SatOut)
    assert {(one.farmers, one.of) for one in told if isinstance(one, SatOut)} == {
        (FARMERS, FARMERS)
    }
    assert len(summary.blocks) == 2
    assert summary.harvested == 2 * FARMERS
    first, second = summary.blocks
    assert {one.block_index for one in pool.plantings} == {first, second, second + 1}


async def test_prices_that_cannot_be_read_are_told_and_everybody_takes_part(
    server: FakeServer, tmp_path: Path
) -> None:
    gated = replace(config(server, blocks=1), prices=PriceSettings(file=tmp_path / "none.json"))
    events: list[Event] = []
    summary = await run(gated, events.append)
    assert summary.planted == FARMERS + 1
    assert "read the prices" in {one.what for one in events if isinstance(one, Trouble)}


@pytest.mark.parametrize("stake", ["none", "full"])
async def test_grouped_harvests_wait_for_one_another_but_no_plant_waits_for_them(
    server: FakeServer, stake: str
) -> None:
    """Without stakes two blocks wait for each other; a stake is back before the next plant."""
    grouped = replace(
        config(server, blocks=3),
        strategies=StrategyNames(send="share", harvests="grouped", stake=stake),
        harvest_group=2,
        harvest_saving_stroops=4_000,
    )
    events: list[Event] = []
    summary = await run(grouped, events.append)
    assert summary.harvested == 3 * FARMERS
    story = [
        (type(event), event.summary.block_index)
        for event in events
        if isinstance(event, Planted | Harvested)
    ]
    first, second, third = summary.blocks
    waits = story.index((Planted, third)) < story.index((Harvested, first))
    assert waits == (stake == "none")
    assert story.index((Harvested, first)) < story.index((Harvested, second))


async def test_what_a_harvest_gives_back_is_there_when_the_next_stakes_are_chosen(
    pool: FakePool, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Works are over at once, long before a harvest that takes its time; no block waits for it."""
    begun, paid, seen = asyncio.Event(), asyncio.Event(), list[bool]()
    whole, read = PoolClient.harvest, read_purses

    async def slow(client: PoolClient, *arguments: Any, **options: Any) -> BatchSummary:
        begun.set()
        await asyncio.sleep(1.0)
        try:
            return await whole(client, *arguments, **options)
        finally:
            paid.set()

    async def noted(client: PoolClient, pooler_id: PoolerId) -> dict[FarmerId, Purse]:
        head = (await client.block()).head
        could_wait = head.plantable_block == head.current_block
        seen.append(could_wait and begun.is_set() and not paid.is_set())
        return await read(client, pooler_id)

    monkeypatch.setattr(PoolClient, "harvest", slow)
    monkeypatch.setattr("pooler.run.read_purses", noted)
    await run(replace(config(server, blocks=3), enough_zeros=1), lambda _: None)
    assert seen == [False, False, False]
    assert paid.is_set()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategies": StrategyNames(send="soon")}, "send: no strategy 'soon'"),
        ({"prices": PriceSettings(kale="dear")}, "kale_price: 'dear' is no decimal number"),
    ],
)
async def test_a_setting_that_is_none_is_named_before_anything_begins(
    server: FakeServer, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises((StrategyError, PricesError), match=words):
        await run(replace(config(server, blocks=1), **wrong))
