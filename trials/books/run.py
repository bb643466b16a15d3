"""A story is told to the pool's ledger by processes that are killed again and again."""

import asyncio
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from devstack.postgres import EmbeddedPostgres
from devstack.stack import Progress, with_login
from libs.common.db.pool import open_database
from libs.common.db.queries import load_queries
from libs.common.db.tls import DatabaseAddress
from libs.kale.fees import Terms, split
from services.harvest.domain.credits import divide, miner_id
from services.harvest.domain.ledger import POOL, Difference
from services.harvest.store.ledger import LedgerStore
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.harvest.store.store import Store
from services.harvest.usecases.ledger import Ledger
from services.migrations import migrate_all, role_of
from trials.books.writer import POOLER, STORY, Nobody, own, proven
from trials.machine import Origin, origin

#: Farmers, and writers at a time.
FARMERS, WRITERS = 200, 2
#: Journals that one thing of the story makes, about.
_EACH = 1.5
#: Seconds between two kills: from, to.
_BETWEEN = (0.5, 3.0)
_TERMS = Terms(pooler_bps=2000, operator_bps=500, miners_bps=6000)
_QUERIES = load_queries(STORY, Path(__file__).parents[1] / "history" / "history.sql")
Balances = dict[tuple[str, str], int]


@dataclass(frozen=True, kw_only=True)
class BooksResult:
    """What became of the story."""

    origin: Origin
    seed: int
    #: Things that happened, journals that were made, and writers that were killed.
    happened: int
    journals: int
    entries: int
    kills: int
    #: Seconds until everything was booked, and of the look at all of it.
    seconds: float
    check_seconds: float
    #: What is not as it has to be, in words.
    problems: list[str]


