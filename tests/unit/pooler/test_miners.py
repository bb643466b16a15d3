"""Miners beside the block loop: their nonces are worked, their shares kept, all is divided."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from client import Block, ChainWatch, FarmerId, FarmerOutcome, PoolError
from libs.common.errors import UnavailableError
from libs.common.start import ListenError
from libs.kale.address import address_of
from miner.model import NO_CAP
from miner.model import Find as OwnFind
from miner.search import Search
from pooler.config import PoolerConfig
from pooler.events import Event, ServingMiners, Trouble
from pooler.miners import MinedBlock, open_miners
from pooler.report import describe
from pooler.run import run
from pooler.settling import Settling
from pooler.shares.app import open_app
from pooler.shares.block import Find
from pooler.shares.config import SharesSettings
from pooler.shares.domain.model import BlockState
from pooler.strategies.choice import StrategyNames
from tests.support.fake_pool import FakePool, FakeServer, open_fake
from tests.support.share_world import ADDRESS, Rig, found_in, open_share_world, settings_of

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


def config(server: FakeServer, settings: SharesSettings) -> PoolerConfig:
    """A pooler with three farmers that serves miners, and farms until it is stopped."""
    return PoolerConfig(
        targets=server.targets,
        public_key="G" + "A" * 55,
        farmers=FARMERS,
        engines=("python",),
        threads=1,
        closing_seconds=0.2,
        strategies=StrategyNames(send="share"),
        submit_share=0.6,
        shares=settings,
    )


@asynccontextmanager
async def running(pooler: PoolerConfig, events: list[Event]) -> AsyncIterator[httpx.AsyncClient]:
    """Run a pooler while the block runs; yield a client of its door."""
    task = asyncio.create_task(run(pooler, events.append))
    try:
        await until(lambda: any(isinstance(one, ServingMiners) for one in events), task)
        (told,) = [one for one in events if isinstance(one, ServingMiners)]
        url = f"http://{told.host}:{told.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
            yield http
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(reached: Callable[[], bool], task: "asyncio.Task[Any] | None" = None) -> None:
    async with asyncio.timeout(120):
        while not reached():
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(0.02)


async def joined(http: httpx.AsyncClient) -> Rig:
    terms = (await http.get("/v1/pool")).json()["terms"]["version"]
    told = (await http.post("/join", json={"address": ADDRESS, "terms": terms})).json()
    return Rig(http=http, credential=told["credential"], miner_id=told["minerId"])


async def mine(rig: Rig, told: list[dict[str, Any]]) -> None:
    """Bring some shares of each job, for ever."""
    while True:
        answer = await rig.get("/work", params={"difficulty": 256})
        if answer.status_code == 200:
            (job,) = answer.json()["jobs"]
            told += await rig.submit(*found_in(job, 3))
        await asyncio.sleep(0.05)


def rows(settings: SharesSettings, query: str) -> list[Any]:
    with closing(sqlite3.connect(settings.place)) as database:
        return database.execute(query).fetchall()


FINAL = """SELECT block, rewards, pot, points, own_hashes FROM blocks
WHERE state IN ('final', 'handed_on') AND points > 0"""


async def test_a_block_is_divided_once_it_is_harvested(
    pool: FakePool, server: FakeServer, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, shares_miners_part="0.5")
    events: list[Event] = []
    told: list[dict[str, Any]] = []
    async with running(config(server, settings), events) as http:
        rig = await joined(http)
        mining = asyncio.create_task(mine(rig, told))
        await until(lambda: len(rows(settings, FINAL)) >= 2 and bool(pool.credited))
        blocks = (await rig.get("/blocks")).json()["blocks"]
        mining.cancel()
    divided = {block: figures for block, *figures in rows(settings, FINAL)}
    assert len(divided) >= 2
    paid = {one["block"]: one["amount"] for one in blocks if one["amount"] is not None}
    for block, (rewards, pot, points, own_hashes) in divided.items():
        assert rewards > 0
        assert pot == rewards // 2
        assert own_hashes > 0
        if block in paid:
            exact = pot * points / (points + own_hashes)
            assert int(paid[block]) == pytest.approx(exact, abs=1)
    # The pool was told the same hashes.
    for block, (_, _, points, own_hashes) in divided.items():
        if (block, 1) in pool.credited:
            told_of = pool.credited[block, 1]
            assert [one.address for one in told_of.miners] == [ADDRESS]
            assert (told_of.miners[0].points, told_of.own_points) == (points, own_hashes)
    (all_rewards,) = rows(settings, "SELECT sum(rewards) FROM blocks")[0]
    assert all_rewards <= pool.chain.rewards
    assert not [one for one in events if isinstance(one, Trouble)]
    assert any(verdict["code"] == "ACCEPTED" for verdict in told)


async def test_the_next_run_goes_on_with_the_running_block(
    server: FakeServer, tmp_path: Path
) -> None:
    """Whichever block runs by then: what was acknowledged is a duplicate, or its block is over."""
    settings = settings_of(tmp_path)
    events: list[Event] = []
    async with running(config(server, settings), events) as http:
        rig = await joined(http)
        answer = await rig.get("/work", params={"difficulty": 16})
        async with asyncio.timeout(60):
            while answer.status_code != 200:
                await asyncio.sleep(0.02)
                answer = await rig.get("/work", params={"difficulty": 16})
        shares = found_in(answer.json()["jobs"][0], 3)
        codes = await rig.codes(*shares)
    again: list[Event] = []
    async with running(config(server, settings), again) as http:
        rig = replace(rig, http=http)
        answer = await rig.post("/submit", json={"shares": shares})
        async with asyncio.timeout(60):
            while answer.status_code == 409:
                await asyncio.sleep(0.02)
                answer = await rig.post("/submit", json={"shares": shares})
        second = [verdict["code"] for verdict in answer.json()["verdicts"]]
    if codes == ["ACCEPTED"] * 3:
        assert set(second) <= {"DUPLICATE", "STALE_BLOCK"}
        assert rows(settings, "SELECT count(*) FROM shares") == [(3,)]


async def test_a_port_that_is_taken_ends_the_run(server: FakeServer, tmp_path: Path) -> None:
    async with open_share_world(tmp_path) as world:
        settings = settings_of(tmp_path / "other", shares_port=world.port)
        with pytest.raises(ListenError, match=f"127.0.0.1:{world.port}"):
            await run(config(server, settings))


async def test_without_settings_nobody_is_served(server: FakeServer) -> None:
    events: list[Event] = []
    nothing: Any = None
    async with open_miners(None, nothing, nothing, nothing, events.append) as miners:
        await miners.settle()
        miners.worked(7)
    assert events == []


def test_the_report_says_where_miners_connect() -> None:
    assert describe(ServingMiners(host="::1", port=3333)) == "miners are served at ::1:3333"


# The block that is mined ----------------------------------------------------------------------


def outcome(number: int) -> FarmerOutcome:
    key = bytes([number]) * 32
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(int=number)),
        address=address_of(key),
        succeeded=True,
        reason="UNSPECIFIED",
        amount=0,
    )


@dataclass(kw_only=True)
class FakeSearch:
    """A search that finds what a test says."""

    best: dict[int, OwnFind] = field(default_factory=dict)
    hashes: int = 0
    offered: list[tuple[int, int]] = field(default_factory=list)
    queue: "asyncio.Queue[OwnFind | None]" = field(default_factory=asyncio.Queue)

    def offer(self, target: int, zeros: int) -> bool:
        """Take what others have found."""
        self.offered.append((target, zeros))
        return True

    def find(self, target: int, zeros: int, nonce: int) -> None:
        """Find."""
        found = OwnFind(
            target=target, nonce=nonce, zeros=zeros, digest=bytes(32), found_at=datetime.now(UTC)
        )
        self.best[target] = found
        self.queue.put_nowait(found)

    async def improvements(self) -> AsyncIterator[OwnFind]:
        """Yield what is found."""
        while (find := await self.queue.get()) is not None:
            yield find


BLOCK = Block(index=7, opened_at=0.0, closes_at=300.0, entropy=bytes(32), max_zeros=9)


def mined_by(search: FakeSearch) -> MinedBlock:
    planted = [outcome(number) for number in range(1, 4)]
    return MinedBlock(BLOCK, planted, cast("Search", search), cap=9)


def found(place: int, nonce: int, zeros: int) -> Find:
    return Find(farmer_id=FarmerId(UUID(int=place + 1)), nonce=nonce, zeros=zeros)


async def test_the_best_nonce_is_worked_whoever_has_found_it() -> None:
    search = FakeSearch()
    mined = mined_by(search)
    following = asyncio.create_task(mined.follow())
    search.find(0, 5, 50)
    search.find(1, 5, 51)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    mined.offer(found(0, 60, 6))
    mined.offer(found(1, 61, 5))
    mined.offer(found(2, 62, 3))
    mined.offer(found(2, 63, 2))
    mined.offer(Find(farmer_id=FarmerId(UUID(int=99)), nonce=1, zeros=9))
    best = {place: one.submission.nonce for place, one in mined.best().items()}
    assert best == {0: 60, 1: 51, 2: 62}
    assert [mined.zeros_of(place) for place in range(3)] == [6, 5, 3]
    assert mined.zeros() == {3: 1, 5: 1, 6: 1}
    assert search.offered == [(0, 6), (1, 5), (2, 3)]
    search.queue.put_nowait(None)
    await following


async def test_nothing_is_mined_for_a_farmer_whose_work_is_sent() -> None:
    search = FakeSearch()
    mined = mined_by(search)
    search.find(0, 5, 50)
    mined.offer(found(1, 61, 4))
    mined.sent([1, 0])
    mined.offer(found(1, 62, 8))
    assert {place: one.zeros for place, one in mined.best().items()} == {0: 5, 1: 4}
    assert search.offered == [(1, 4), (1, NO_CAP), (0, NO_CAP)]
    assert [mined.is_sent(place) for place in range(3)] == [True, True, False]
    assert [mined.zeros_of(place) for place in range(2)] == [-1, 4]


async def test_own_finds_are_told_once() -> None:
    search = FakeSearch()
    mined = mined_by(search)
    search.find(1, 4, 40)
    search.find(1, 5, 41)
    search.queue.put_nowait(None)
    await mined.follow()
    assert mined.fresh_finds() == [found(1, 41, 5)]
    assert mined.fresh_finds() == []


# What a block has earned ------------------------------------------------------------------------


@dataclass(kw_only=True)
class Records:
    """The pool's records: who worked and who was paid what, by block."""

    worked_by: dict[int, list[int]] = field(default_factory=dict)
    paid_to: dict[int, dict[int, int]] = field(default_factory=dict)
    current_block: int = 101
    looks: list[int] = field(default_factory=list)
    error: PoolError | None = None

    @property
    def head(self) -> "Records":
        """Where the chain is."""
        return self

    async def worked(self, _: object, index: int) -> AsyncIterator[FarmerOutcome]:
        """Yield works."""
        self.looks.append(index)
        if self.error is not None:
            raise self.error
        for number in self.worked_by.get(index, []):
            yield outcome(number)

    async def harvested(self, _: object, index: int) -> AsyncIterator[FarmerOutcome]:
        """Yield harvests that were paid."""
        for number, amount in self.paid_to.get(index, {}).items():
            yield replace(outcome(number), amount=amount)


