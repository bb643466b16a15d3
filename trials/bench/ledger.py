"""python -m trials.bench.ledger: what booking the harvests of a block costs, and reading balances.

1,000 harvests of a block are recorded in one statement, with the pool's ledger and without: what
the ledger adds is compared with the same journals and entries inserted bare, into tables of the
same shape and indexes. Then a farmer's accounts and newest journals are read, beside few entries
and beside many. Written to trials/results. Exit status 1 when a goal is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg

from devstack.postgres import EmbeddedPostgres
from libs.common.db.queries import load_queries
from libs.common.db.tls import DatabaseAddress
from services.harvest.store.store import QUERIES as HARVEST_QUERIES
from services.migrations import migrate_all
from trials.bench.goals import Goal
from trials.machine import Origin, origin
from trials.report import Report, Table, add_options, console_of, tell

#: Milliseconds that booking takes at most, and how many times as long as the bare rows.
BOOKING_MS, TIMES = 150.0, 3.0
#: How many times as long a read may take beside many entries, and milliseconds that are noise.
READS, NOISE_MS = 1.2, 0.3
#: Blocks that do not count, and journals that one statement fills.
_WARM_UP, _STEP = 3, 50_000
#: Journals of a farmer where there are few: more than a page has.
_FEW = 120
_OURS = load_queries(
    Path(__file__).with_name("ledger.sql"), Path(__file__).parents[1] / "history" / "history.sql"
)
_HARVEST = load_queries(*HARVEST_QUERIES)
#: The farmer whose page is read, as history.sql names it.
_FARMER = "SELECT fill.uid(20007)"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Milliseconds of a read beside few entries and beside many."""

    #: What is read.
    name: str
    few_ms: float
    many_ms: float


