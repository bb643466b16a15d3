"""The process that serves miners is killed again and again while they bring shares.

Afterwards the database is held against what miners were told: every share that was acknowledged is
there, nothing is there that was not brought, and what was credited adds up once, in shares, in
points, and in parts. Of blocks that are so long past that their single shares are not kept (a slow
machine takes an hour for a hundred kills) points are compared.
"""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from devstack.stand_in_pooler import REWARDS
from pooler.shares.domain.jobs import JobSigner
from pooler.shares.domain.model import ShareKey
from pooler.shares.store.opening import open_store
from pooler.shares.store.store import KEPT_BLOCKS
from trials.shares.miner import ShareName, TrialMiner
from trials.shares.server import Server

#: Seconds of a block: short enough that some begin and end while the process is killed; and the
#: part after which its works are sent.
BLOCK_SECONDS, SENT_SHARE = 30.0, 0.9
#: Seconds from the start of a process to its kill, at least and at most.
_SHORTEST, _LONGEST = 0.05, 1.2
#: Part of the kills before which shares are credited by that process, however slow the machine is;
#: the others may come while it begins.
_LOADED = 0.8
#: Seconds in which any miner is told of a share.
_PATIENCE = 600.0
#: Points of shares.
Points = Mapping[ShareKey, int]
#: Shares of a batch.
_BATCH = 25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How often it is killed, and under which load."""

    times: int
    miners: int = 6
    seed: int = 1
    farmers: int = 25


@dataclass(kw_only=True)
class KillResult:
    """What became of all shares."""

    #: Kills, and shares that miners sent, were told to be credited, and that are in the database.
    kills: int = 0
    sent: int = 0
    acknowledged: int = 0
    credited: int = 0
    #: Points in the database, and blocks that were divided meanwhile.
    points: int = 0
    divided: int = 0
    #: Answers that are a defect's.
    defects: int = 0
    #: Whatever is wrong, one line each.
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Tell whether nothing is wrong, and anything was tried."""
        return not self.problems and self.credited > 0


