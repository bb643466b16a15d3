"""The process that serves miners dies, at random and at chosen instants; nothing is lost."""

import asyncio
from itertools import islice
from pathlib import Path

import aiohttp
import pytest

from trials.shares.hostile import attacked
from trials.shares.kills import Plan, judged, kill_again_and_again
from trials.shares.miner import RefusedError, TrialMiner, shares_of
from trials.shares.server import Server

pytestmark = pytest.mark.faults

#: Where it dies, and whether the batch that was under way is credited by then.
EDGES = {
    "shares.credit.brought": False,
    "shares.credit.written": True,
}


async def test_it_is_killed_under_load() -> None:
    result = await kill_again_and_again(Plan(times=5, miners=4))
    assert result.problems == []
    assert result.kills == 5
    assert result.acknowledged > 100
    assert result.credited >= result.acknowledged


@pytest.mark.parametrize("edge", EDGES)
async def test_it_dies_at_an_instant_and_the_batch_is_brought_again(
    edge: str, tmp_path: Path
) -> None:
    server = Server(folder=tmp_path, settings={"FAILPOINTS": f"{edge}@2=kill"})
    async with server.running(), aiohttp.ClientSession() as http:
        miner = TrialMiner(http=http, url=server.url, worker="rig")
        await miner.join()
        shares = list(islice(shares_of(await miner.outlasting(miner.job)), 20))
        assert await miner.bring(shares[:10]) == ["ACCEPTED"] * 10
        with pytest.raises((aiohttp.ClientError, OSError)):
            await miner.bring(shares[10:])
        assert await server.wait() == -9
        server.settings = {}
        await server.start()
        expected = "DUPLICATE" if EDGES[edge] else "ACCEPTED"
        codes = await miner.outlasting(miner.bring, shares)
        assert codes == ["DUPLICATE"] * 10 + [expected] * 10
    result = await judged(server, [miner])
    assert result.problems == []
    assert result.credited == 20


@pytest.mark.parametrize(
    "edge", ["shares.block.opened", "shares.block.closed", "shares.block.divided"]
)
async def test_it_dies_between_two_blocks_and_the_next_run_closes_the_first(
    edge: str, tmp_path: Path
) -> None:
    """The first block is mined, the second begins; the process dies while it is taken up."""
    server = Server(
        folder=tmp_path,
        block_seconds=3.0,
        sent_share=0.9,
        settings={"FAILPOINTS": f"{edge}@2=kill"},
    )
    async with server.running(), aiohttp.ClientSession() as http:
        miner = TrialMiner(http=http, url=server.url, worker="rig")

        async def mine() -> None:
            await miner.outlasting(miner.join)  # on a slow machine it dies before that
            await miner.mine(10)

        mining = asyncio.create_task(mine())
        async with asyncio.timeout(600):
            assert await server.wait() == -9
        server.settings = {}
        await server.start()
        told = len(miner.acknowledged)
        async with asyncio.timeout(600):
            while len(miner.acknowledged) <= told:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        mining.cancel()
        await asyncio.gather(mining, return_exceptions=True)
    result = await judged(server, [miner])
    assert result.problems == []
    assert result.credited >= result.acknowledged > 0


async def test_hostile_miners_cost_the_honest_nothing() -> None:
    result = await attacked(2500)
    assert result.problems == []
    assert result.requests == 2500
    assert result.statuses[400] > 100
    assert result.statuses[403] > 100


async def test_a_refusal_of_the_trials_miner_is_told(tmp_path: Path) -> None:
    server = Server(folder=tmp_path)
    async with server.running(), aiohttp.ClientSession() as http:
        miner = TrialMiner(http=http, url=server.url, worker="rig", credential="km_none")
        with pytest.raises(RefusedError, match="401 BAD_CREDENTIAL"):
            await miner.job()