@asynccontextmanager
async def settling(tmp_path: Path, records: Records) -> AsyncIterator[tuple[Settling, Any, Any]]:
    async with open_share_world(tmp_path) as world:
        rig = await world.join()
        await rig.submit(*found_in(await rig.job(), 2))
        await world.next_block()
        looks = Settling(
            world.shares,
            *cast("Any", (records, None, records)),
            clock=lambda: world.clock.now,
        )
        yield looks, world.shares.store, world


async def test_a_block_is_divided_when_all_that_worked_is_paid(tmp_path: Path) -> None:
    records = Records(worked_by={100: [1, 2, 2]}, paid_to={100: {1: 700}})
    async with settling(tmp_path, records) as (looks, store, world):
        await looks.settle()
        assert records.looks == []  # its works may still be under way
        looks.worked(100)
        world.clock.now += 5
        await looks.settle()
        assert (await store.block(100)).state is BlockState.CLOSED
        records.paid_to[100][2] = 300
        await looks.settle()
        assert records.looks == [100]  # it is not looked at all the time
        world.clock.now += 10
        await looks.settle()
        row = await store.block(100)
        assert (row.state, row.rewards, row.pot) == (BlockState.FINAL, 1000, 100)
        world.clock.now += 1000
        await looks.settle()
        assert records.looks == [100, 100]