@dataclass(frozen=True, kw_only=True)
class Booked:
    """All that was measured, in milliseconds by the clock: medians of the turns."""

    origin: Origin
    #: Harvests of a block, turns, and entries beside which was read in the end.
    harvests: int
    turns: int
    entries: int
    #: Recording a block with the ledger, and without.
    with_ms: float
    without_ms: float
    #: The same journals and entries inserted bare.
    bare_ms: float
    readings: tuple[Reading, ...]

    @property
    def booking_ms(self) -> float:
        """Return what the ledger adds to recording a block."""
        return self.with_ms - self.without_ms

    def goals(self) -> list[Goal]:
        """Return every figure beside its goal."""
        times = self.booking_ms / self.bare_ms
        return [
            Goal(name="booking", figure=self.booking_ms, at_most=BOOKING_MS, unit="ms"),
            Goal(name="booking over bare rows", figure=times, at_most=TIMES, unit="times"),
            *(
                Goal(
                    name=one.name,
                    figure=one.many_ms,
                    at_most=max(one.few_ms * READS, one.few_ms + NOISE_MS),
                    unit="ms",
                )
                for one in self.readings
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class Books:
    """A database with farmers, by all rights."""

    connection: "asyncpg.Connection[Any]"
    harvests: int

    async def do(self, name: str, *arguments: object) -> None:
        """Run one of the trial's statements."""
        await self.connection.execute(_OURS[name].sql, *arguments)

    async def record(self, block: int) -> float:
        """Record a block's harvests; return the milliseconds."""
        return await _timed(lambda: self.do("record_block", block, self.harvests))

    async def insert_bare(self, block: int) -> float:
        """Insert the rows of a block's ledger bare, in one transaction; return the milliseconds."""
        journals, entries = [
            [list(column) for column in zip(*map(tuple, rows), strict=True)]
            for rows in (
                await self.connection.fetch(_OURS["journals_of_block"].sql, block),
                await self.connection.fetch(_OURS["entries_of_block"].sql, block),
            )
        ]

        async def insert() -> None:
            async with self.connection.transaction():
                await self.do("bare_journals", *journals)
                await self.do("bare_entries", *entries)

        return await _timed(insert)

    async def read(self) -> dict[str, float]:
        """Read a farmer's page; return the milliseconds by what is read."""
        farmer: UUID = await self.connection.fetchval(_FARMER)
        asked: dict[str, tuple[str, tuple[object, ...]]] = {
            "a farmer's accounts": ("farmer_accounts", (farmer,)),
            "a farmer's newest 100 journals": ("farmer_journals", (farmer, None, 100)),
            "what a farmer has earned": ("balance", (farmer,)),
        }
        times = {}
        for name, (query, arguments) in asked.items():
            turns = [
                await _timed(lambda: self.connection.fetch(_HARVEST[query].sql, *arguments))  # noqa: B023
                for _ in range(21)
            ]
            times[name] = median(turns)
        return times


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await act()
    return (time.perf_counter() - started) * 1000


async def measure(harvests: int, turns: int, entries: int) -> Booked:
    """Measure everything in a database of its own."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        EmbeddedPostgres(Path(scratch) / "postgres", durable=False) as server,
    ):
        await migrate_all(DatabaseAddress(dsn=server.admin_dsn))
        connection = await asyncpg.connect(server.admin_dsn)
        try:
            books = Books(connection=connection, harvests=harvests)
            return await _measure(books, turns, entries, await origin(server.admin_dsn))
        finally:
            await connection.close()


async def _measure(books: Books, turns: int, entries: int, where: Origin) -> Booked:
    for name in ("prepare", "bare_tables"):
        await books.do(name)
    await books.do("farmers", books.harvests)
    await books.do("agreed_blocks", 2 * (turns + _WARM_UP))
    await books.do("agreements")
    await books.connection.execute("ANALYZE wallet.agreements, wallet.wallets, chain.blocks")
    await books.connection.execute("SELECT harvest.ensure_partition(0)")
    with_ms, without_ms, bare_ms = list[float](), list[float](), list[float]()
    for turn in range(turns + _WARM_UP):
        with_ms.append(await books.record(2 * turn))
        bare_ms.append(await books.insert_bare(2 * turn))
        await books.do("without_ledger")
        without_ms.append(await books.record(2 * turn + 1))
        await books.do("with_ledger")
    first = _FEW * books.harvests
    await _fill(books, 1, first)
    few = await books.read()
    await _fill(books, first + 1, entries // 3)
    many = await books.read()
    return Booked(
        origin=where,
        harvests=books.harvests,
        turns=turns,
        entries=entries,
        with_ms=median(with_ms[_WARM_UP:]),
        without_ms=median(without_ms[_WARM_UP:]),
        bare_ms=median(bare_ms[_WARM_UP:]),
        readings=tuple(Reading(name=name, few_ms=few[name], many_ms=many[name]) for name in few),
    )


async def _fill(books: Books, first: int, last: int) -> None:
    """Write journals as months of harvests leave them; nothing sums them here."""
    await books.connection.execute("SET session_replication_role = replica")
    for begin in range(first, last + 1, _STEP):
        part = (begin, min(begin + _STEP - 1, last), books.harvests)
        await books.do("fill_journals", *part)
        await books.do("fill_entries", *part)
    await books.connection.execute("RESET session_replication_role")
    await books.do("analyze")


def report_of(booked: Booked) -> Report:
    """Return the report, with every figure beside its goal."""
    goals = booked.goals()
    is_met = all(goal.met for goal in goals)
    return Report(
        name="ledger",
        title="The pool's ledger",
        origin=booked.origin,
        commands=[f"python -m trials.bench.ledger --entries {booked.entries}"],
        parts=[
            Table(
                title=f"{booked.harvests:,} harvests in one statement, {booked.turns} turns",
                columns=("what", "ms"),
                rows=[
                    ("recorded with the ledger", f"{booked.with_ms:.1f}"),
                    ("recorded without", f"{booked.without_ms:.1f}"),
                    ("journals and entries bare", f"{booked.bare_ms:.1f}"),
                ],
            ),
            Table(
                title=f"reads beside {booked.entries:,} entries",
                columns=("what", "few: ms", "many: ms"),
                rows=[
                    (one.name, f"{one.few_ms:.2f}", f"{one.many_ms:.2f}") for one in booked.readings
                ],
            ),
            Table(
                title="goals",
                columns=("what", "figure", "at most", "unit", "verdict"),
                rows=[
                    (
                        goal.name,
                        f"{goal.figure:.2f}",
                        f"{goal.at_most:.2f}",
                        goal.unit,
                        "met" if goal.met else "NOT met",
                    )
                    for goal in goals
                ],
            ),
        ],
        verdict="goals met" if is_met else "goals NOT met",
        passed=is_met,
        content=asdict(booked),
    )


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m trials.bench.ledger", description=__doc__)
    parser.add_argument("--harvests", type=int, default=1000, help="of a block (1000)")
    parser.add_argument("--turns", type=int, default=15, help="blocks that count (15)")
    parser.add_argument(
        "--entries", type=int, default=10_000_000, help="beside which is read (10000000)"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    console = console_of(options)
    booked = asyncio.run(measure(options.harvests, options.turns, options.entries))
    report = report_of(booked)
    tell(console, report, options)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
