"""kalepool watch: the running block against a real server, as lines, as JSON and as a picture."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from cli.main import main
from cli.watch import Shown, line, picture
from client import Block, BlockCounts, Head, Submission, enrol, open_client, open_watch
from client.enrol import Enrolment
from tests.support.fake_pool import BLOCK_SECONDS, FakePool, FakeServer, open_fake

KEY = "G" + "A" * 55


@pytest.fixture
async def pool() -> FakePool:
    """A pool with a chain that has just begun."""
    return FakePool()


@pytest.fixture
async def server(pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServer]:
    """The pool, served; the command finds it."""
    async with open_fake(pool) as running:
        monkeypatch.setenv("TRANSPORT", "plaintext")
        # Looks follow one another faster than blocks of the fake chain.
        monkeypatch.setattr("cli.watch._LOOK", 0.2)
        for name, target in asdict(running.targets).items():
            monkeypatch.setenv(f"{name.upper()}_TARGET", target)
        yield running


async def run(*arguments: str) -> int:
    """The command in a thread, where it has an event loop of its own."""
    return await asyncio.to_thread(main, arguments)


async def farm_when_watched(
    pool: FakePool, server: FakeServer, look: str = "GetBlockReport"
) -> None:
    """Three farmers plant and two of them work; once that was looked at, the next block opens."""
    async with open_client(server.targets) as client, open_watch(client) as watch:
        pooler = await enrol(client, Enrolment(public_key=KEY, farmers=3))
        head = await watch.wait_until(lambda head: head.plantable_block > head.current_block)
        planted = await client.plant(pooler, head.plantable_block)
        # The stream may be behind the ledger of the plant, and work takes a later one.
        planted_at = pool.chain.at().ledger
        await watch.wait_until(lambda head: head.ledger > planted_at)
        found = [Submission(farmer_id=one.farmer_id, nonce=7) for one in planted.outcomes[:2]]
        await client.submit_work(pooler, planted.block_index, found)
        this = (look, planted.block_index)
        looks = pool.calls_of_block[this]
        # One look may have begun before the works; that the next one was shown, the third tells.
        await until(lambda: pool.calls_of_block[this] >= looks + 3)
        await watch.wait_until(lambda head: head.plantable_block > planted.block_index)
        await client.plant(pooler, planted.block_index + 1)


async def until(reached: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110  (a counter has no event)
            await asyncio.sleep(0.01)


async def test_a_block_is_told_as_it_fills(
    pool: FakePool, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = await asyncio.gather(
        run("watch", "--blocks", "1", "--json"), farm_when_watched(pool, server)
    )
    assert status == 0
    told = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    filled = [row for row in told if row.get("worked") == 2]
    assert filled
    assert {row["planted"] for row in filled} == {3}
    assert sum(filled[0]["zeros"].values()) == 2
    assert all(0 <= row["secondsLeft"] <= BLOCK_SECONDS for row in told if "blockIndex" in row)


async def test_a_poolers_farmers_are_counted_one_by_one(
    pool: FakePool, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pooler = "0190a5f0-0000-7000-8000-000000000001"
    status, _ = await asyncio.gather(
        run("watch", "--blocks", "1", "--json", "--pooler", pooler),
        farm_when_watched(pool, server, "ListWorks"),
    )
    assert status == 0
    told = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    filled = [row for row in told if row.get("worked") == 2]
    assert filled
    assert sum(filled[0]["zeros"].values()) == 2
    assert not pool.calls["GetBlockReport"]


async def test_lines_are_for_people(
    pool: FakePool, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = await asyncio.gather(run("watch", "--blocks", "1"), farm_when_watched(pool, server))
    assert status == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(
        "3 farmers have planted; 2 farmers have worked; best work of each: " in row for row in rows
    )


async def test_a_wrong_pooler_is_told(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("watch", "--pooler", "mine") == 2
    assert "--pooler: must be the id" in capsys.readouterr().err


async def test_a_pool_that_is_away_is_told_and_waited_for(
    pool: FakePool, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await server.stop()

    async def come_back() -> None:
        await asyncio.sleep(1)
        await server.start()
        await farm_when_watched(pool, server)

    status, _ = await asyncio.gather(run("watch", "--blocks", "1", "--json"), come_back())
    assert status == 0
    assert "kalepool: WatchBlocks: " in capsys.readouterr().err


def shown(*, now: float = 1000.0, counts: BlockCounts | None = None, paused: bool = False) -> Shown:
    """Block 7, opened at 900, open until 1200."""
    return Shown(
        block=Block(
            index=7,
            opened_at=900,
            closes_at=1200,
            entropy=bytes(32),
            min_zeros=5,
            max_zeros=9,
            staked_total=12_3456789,
        ),
        head=Head(ledger=77, close_time=1000, current_block=7, plantable_block=7, paused=paused),
        now=now,
        counts=counts,
    )


COUNTS = BlockCounts(planted=40, zeros={6: 30, 9: 2})


def test_a_line_says_everything() -> None:
    assert line(shown(now=1062.2, counts=COUNTS, paused=True)) == (
        "block 7, 2:18 left, ledger 77; 40 farmers have planted; 32 farmers have worked; "
        "best work of each: 9 zeros by 2, 6 zeros by 30; "
        "12.3456789 KALE staked and not yet worked; "
        "zeros are measured from 5 to 9: more than 9 earn no more; "
        "planting is paused by the farm"
    )


def test_a_block_whose_time_is_over_waits_for_a_plant() -> None:
    assert "block 7, its time is over: the next plant opens block 8, " in line(shown(now=5000))


def test_before_the_first_block_the_way_to_it_is_told() -> None:
    text = line(replace(shown(), block=None))
    assert text == "no block yet: the first plant opens one, ledger 77"


def test_one_farmer_is_one() -> None:
    text = line(shown(counts=BlockCounts(planted=1, zeros={})))
    assert "; 1 farmer has planted; 0 farmers have worked; " in text
    assert "best work" not in text


def test_counts_that_are_not_known_are_left_out() -> None:
    assert "planted" not in line(shown())
    assert "planted" not in shown().json()


def test_amounts_are_text_for_programs() -> None:
    assert shown(counts=COUNTS).json() == {
        "ledger": 77,
        "plantableBlock": 7,
        "paused": False,
        "blockIndex": 7,
        "secondsLeft": 200,
        "stakedTotal": "123456789",
        "minZeros": 5,
        "maxZeros": 9,
        "planted": 40,
        "worked": 32,
        "zeros": {"6": 30, "9": 2},
    }


def test_the_picture_fits_a_phone_and_has_a_clock() -> None:
    console = Console(width=60, file=io.StringIO())
    with console.capture() as printed:
        console.print(picture(shown(counts=COUNTS)))
    text = printed.get()
    assert "block 7, 3:20 left, ledger 77" in text
    assert "40 farmers have planted" in text
    assert "━" in text