async def test_the_last_look_is_at_what_was_looked_at_a_moment_ago_too(tmp_path: Path) -> None:
    records = Records(worked_by={100: [1]})
    async with settling(tmp_path, records) as (looks, store, _):
        looks.worked(100)
        await looks.settle()
        records.paid_to[100] = {1: 700}
        await looks.settle()
        assert (await store.block(100)).state is BlockState.CLOSED
        await looks.settle(is_last=True)
        row = await store.block(100)
        assert (row.state, row.rewards) == (BlockState.FINAL, 700)


async def test_a_block_of_a_run_before_is_divided_two_blocks_later(tmp_path: Path) -> None:
    records = Records(worked_by={100: [1]}, paid_to={100: {1: 500}})
    async with settling(tmp_path, records) as (looks, store, world):
        await looks.settle()
        records.current_block = 102
        world.clock.now += 5
        await looks.settle()
        assert (await store.block(100)).rewards == 500


async def test_what_is_not_harvested_after_a_day_never_will_be(tmp_path: Path) -> None:
    records = Records(worked_by={100: [1, 2]}, paid_to={100: {1: 500}}, current_block=400)
    async with settling(tmp_path, records) as (looks, store, world):
        await looks.settle()
        assert (await store.block(100)).state is BlockState.CLOSED
        records.current_block = 401
        world.clock.now += 5
        await looks.settle()
        assert (await store.block(100)).rewards == 500


