"""Files of shares: copies, what is on the disk, and files that are something else."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import UnavailableError
from libs.common.ids import FarmerId, new_id
from pooler.shares.domain.model import MinerId, NewMiner, Share
from pooler.shares.domain.terms import Terms
from pooler.shares.store.database import BackupError, WrongDatabaseError
from pooler.shares.store.opening import open_store
from pooler.shares.store.sqlite import open_sqlite
from pooler.shares.store.store import Store
from tests.support.database import DatabaseFactory, connect

NOW = 1_769_860_800_000


async def filled(store: Store) -> tuple[int, int]:
    """Have a miner, a worker, a farmer and a block; return the numbers of worker and farmer."""
    new = NewMiner(
        miner_id=MinerId(new_id()),
        credential_hash=bytes(32),
        address="G",
        name="",
        terms="t",
        joined_at=NOW,
    )
    miner = await store.add_miner(new, most=9)
    assert miner is not None
    worker = await store.worker(miner.number, "rig", at=NOW, most=9)
    assert worker is not None
    terms = Terms(miners_bps=1000, own_hashes_take_part=True)
    await store.open_block(7, bytes(32), at=NOW, terms=terms)
    (farmer,) = await store.farmer_numbers([FarmerId(new_id())])
    return worker.number, farmer


def share(worker: int, farmer: int, nonce: int) -> Share:
    return Share(block=7, farmer=farmer, nonce=nonce, worker=worker, points=16, zeros=1, at=NOW)


async def test_a_copy_is_whole_and_its_owners_alone(tmp_path: Path) -> None:
    place, copy = tmp_path / "shares.db", tmp_path / "copy.db"
    async with open_store(str(place)) as store:
        worker, farmer = await filled(store)

        async def write() -> None:
            for nonce in range(200):
                await store.credit([share(worker, farmer, nonce)], [])

        await asyncio.gather(write(), store.backup(copy))
        written = len(await store.shares_of_block(7))
    assert [one.stat().st_mode & 0o077 for one in (place, copy)] == [0, 0]
    assert {one.name for one in list(tmp_path.iterdir())} == {"copy.db", "shares.db"}  # noqa: ASYNC240
    async with open_store(str(copy)) as restored:
        shares = await restored.shares_of_block(7)
        assert len(shares) <= written == 200
        assert len(await restored.miners()) == 1


async def test_a_copy_takes_no_files_place(tmp_path: Path) -> None:
    place = tmp_path / "shares.db"
    async with open_store(str(place)) as store:
        with pytest.raises(BackupError, match="is there already"):
            await store.backup(place)
        with pytest.raises(BackupError, match="cannot be copied"):
            await store.backup(tmp_path / "none" / "copy.db")


async def test_postgresql_is_copied_by_its_own_programs(database_factory: DatabaseFactory) -> None:
    async with (
        database_factory.create(template="template1") as access,
        open_store(access.admin_dsn) as store,
    ):
        with pytest.raises(BackupError, match="pg_dump"):
            await store.backup(Path("x"))


async def test_each_commit_is_on_the_disk(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "shares.db") as database, database.transaction() as session:

        def settings(db: sqlite3.Connection) -> list[Any]:
            names = ("journal_mode", "synchronous", "foreign_keys", "fullfsync")
            return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        assert await session.run(settings) == ["wal", 2, 1, 1]


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 99])
async def test_another_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "other"
    place.write_bytes(content)
    with pytest.raises(WrongDatabaseError):
        async with open_store(str(place)):
            pass
    assert place.read_bytes() == content


async def test_another_database_and_another_version_are_left_alone(tmp_path: Path) -> None:
    other, newer = tmp_path / "other.db", tmp_path / "newer.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    async with open_store(str(newer)):
        pass
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE facts SET value = x'32'")
    connection.commit()
    connection.close()
    for place in (other, newer):
        with pytest.raises(WrongDatabaseError, match="of this version"):
            async with open_store(str(place)):
                pass


async def test_another_version_in_postgresql_is_left_alone(
    database_factory: DatabaseFactory,
) -> None:
    async with database_factory.create(template="template1") as access:
        async with open_store(access.admin_dsn):
            pass
        async with connect(access.admin_dsn) as connection:
            await connection.execute("UPDATE shares.facts SET value = '2'")
        with pytest.raises(WrongDatabaseError, match="version"):
            async with open_store(access.admin_dsn):
                pass


async def test_a_full_disk_credits_nothing_and_passes(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "shares.db") as database:
        store = Store(database)
        worker, farmer = await filled(store)

        async def pages(most: str) -> None:
            await database._writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {most}"))

        await pages("1")  # as many as there are, and no more
        shares = [share(worker, farmer, nonce) for nonce in range(5000)]
        with pytest.raises(UnavailableError) as caught:
            await store.credit(shares, [])
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        assert await store.shares_of_block(7) == []
        await pages("1000000")
        assert len((await store.credit(shares, [])).new) == 5000
