"""Typed access to the database of shares."""

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from libs.common.ids import FarmerId
from pooler.shares.domain.jobs import new_key
from pooler.shares.domain.model import (
    Best,
    BlockRow,
    BlockState,
    Miner,
    MinerId,
    NewMiner,
    PaidPart,
    Part,
    Share,
    ShareKey,
    WorkerBlock,
    WorkerRow,
)
from pooler.shares.domain.terms import Terms
from pooler.shares.domain.withholding import Tally
from pooler.shares.store.database import Database, Row, Session

_JOB_KEY = "job_key"
#: Blocks whose shares are kept one by one, for rates of the last hour after a restart.
KEPT_BLOCKS = 13
#: Blocks for which is kept what each worker did, about a month; miners' parts are kept for ever.
KEPT_WORKER_BLOCKS = 8640
#: Milliseconds of a slot in which shares are summed up after a restart.
SLOT_MS = 15_000


@dataclass(frozen=True, kw_only=True)
class MinerResult:
    """A block as one miner sees it."""

    #: The block, how far it is, and when it was taken up (unix ms).
    block: int
    state: BlockState
    opened_at: int
    #: Points of all miners, the pool's own hashes, and the stroops that were divided.
    all_points: int
    own_hashes: int
    pot: int
    #: The miner's shares, their points, and the best zeros; -1 for none.
    shares: int
    points: int
    best: int
    #: Shares that came too late, the points that they would have had, and the longest lateness.
    late_shares: int
    late_points: int
    latest_ms: int
    #: The miner's part in stroops; None until the block is final, and without points.
    amount: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecentShares:
    """A worker's shares within a slot of time."""

    worker: int
    #: Number of the slot: unix ms divided by SLOT_MS.
    slot: int
    shares: int
    points: int
    #: Sum of the squares of points.
    squares: float


@dataclass(frozen=True, kw_only=True)
class LateShares:
    """Late shares of a worker that are to be noted."""

    block: int
    worker: int
    shares: int
    points: int
    latest_ms: int


@dataclass(frozen=True, kw_only=True)
class Credited:
    """What became of shares that were to be written down."""

    #: Those that are credited now, and those that were before; the others are credited nothing.
    new: Set[ShareKey]
    known: Set[ShareKey]


@dataclass(frozen=True, kw_only=True)
class PastBlock:
    """What a worker did in a block that is over."""

    #: When the block was taken up (unix ms).
    opened_at: int
    done: WorkerBlock