async def kill_again_and_again(
    plan: Plan, *, progress: Callable[[str], None] = lambda _: None
) -> KillResult:
    """Run the trial in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(
            folder=Path(scratch),
            farmers=plan.farmers,
            block_seconds=BLOCK_SECONDS,
            sent_share=SENT_SHARE,
        )
        async with server.running():
            miners = await _under_load(server, plan, progress)
        result = await judged(server, miners)
        result.kills = plan.times
        return result


async def _under_load(
    server: Server, plan: Plan, progress: Callable[[str], None]
) -> list[TrialMiner]:
    chance = Random(plan.seed)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        miners = [
            TrialMiner(http=http, url=server.url, worker=f"rig-{number}")
            for number in range(plan.miners)
        ]
        for miner in miners:
            await miner.join()
        mining = [asyncio.create_task(miner.mine(_BATCH)) for miner in miners]
        try:
            for number in range(plan.times):
                if chance.random() < _LOADED:
                    await _told(miners)
                await asyncio.sleep(chance.uniform(_SHORTEST, _LONGEST))
                await server.kill()
                await server.start()
                if number % 10 == 9:
                    told = sum(len(miner.acknowledged) for miner in miners)
                    progress(f"{number + 1} kills, {told:,} shares acknowledged")
            await _told(miners)
        finally:
            for task in mining:
                task.cancel()
            await asyncio.gather(*mining, return_exceptions=True)
    return miners


async def _told(miners: list[TrialMiner]) -> None:
    """Wait until a miner is told that a share is credited. Raise TimeoutError."""

    def told() -> int:
        return sum(len(miner.acknowledged) for miner in miners)

    before = told()
    async with asyncio.timeout(_PATIENCE):
        while told() == before:  # noqa: ASYNC110  (what is watched has no event)
            await asyncio.sleep(0.01)


async def judged(server: Server, miners: list[TrialMiner]) -> KillResult:
    """Hold the database against what miners were told."""
    async with open_store(server.database) as store:
        signer = JobSigner(await store.job_key())
    with closing(sqlite3.connect(server.database)) as database:
        return _judged(database, signer, miners)


def _judged(
    database: sqlite3.Connection, signer: JobSigner, miners: list[TrialMiner]
) -> KillResult:
    result = KillResult()
    all_sent = _keys(signer, {share for miner in miners for share in miner.sent})
    all_told = _keys(signer, {share for miner in miners for share in miner.acknowledged})
    result.sent, result.acknowledged = len(all_sent), len(all_told)
    (newest,) = database.execute("SELECT coalesce(max(block), 0) FROM blocks").fetchone()
    first = newest - KEPT_BLOCKS
    _judge_past(database, first, all_sent, all_told, result)
    sent, told = _since(first, all_sent), _since(first, all_told)
    query = "SELECT block, farmer, nonce, points FROM shares WHERE block >= ?"
    rows = database.execute(query, (first,)).fetchall()
    there = {(block, farmer, nonce): points for block, farmer, nonce, points in rows}
    result.credited += len(there)
    result.points += sum(there.values())
    result.defects = sum(miner.statuses[500] for miner in miners)
    if len(there) != len(rows):
        result.problems.append(f"{len(rows) - len(there)} shares are there twice")
    if lost := set(told) - set(there):
        result.problems.append(f"{len(lost)} acknowledged shares are lost: {min(lost)} and others")
    if strange := set(there) - set(sent):
        result.problems.append(f"{len(strange)} shares are there that nobody brought")
    wrong = [key for key in set(there) & set(sent) if there[key] != sent[key]]
    if wrong:
        result.problems.append(f"{len(wrong)} shares have other points than their jobs say")
    if result.defects:
        result.problems.append(f"{result.defects} answers had status 500")
    _add_up(database, first, result)
    return result


def _judge_past(
    database: sqlite3.Connection, first: int, sent: Points, told: Points, result: KillResult
) -> None:
    """Compare the points of blocks before the first one whose shares are kept one by one."""
    query = """
        SELECT block, sum(shares), sum(points) FROM worker_blocks WHERE block < ? GROUP BY block"""
    found = {block: (shares, points) for block, shares, points in database.execute(query, (first,))}
    least, most = _by_block(told), _by_block(sent)
    for block in sorted({block for block in (*least, *found) if block < first}):
        shares, points = found.get(block, (0, 0))
        result.credited += shares
        result.points += points
        if not least[block] <= points <= most[block]:
            result.problems.append(
                f"block {block}: {points} points, of {least[block]} that were acknowledged and "
                f"{most[block]} that were brought"
            )


def _by_block(points: Points) -> Counter[int]:
    sums: Counter[int] = Counter()
    for (block, _, _), each in points.items():
        sums[block] += each
    return sums


def _since(first: int, points: Points) -> Points:
    return {key: each for key, each in points.items() if key[0] >= first}


def _keys(signer: JobSigner, shares: set[ShareName]) -> Points:
    """Return block, farmer and nonce of shares, with their points."""
    jobs = {token: signer.open(token) for token in {token for token, _ in shares}}
    return {
        (jobs[token].block, jobs[token].farmer, nonce): 2**64 // (jobs[token].target + 1)
        for token, nonce in shares
    }


def _add_up(database: sqlite3.Connection, first: int, result: KillResult) -> None:
    """Check the sums that follow from shares, which are there from the first block on."""
    query = """
        SELECT b.block, b.state, b.points, b.pot,
            (SELECT coalesce(sum(points), 0) FROM shares s WHERE s.block = b.block),
            (SELECT coalesce(sum(points), 0) FROM worker_blocks w WHERE w.block = b.block),
            (SELECT coalesce(sum(points), 0) FROM parts p WHERE p.block = b.block),
            (SELECT coalesce(sum(amount), 0) FROM parts p WHERE p.block = b.block)
        FROM blocks b ORDER BY b.block"""
    for block, state, points, pot, shares, by_worker, by_part, paid in database.execute(query):
        if state in {"mined", "sent"}:
            continue
        if points != by_worker or (block >= first and points != shares):
            result.problems.append(
                f"block {block}: {points} points, {by_worker} by worker, {shares} in shares"
            )
        if state == "final":
            result.divided += 1
            if by_part != points or (points and (paid != pot or pot != REWARDS // 10)):
                result.problems.append(f"block {block}: parts of {paid} from a pot of {pot}")