async def tell(journals: int, seed: int, progress: Progress) -> BooksResult:
    """Tell a story of about so many journals, and look at the books in the end."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmbeddedPostgres(Path(scratch) / "postgres", durable=False) as server,
    ):
        password = secrets.token_urlsafe(12)
        admin = DatabaseAddress(dsn=server.admin_dsn)
        await migrate_all(admin, {"harvest": password})
        dsn = with_login(server.admin_dsn, role_of("harvest"), password)
        connection = await asyncpg.connect(server.admin_dsn)
        try:
            progress("making up the story")
            happened = await _make_up(connection, round(journals / _EACH), seed)
            progress(f"{happened} things have happened: they are booked")
            started = time.monotonic()
            kills = await _write(dsn, seed)
            seconds = time.monotonic() - started
            progress(f"booked, {kills} kills")
            return await _judge(
                connection,
                dsn,
                BooksResult(
                    origin=await origin(server.admin_dsn),
                    seed=seed,
                    happened=happened,
                    journals=0,
                    entries=0,
                    kills=kills,
                    seconds=seconds,
                    check_seconds=0,
                    problems=[],
                ),
            )
        finally:
            await connection.close()


async def _make_up(connection: Any, happened: int, seed: int) -> int:
    async def do(name: str, *arguments: object) -> None:
        await connection.execute(_QUERIES[name].sql, *arguments)

    await do("prepare")
    await do("farmers", FARMERS)
    await do("story_tables")
    await do("story", seed, happened, FARMERS)
    await do("story_movements", FARMERS)
    await do("story_events", FARMERS)
    await connection.execute("SELECT harvest.ensure_partition(700)")
    await connection.execute("ANALYZE")
    return happened


async def _write(dsn: str, seed: int) -> int:
    """Run writers until each has ended by itself; kill one of them again and again."""
    chance = random.Random(seed)
    kills = 0
    running = [await _start(dsn) for _ in range(WRITERS)]
    while any(one.returncode is None for one in running):
        await asyncio.wait(
            [asyncio.create_task(one.wait()) for one in running if one.returncode is None],
            timeout=chance.uniform(*_BETWEEN),
        )
        for one in running:
            if one.returncode not in {None, 0}:
                raise RuntimeError(f"a writer ended with {one.returncode}")
        place = chance.randrange(WRITERS)
        if running[place].returncode is None:
            running[place].send_signal(signal.SIGKILL)
            await running[place].wait()
            kills += 1
            running[place] = await _start(dsn)
    return kills


async def _start(dsn: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trials.books.writer"),
        env={**os.environ, "DATABASE_URL": dsn, "LOG_LEVEL": "warning"},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


async def _judge(connection: Any, dsn: str, result: BooksResult) -> BooksResult:
    """Compare the books with the story."""
    problems = list(await _journals(connection))
    expected, booked = await _expected(connection), await _booked(connection)
    problems += [
        f"{role} of {owner}: {booked.get((owner, role), 0)}, "
        f"the story gives {expected.get((owner, role), 0)}"
        for owner, role in sorted(expected.keys() | booked.keys())
        if expected.get((owner, role), 0) != booked.get((owner, role), 0)
    ]
    started = time.monotonic()
    async with open_database(
        DatabaseAddress(dsn=dsn),
        queries=HARVEST_QUERIES,
        pool_size=2,
        timeout_ms=600_000,
        name="books",
    ) as database:
        ledger = Ledger(store=Store(database, Nobody()), ledger=LedgerStore(database))
        found = await ledger.check()
    problems += list(map(_words, found.differences))
    return BooksResult(
        **{
            **result.__dict__,
            "journals": found.journals,
            "entries": found.entries,
            "check_seconds": time.monotonic() - started,
            "problems": problems,
        }
    )


async def _journals(connection: Any) -> list[str]:
    expected, booked = [
        {row["kind"]: row["journals"] for row in await connection.fetch(_QUERIES[name].sql)}
        for name in ("expected_journals", "booked_journals")
    ]
    return [
        f"journals of kind {kind}: {booked.get(kind, 0)}, the story has {expected.get(kind, 0)}"
        for kind in sorted(expected.keys() | booked.keys())
        if expected.get(kind, 0) != booked.get(kind, 0)
    ]


async def _expected(connection: Any) -> Balances:
    """Return what every account has to have, by its owner and role."""
    have: Counter[tuple[str, str]] = Counter()
    for row in await connection.fetch(_QUERIES["expected_balances"].sql):
        farmer = str(row["farmer_id"])
        have[farmer, "farmer:available"] -= int(row["staked"] + row["paid"])
        have[farmer, "farmer:staked"] += int(row["staked"])
    pots: defaultdict[int, int] = defaultdict(int)
    for row in await connection.fetch(_QUERIES["expected_harvests"].sql):
        farmer, parts = str(row["farmer_id"]), split(row["reward"], _TERMS)
        have[farmer, "farmer:available"] += row["stake"] + parts.farmer
        have[farmer, "farmer:staked"] -= row["stake"]
        have[str(POOLER), "pooler:fee"] += parts.pooler
        have[str(POOL), "operator:fee"] += parts.operator
        pots[row["block_index"]] += parts.miners
    for block, pot in pots.items():
        parts_of_block, rest = divide(pot, proven(block), own(block))
        have[str(POOLER), "pooler:fee"] += rest
        for address, amount in parts_of_block.items():
            have[str(miner_id(POOLER, address)), "miner:earned"] += amount
    return dict(have)


async def _booked(connection: Any) -> Balances:
    rows = await connection.fetch(_QUERIES["booked_balances"].sql)
    return {(str(row["owner_id"]), row["role"]): int(row["amount"]) for row in rows}


def _words(difference: Difference) -> str:
    names: Mapping[str, object] = {
        "owner": difference.owner_id,
        "role": difference.role,
        "journal": difference.journal_id,
    }
    told = ", ".join(f"{name} {value}" for name, value in names.items() if value)
    return f"{difference.kind} ({told}): kept {difference.kept}, expected {difference.expected}"