async def test_a_block_in_which_nothing_was_worked_has_earned_nothing(tmp_path: Path) -> None:
    async with settling(tmp_path, Records()) as (looks, store, _):
        looks.worked(100)
        await looks.settle()
        row = await store.block(100)
        assert (row.state, row.rewards) == (BlockState.FINAL, 0)


async def test_records_that_cannot_be_read_are_read_later(tmp_path: Path) -> None:
    records = Records(worked_by={100: [1]}, paid_to={100: {1: 5}}, error=UnavailableError("away"))
    async with settling(tmp_path, records) as (looks, store, _):
        looks.worked(100)
        with pytest.raises(UnavailableError):
            await looks.settle()
        records.error = None
        await looks.settle()
        assert (await store.block(100)).rewards == 5


async def test_a_database_that_is_away_is_reported_and_farming_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    settings = settings_of(tmp_path)
    nothing: Any = None
    watch = cast("ChainWatch", Records())
    async with open_miners(settings, nothing, nothing, watch, events.append) as miners:
        shares = miners._shares
        assert shares is not None

        async def away(*_: object, **__: object) -> None:
            raise UnavailableError("away", reason="DATABASE_UNAVAILABLE")

        monkeypatch.setattr(shares, "open_block", away)
        monkeypatch.setattr(shares, "works_sent", away)
        async with miners.mining(mined_by(FakeSearch())):
            await until(lambda: any(isinstance(one, Trouble) for one in events))
    troubles = [one for one in events if isinstance(one, Trouble)]
    assert {one.what for one in troubles} == {"give work to miners"}
    assert troubles[0].retry_in == 1.0


async def test_the_app_serves_what_the_settings_say(tmp_path: Path) -> None:
    async with open_app(settings_of(tmp_path, shares_name="north")) as (shares, port):
        async with httpx.AsyncClient(trust_env=False) as http:
            pool = (await http.get(f"http://127.0.0.1:{port}/v1/pool")).json()
        assert (pool["name"], pool["block"], pool["blocks"]) == ("north", None, [])
        assert len(shares.workers) == 0