class Store:
    """All tables. Methods raise UnavailableError while the database is away."""

    def __init__(self, database: Database) -> None:
        """Take an open database."""
        self._database = database

    def reading(self) -> AbstractAsyncContextManager[Session]:
        """Open a session that only reads."""
        return self._database.reading()

    async def job_key(self) -> bytes:
        """Return the key of jobs, which is made once."""
        async with self._database.transaction() as session:
            await session.execute("keep_fact", _JOB_KEY, new_key())
            row = await session.one("fact", _JOB_KEY)
        if row is None:
            raise AssertionError("what was kept is there")
        return bytes(row["value"])

    async def backup(self, target: Path) -> None:
        """Copy the database into a new file while it is used; raise BackupError."""
        await self._database.backup(target)

    # Miners and workers ---------------------------------------------------------------------------

    async def add_miner(self, new: NewMiner, *, most: int) -> Miner | None:
        """Add a miner; None when there are so many already."""
        async with self._database.transaction() as session:
            count = await session.one("count_miners")
            if count is not None and count["miners"] >= most:
                return None
            row = await session.one(
                "add_miner",
                str(new.miner_id),
                new.credential_hash,
                new.address,
                new.name,
                new.terms,
                new.joined_at,
            )
        return None if row is None else _miner(row)

    async def miner_of_credential(self, credential_hash: bytes) -> Miner | None:
        """Return the miner who has a credential."""
        async with self.reading() as session:
            row = await session.one("miner_of_credential", credential_hash)
        return None if row is None else _miner(row)

    async def miner(self, miner_id: MinerId) -> Miner | None:
        """Return a miner."""
        async with self.reading() as session:
            row = await session.one("miner", str(miner_id))
        return None if row is None else _miner(row)

    async def miners(self, *, after: int = 0, limit: int = 1000) -> list[Miner]:
        """Return miners by number, after one."""
        async with self.reading() as session:
            return [_miner(row) for row in await session.many("miners_after", after, limit)]

    async def count_miners(self) -> int:
        """Return how many miners there are."""
        async with self.reading() as session:
            row = await session.one("count_miners")
        return 0 if row is None else int(row["miners"])

    async def agree(self, miner: int, terms: str) -> None:
        """Note that a miner agrees to terms."""
        async with self._database.transaction() as session:
            await session.execute("agree", miner, terms)

    async def ban(self, miner_id: MinerId, *, until: int, why: str) -> bool:
        """Ban a miner until a moment (unix ms; 0 ends a ban); False when there is no such miner."""
        async with self._database.transaction() as session:
            return bool(await session.execute("ban", str(miner_id), until, why))

    async def bans(self, at: int) -> list[Miner]:
        """Return the miners who are banned beyond a moment (unix ms)."""
        async with self.reading() as session:
            return [_miner(row) for row in await session.many("bans_after", at)]

    async def worker(self, miner: int, name: str, *, at: int, most: int) -> WorkerRow | None:
        """Return a worker, who is added when it is new; None when the miner has so many already."""
        async with self._database.transaction() as session:
            row = await session.one("worker", miner, name)
            if row is None:
                if len(await session.many("workers_of", miner)) >= most:
                    return None
                await session.execute("add_worker", miner, name, at)
                row = await session.one("worker", miner, name)
        return None if row is None else WorkerRow(**_values(row))

    async def worker_of_number(self, number: int) -> WorkerRow | None:
        """Return a worker by its number."""
        async with self.reading() as session:
            row = await session.one("worker_of_number", number)
        return None if row is None else WorkerRow(**_values(row))

    async def miners_of_workers(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return the number of each worker's miner, by the worker's number."""
        async with self.reading() as session:
            rows = await session.each("worker_of_number", [(number,) for number in numbers])
        return {row["number"]: row["miner"] for row in rows}

    async def workers_of(self, miner: int) -> list[WorkerRow]:
        """Return the workers of a miner."""
        async with self.reading() as session:
            return [WorkerRow(**_values(row)) for row in await session.many("workers_of", miner)]

    async def past_of_worker(self, worker: int, *, until_block: int, since: int) -> list[PastBlock]:
        """Return what a worker did in blocks up to one that were taken up since a moment (ms)."""
        async with self.reading() as session:
            rows = await session.many("blocks_of_worker", worker, until_block, since)
        return [_past(row) for row in rows]

    async def recent_shares(self, *, after_block: int) -> list[RecentShares]:
        """Return all workers' shares in blocks after one, by slots of some seconds, in order."""
        async with self.reading() as session:
            rows = await session.many("recent_shares", SLOT_MS, after_block)
        return [RecentShares(**_values(row)) for row in rows]

    async def tally_of_worker(self, worker: int) -> Tally:
        """Return a worker's levels."""
        tally = Tally()
        async with self.reading() as session:
            for row in await session.many("levels_of_worker", worker):
                tally.restore(row["zeros"], row["shares"], row["better"])
        return tally

    async def keep_tallies(self, tallies: Mapping[int, Tally]) -> None:
        """Write the levels of workers, by number."""
        rows = [
            (worker, zeros, level.shares, level.better)
            for worker, tally in tallies.items()
            for zeros, level in tally.levels.items()
        ]
        async with self._database.transaction() as session:
            await session.each("add_level", rows)

    # Blocks and shares ----------------------------------------------------------------------------

    async def farmer_numbers(self, farmers: Sequence[FarmerId]) -> list[int]:
        """Return the numbers of farmers, who are added when they are new."""
        names = [(str(one),) for one in farmers]
        async with self._database.transaction() as session:
            await session.each("add_farmer", names)
            rows = await session.each("farmer", names)
        return [int(row["number"]) for row in rows]

    async def open_block(self, block: int, entropy: bytes, *, at: int, terms: Terms) -> BlockRow:
        """Return a block, which is added when it is new, with the terms that hold."""
        own = int(terms.own_hashes_take_part)
        async with self._database.transaction() as session:
            await session.execute("add_block", block, entropy, at, terms.miners_bps, own)
            row = await session.one("block", block)
        if row is None:
            raise AssertionError("what was added is there")
        return _block(row)

    async def block(self, block: int) -> BlockRow | None:
        """Return a block."""
        async with self.reading() as session:
            row = await session.one("block", block)
        return None if row is None else _block(row)

    async def blocks(self, *, before: int, limit: int) -> list[BlockRow]:
        """Return blocks before one, the newest first."""
        async with self.reading() as session:
            return [_block(row) for row in await session.many("blocks_before", before, limit)]

    async def blocks_in(
        self, state: BlockState, *, after: int = -1, limit: int = 1000
    ) -> list[BlockRow]:
        """Return the blocks in a state after one, the oldest first."""
        async with self.reading() as session:
            rows = await session.many("blocks_in", state.value, after, limit)
        return [_block(row) for row in rows]

    async def send_block(self, block: int, *, at: int) -> bool:
        """Note that a block's works are sent; False when it is past that."""
        async with self._database.transaction() as session:
            return bool(await session.execute("send_block", block, at))

    async def note_own_hashes(self, block: int, hashes: int) -> None:
        """Note the pool's own hashes in a block that is mined; a smaller number changes nothing."""
        async with self._database.transaction() as session:
            await session.execute("note_own_hashes", block, hashes)

    async def credit(self, shares: Sequence[Share], bests: Sequence[Best]) -> Credited:
        """Write shares down, but those that are there, and those of a block that is closed."""
        async with self._database.transaction() as session:
            # In one order: two poolers that write the same shares must not wait for each other.
            ordered = sorted(share.values for share in shares)
            rows = await session.each("add_share", ordered)
            new = {_share_key(row) for row in rows}
            rest = [one.key for one in shares if one.key not in new]
            known = {_share_key(row) for row in await session.each("share", rest)}
            await session.each("keep_best", sorted(map(_best_values, bests)))
        return Credited(new=new, known=known)

    async def keep_bests(self, bests: Sequence[Best]) -> None:
        """Write down nonces that are better than those that are kept."""
        async with self._database.transaction() as session:
            await session.each("keep_best", sorted(map(_best_values, bests)))

    async def bests(self, block: int) -> list[Best]:
        """Return the best nonces of a block."""
        async with self.reading() as session:
            rows = await session.many("bests", block)
        return [
            Best(
                block=row["block"],
                farmer=row["farmer"],
                nonce=int(row["nonce"]),
                zeros=row["zeros"],
            )
            for row in rows
        ]

    async def shares_of_block(self, block: int) -> list[Share]:
        """Return the shares of a block."""
        async with self.reading() as session:
            rows = await session.many("shares_of_block", block)
        return [Share(**_values(row)) for row in rows]

    async def note_late(self, late: Iterable[LateShares]) -> None:
        """Note late shares, beside those that are noted already."""
        rows = [(one.block, one.worker, one.shares, one.points, one.latest_ms) for one in late]
        async with self._database.transaction() as session:
            await session.each("add_late", rows)

    async def close_blocks(self, before: int) -> list[int]:
        """Close all blocks before one: write what each worker did, and forget what is old."""
        async with self._database.transaction() as session:
            rows = await session.many("open_blocks_before", before)
            closing = [int(row["block"]) for row in rows]
            for block in closing:
                await session.execute("write_worker_blocks", block)
                await session.execute("close_block", block)
            await session.execute("forget_shares", before - KEPT_BLOCKS)
            await session.execute("forget_bests", before - 1)
            await session.execute("forget_worker_blocks", before - KEPT_WORKER_BLOCKS)
            await session.execute("forget_late_shares", before - KEPT_WORKER_BLOCKS)
        return closing

    async def forget_idle_miners(self, *, joined_before: int, at: int) -> int:
        """Forget miners who joined before a moment (ms) and never asked for work."""
        async with self._database.transaction() as session:
            return await session.execute("forget_idle_miners", joined_before, at)

    # Parts ----------------------------------------------------------------------------------------

    async def points_of_block(self, block: int) -> dict[int, int]:
        """Return the points of miners in a closed block, by number."""
        async with self.reading() as session:
            rows = await session.many("points_of_block", block)
        return {int(row["miner"]): int(row["points"]) for row in rows}

    async def divide(self, block: int, *, rewards: int, pot: int, parts: Iterable[Part]) -> bool:
        """Make a closed block's parts final; False when they are, or it is not closed."""
        async with self._database.transaction() as session:
            if not await session.execute("divide_block", block, rewards, pot):
                return False
            await session.each("add_part", [astuple(part) for part in parts])
        return True

    async def paid_parts(self, block: int) -> list[PaidPart]:
        """Return the parts of a block with the addresses that they are paid to."""
        async with self.reading() as session:
            rows = await session.many("paid_parts", block)
        return [
            PaidPart(**{**_values(row), "miner_id": MinerId(UUID(row["miner_id"]))}) for row in rows
        ]

    async def hand_on(self, block: int) -> bool:
        """Note that a block's parts were taken by who pays; False when they were before."""
        async with self._database.transaction() as session:
            return bool(await session.execute("hand_on_block", block))

    async def results(self, miner: int, *, before: int, limit: int) -> list[MinerResult]:
        """Return the closed blocks before one in which a miner did something, the newest first."""
        async with self.reading() as session:
            rows = await session.many("results_of_miner", miner, before, limit)
        return [MinerResult(**{**_values(row), "state": BlockState(row["state"])}) for row in rows]


def _values(row: Row) -> dict[str, Any]:
    return {column: row[column] for column in row.keys()}  # noqa: SIM118  (a row is no mapping)


def _miner(row: Row) -> Miner:
    return Miner(**{**_values(row), "miner_id": MinerId(UUID(row["miner_id"]))})


def _block(row: Row) -> BlockRow:
    values = _values(row)
    return BlockRow(
        **{
            **values,
            "entropy": bytes(row["entropy"]),
            "state": BlockState(row["state"]),
            "own_takes_part": bool(row["own_takes_part"]),
        }
    )


def _best_values(best: Best) -> tuple[int, int, str, int]:
    return best.block, best.farmer, str(best.nonce), best.zeros


def _share_key(row: Row) -> ShareKey:
    return row["block"], row["farmer"], row["nonce"]


def _past(row: Row) -> PastBlock:
    values = _values(row)
    return PastBlock(opened_at=values.pop("opened_at"), done=WorkerBlock(**values))
