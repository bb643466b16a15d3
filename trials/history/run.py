"""Databases with and without history: the same blocks are farmed on all of them in turns.

The statements of a block are compared between an empty database and one with history. A page of a
report reads so many blocks, hours or days whatever the history: it is compared between a database
with as many blocks as a page reads and the one with history.
"""

import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
from rich.console import Console

from devstack.postgres import EmbeddedPostgres
from libs.common.db.pool import Database, open_database
from libs.common.db.queries import load_queries
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES
from services.migrations import migrate_all, role_of
from trials.history.block_life import Life, Timings, queries_of
from trials.history.report_reads import read_reports
from trials.history.server_time import ServerClock
from trials.machine import Origin, origin

SIDES = ("empty", "filled", "recent")
#: Blocks of history of the database that reports are compared with: more than any of them reads.
RECENT = 300
#: The factor by which a statement may be slower with history.
GOAL = 1.2
#: Milliseconds below which a difference is noise.
NOISE_MS = 0.3
#: Blocks that are farmed on both databases before anything is timed, so that caches and plans are
#: warm.
WARM_UP = 3
#: Blocks that are filled with one statement.
_STEP = 50
#: Statements that fill a range of blocks, in order; the others of history.sql come before them.
_FILLS = (
    "transactions",
    "operations",
    "transaction_operations",
    "audit_log",
    "audit_head",
    "wallet_batches",
    "batch_operations",
    "plantings",
    "works",
    "harvests",
    "plant_batches",
    "plant_items",
    "work_batches",
    "work_items",
    "submissions",
    "harvest_batches",
    "harvest_items",
)
#: Statements that sum what was filled, in order.
_SUMS = (
    "plant_sums",
    "work_sums",
    "harvest_sums",
    "plant_spans",
    "work_spans",
    "harvest_spans",
    "pooler_earnings",
    "farmer_earnings",
    "fee_sums",
)
_QUERIES = load_queries(Path(__file__).with_name("history.sql"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One statement, timed without history, or with as much as it reads, and with all of it."""

    name: str
    #: Medians of the time that the server worked.
    empty_ms: float
    filled_ms: float
    #: Medians of the time that the caller waited.
    empty_waited_ms: float
    filled_waited_ms: float

    @property
    def ratio(self) -> float:
        """Return the factor by which history makes the statement slower."""
        return self.filled_ms / self.empty_ms

    @property
    def met(self) -> bool:
        """Tell whether the ratio is within the goal, or the difference too small to judge."""
        return self.ratio <= GOAL or self.filled_ms - self.empty_ms <= NOISE_MS


@dataclass(frozen=True, kw_only=True)
class HistoryResult:
    """The result of the comparison."""

    origin: Origin
    #: Plantings, works and harvests.
    events: int
    farmers: int
    #: Turns on each database.
    turns: int
    rows: Sequence[Row]

    @property
    def whole(self) -> float:
        """Return the ratio of all of a block's statements together."""
        return sum(row.filled_ms for row in self.rows) / sum(row.empty_ms for row in self.rows)

    @property
    def met(self) -> bool:
        """Tell whether a block's reads and writes stay within the goal."""
        return self.whole <= GOAL


async def run(events: int, farmers: int, turns: int, console: Console) -> HistoryResult:
    """Make the databases, fill them with their history, and measure."""
    blocks = max(1, events // (3 * farmers))
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmbeddedPostgres(Path(scratch) / "postgres", durable=False) as server,
    ):
        passwords = {name: secrets.token_urlsafe(16) for name in SERVICES}
        for name in SIDES:
            await _make(server, name, passwords, farmers, blocks)
        await _fill(server.dsn(database="filled"), (0, blocks), farmers, console)
        recent = (max(0, blocks - RECENT), blocks)
        await _fill(server.dsn(database="recent"), recent, farmers, console)
        return HistoryResult(
            origin=await origin(server.admin_dsn),
            events=blocks * farmers * 3,
            farmers=farmers,
            turns=turns,
            rows=await measure(server, passwords, blocks, turns, console),
        )


async def measure(
    server: EmbeddedPostgres,
    passwords: Mapping[str, str],
    first: int,
    turns: int,
    console: Console,
) -> list[Row]:
    """Farm the blocks after the history on all databases, and read reports where there is some."""
    async with AsyncExitStack() as stack:
        lives = {
            name: await stack.enter_async_context(_life(server, name, passwords)) for name in SIDES
        }
        blocks = {name: Timings(clock=life.clock) for name, life in lives.items()}
        reports = {name: Timings(clock=life.clock) for name, life in lives.items()}
        for turn in range(1 - WARM_UP, turns + 1):
            console.print(f"turn {turn} of {turns}", style="dim", highlight=False)
            if turn == 1:
                await _settle(server)
            # The databases also take turns at being first.
            for name in sorted(lives, reverse=turn % 2 == 0):
                # Used in each turn, no connection is idle until it is closed; new ones count.
                lives[name].clock.count(await _processes(lives[name].databases))
                block, warm_up = first + WARM_UP - 1 + turn, Timings(clock=lives[name].clock)
                await lives[name].block(block, blocks[name] if turn > 0 else warm_up)
                if name != "empty":
                    read = reports[name] if turn > 0 else warm_up
                    await read_reports(lives[name], block, read)
    of_block = _compared(blocks["empty"], blocks["filled"])
    return of_block + _compared(reports["recent"], reports["filled"])


def _compared(empty: Timings, filled: Timings) -> list[Row]:
    """Return a row for each statement that was timed on both databases."""
    return [
        Row(
            name=name,
            empty_ms=median(empty.of[name]) * 1000,
            filled_ms=median(filled.of[name]) * 1000,
            empty_waited_ms=median(empty.waited[name]) * 1000,
            filled_waited_ms=median(filled.waited[name]) * 1000,
        )
        for name in empty.of
    ]


async def _make(
    server: EmbeddedPostgres,
    name: str,
    passwords: Mapping[str, str],
    farmers: int,
    blocks: int,
) -> None:
    """Make a migrated database with farmers, and with blocks as seen on the chain."""
    admin = await asyncpg.connect(server.admin_dsn)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()
    dsn = server.dsn(database=name)
    await migrate_all(DatabaseAddress(dsn=dsn), passwords)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(_QUERIES["prepare"].sql)
        # Work of helpers of a statement's process would not be counted.
        await connection.execute(f"ALTER DATABASE {name} SET max_parallel_workers_per_gather = 0")
        # Wallets and farmers refer to each other.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(_QUERIES["farmers"].sql, farmers)
        await connection.execute(_QUERIES["blocks"].sql, blocks, blocks + 100)
    finally:
        await connection.close()


async def _fill(dsn: str, history: tuple[int, int], farmers: int, console: Console) -> None:
    """Fill a database with the blocks from the first one up to before the last one."""
    first, blocks = history
    connection = await asyncpg.connect(dsn, command_timeout=None)
    started = time.monotonic()
    try:
        # The rows are right by construction: ten million look-ups of foreign keys are left out.
        await connection.execute("SET session_replication_role = replica")
        for service in ("plant", "work", "harvest"):
            for low in range(0, blocks + 100, 10_000):
                await connection.execute(f"SELECT {service}.ensure_partition($1)", low)
        await connection.execute(_QUERIES["blocks"].sql, first, blocks)
        indexes = await connection.fetch(_QUERIES["indexes"].sql)
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for low in range(first, blocks, _STEP):
            for name in _FILLS:
                sql = _QUERIES[name].sql
                given = (low, min(blocks, low + _STEP), farmers)
                await connection.execute(sql, *given[: 3 if "$3" in sql else 2])
            done = min(blocks, low + _STEP)
            if done == blocks or done % (10 * _STEP) == 0:
                events, seconds = (done - first) * farmers * 3, time.monotonic() - started
                console.print(f"{seconds:7.1f} s  {events:,} events", style="dim", highlight=False)
        for name in _SUMS:
            await connection.execute(_QUERIES[name].sql)
        await connection.execute("SET maintenance_work_mem = '256MB'")
        for index in indexes:
            await connection.execute(index["definition"])
        console.print(f"{time.monotonic() - started:7.1f} s  indexed", style="dim", highlight=False)
        await connection.execute("VACUUM (ANALYZE, FREEZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _settle(server: EmbeddedPostgres) -> None:
    """Do the work that autovacuum, which is off here, would have done by now on all databases."""
    for name in SIDES:
        connection = await asyncpg.connect(server.dsn(database=name), command_timeout=None)
        try:
            # Indexes are left out: they would take minutes with history, and change nothing here.
            await connection.execute("VACUUM (ANALYZE, INDEX_CLEANUP off)")
        finally:
            await connection.close()


@asynccontextmanager
async def _life(
    server: EmbeddedPostgres, name: str, passwords: Mapping[str, str]
) -> AsyncIterator[Life]:
    """Yield a database as the services see it."""
    async with AsyncExitStack() as stack:
        databases: dict[str, Database] = {}
        for service in SERVICES:
            dsn = server.dsn(database=name, user=role_of(service), password=passwords[service])
            databases[service] = await stack.enter_async_context(
                open_database(
                    DatabaseAddress(dsn=dsn),
                    queries=queries_of(service),
                    pool_size=1,
                    timeout_ms=600_000,
                    name=service,
                )
            )
        connection = await asyncpg.connect(server.dsn(database=name))
        try:
            rows: list[Any] = await connection.fetch(
                "SELECT farmer_id, id, address FROM wallet.wallets "
                "WHERE kind = 'farmer' ORDER BY id"
            )
            (pooler,) = await connection.fetch("SELECT id FROM registry.poolers")
        finally:
            await connection.close()
        yield Life(
            databases=databases,
            pooler_id=UUID(str(pooler["id"])),
            farmers=[tuple(r) for r in rows],
            clock=ServerClock(await _processes(databases)),
        )


async def _processes(databases: Mapping[str, Database]) -> list[int]:
    """Return the server's processes behind all connections."""
    return [await _process_of(database) for database in databases.values()]


async def _process_of(database: Database) -> int:
    """Return the server's process behind the only connection."""
    async with database.session() as session:
        return session.connection.get_server_pid()
