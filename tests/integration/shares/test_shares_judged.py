"""The verdict on shares after kills, also of blocks whose single shares are not kept any more."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from libs.common.ids import FarmerId
from pooler.shares.domain.jobs import Job, JobSigner
from pooler.shares.domain.model import MinerId, NewMiner, Share
from pooler.shares.domain.points import target_of
from pooler.shares.domain.terms import Terms
from pooler.shares.store.opening import open_store
from pooler.shares.store.store import KEPT_BLOCKS
from trials.shares.kills import judged
from trials.shares.miner import ADDRESS, TrialMiner
from trials.shares.server import Server

TERMS = Terms(miners_bps=1000, own_hashes_take_part=True)
#: Two blocks more than are kept share by share, and the block that is mined.
BLOCKS = KEPT_BLOCKS + 3


async def credited(server: Server) -> tuple[TrialMiner, dict[int, str]]:
    """Credit two shares of a miner in each block; return the miner, and a job of each block."""
    nobody: Any = None
    miner, tokens = TrialMiner(http=nobody, url="", worker="rig"), {}
    async with open_store(server.database) as store:
        signer = JobSigner(await store.job_key())
        (farmer,) = await store.farmer_numbers([FarmerId(uuid4())])
        new = NewMiner(
            miner_id=MinerId(uuid4()),
            credential_hash=b"x" * 32,
            address=ADDRESS,
            name="",
            terms=TERMS.version,
            joined_at=0,
        )
        joined = await store.add_miner(new, most=1)
        assert joined is not None
        worker = await store.worker(joined.number, "rig", at=0, most=1)
        assert worker is not None
        for block in range(BLOCKS):
            await store.open_block(block, bytes(32), at=0, terms=TERMS)
            job = Job(
                worker=worker.number,
                block=block,
                farmer=farmer,
                issued_at=0,
                ends_at=1,
                first=0,
                count=100,
                target=target_of(16),
            )
            tokens[block] = signer.seal(job)
            shares = [
                Share(
                    block=block,
                    farmer=farmer,
                    nonce=nonce,
                    worker=worker.number,
                    points=16,
                    zeros=1,
                    at=0,
                )
                for nonce in (1, 2)
            ]
            await store.credit(shares, [])
            await store.close_blocks(block)
            brought = {(tokens[block], nonce) for nonce in (1, 2)}
            miner.sent |= brought
            miner.acknowledged |= brought
    return miner, tokens


async def test_all_that_was_acknowledged_is_found_in_shares_or_in_sums(tmp_path: Path) -> None:
    server = Server(folder=tmp_path)
    miner, _ = await credited(server)
    result = await judged(server, [miner])
    assert result.problems == []
    assert result.credited == result.acknowledged == 2 * BLOCKS
    assert result.points == 16 * result.credited


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (0, "block 0: 32 points, of 48 that were acknowledged and 48 that were brought"),
        (BLOCKS - 1, "1 acknowledged shares are lost"),
    ],
)
async def test_a_share_that_is_lost_is_told(block: int, told: str, tmp_path: Path) -> None:
    server = Server(folder=tmp_path)
    miner, tokens = await credited(server)
    for found in (miner.sent, miner.acknowledged):
        found.add((tokens[block], 3))
    (problem,) = (await judged(server, [miner])).problems
    assert problem.startswith(told)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (0, "block 0: 32 points, of 0 that were acknowledged and 16 that were brought"),
        (BLOCKS - 1, "1 shares are there that nobody brought"),
    ],
)
async def test_what_nobody_brought_is_told(block: int, told: str, tmp_path: Path) -> None:
    server = Server(folder=tmp_path)
    miner, tokens = await credited(server)
    miner.sent.discard((tokens[block], 1))
    miner.acknowledged -= {(tokens[block], 1), (tokens[block], 2)}
    (problem,) = (await judged(server, [miner])).problems
    assert problem == told
