"""A pool's database, backed up and restored: equal, whole, and never half there."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from backup.__main__ import main
from backup.run import check, create, restore
from backup.seal import CHUNK, BackupError
from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.ids import FarmerId, OperationId, PoolerId, WalletId, new_id
from services.wallet.domain.audit import Act, Action
from services.wallet.keys.local import LocalKeyProvider
from services.wallet.keys.seal import seal_new_key
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.wallets import WalletStore
from tests.support.database import DatabaseAccess, DatabaseFactory, connect
from tests.support.orders import ORDERS

KEY = X25519PrivateKey.generate()
ROWS = "SELECT * FROM wallet.sealed_keys ORDER BY wallet_id"
GRANTS = """
SELECT relname, relacl::text FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE nspname IN ('wallet', 'registry', 'plant', 'work', 'harvest', 'chain')
ORDER BY nspname, relname
"""


@pytest.fixture
async def pool(database: DatabaseAccess) -> AsyncIterator[DatabaseAddress]:
    """A database with some wallets and an audit log; its administrator's address."""
    provider = LocalKeyProvider(secrets.token_bytes(32))
    address = DatabaseAddress(dsn=database.dsn("wallet"))
    async with open_database(
        address, queries=QUERIES, pool_size=2, timeout_ms=10_000, name="test"
    ) as opened:
        wallets, custody = WalletStore(opened, ORDERS), CustodyStore(opened, ORDERS)
        for _ in range(20):
            sealed = await seal_new_key(provider, WalletId(new_id()))
            await wallets.insert_farmer(
                sealed,
                farmer_id=FarmerId(new_id()),
                pooler_id=PoolerId(new_id()),
                onboarding_id=OperationId(new_id()),
            )
        for number in range(500):
            await custody.record(
                Act(actor="x", action=Action.SIGN, subject=str(number), details="y" * 200)
            )
    yield DatabaseAddress(dsn=database.admin_dsn)


@pytest.fixture
async def empty(database_factory: DatabaseFactory) -> AsyncIterator[DatabaseAddress]:
    """A database with nothing in it."""
    async with database_factory.create(template="template1") as access:
        yield DatabaseAddress(dsn=access.admin_dsn)


async def rows(address: DatabaseAddress, query: str) -> list[tuple[object, ...]]:
    """What a query gives."""
    async with connect(address.dsn) as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def test_what_comes_back_is_what_went_in(
    pool: DatabaseAddress, empty: DatabaseAddress, tmp_path: Path
) -> None:
    file = tmp_path / "pool.backup"
    made = await create(pool, KEY.public_key(), file)
    assert made.rows["wallet.wallets"] == 20
    assert made.audit_number == 520  # 20 wallets were made besides
    assert file.stat().st_mode & 0o077 == 0
    # Nothing of it can be read: not a name of a table, not an address.
    content = file.read_bytes()
    ((address,), *_) = await rows(pool, "SELECT address FROM wallet.wallets")
    assert b"wallet" not in content
    assert str(address).encode() not in content

    assert check(file, KEY) == made
    assert await restore(file, KEY, empty) == made
    for query in (ROWS, GRANTS, "SELECT * FROM wallet.audit_log WHERE number <= 520 ORDER BY 1"):
        assert await rows(empty, query) == await rows(pool, query)
    with pytest.raises(BackupError, match="not empty"):
        await restore(file, KEY, empty)
    with pytest.raises(BackupError, match="there already"):
        await create(pool, KEY.public_key(), file)


async def test_what_was_restored_signs_nothing_by_itself(
    pool: DatabaseAddress, empty: DatabaseAddress, tmp_path: Path
) -> None:
    """A withdrawal that waited then may be paid by now: a wallet must not pay it again."""
    file = tmp_path / "pool.backup"
    made = await create(pool, KEY.public_key(), file)
    await restore(file, KEY, empty)
    paused = "SELECT scope, paused_by, reason FROM wallet.pauses WHERE resumed_at IS NULL"
    assert await rows(empty, paused) == [
        ("everything", "backup restore", f"restored from the backup of {made.made_at}")
    ]
    acts = "SELECT number, actor, action FROM wallet.audit_log WHERE number > 520"
    assert await rows(empty, acts) == [(521, "backup restore", "pause")]
    # The chain of the log is whole.
    again = await create(empty, KEY.public_key(), tmp_path / "again.backup")
    assert again.audit_number == 521


async def test_a_backup_that_was_tampered_with_leaves_nothing_behind(
    pool: DatabaseAddress, empty: DatabaseAddress, tmp_path: Path
) -> None:
    file = tmp_path / "pool.backup"
    await create(pool, KEY.public_key(), file)
    whole = file.read_bytes()
    assert len(whole) > CHUNK, "one chunk alone tests too little"
    for broken in (
        whole[:-1],
        whole[: CHUNK + 200],
        whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:],
    ):
        file.write_bytes(broken)
        with pytest.raises(BackupError):
            await restore(file, KEY, empty)
        assert await rows(empty, "SELECT 1 FROM pg_namespace WHERE nspname = 'wallet'") == []


async def test_a_broken_audit_log_is_told_and_not_backed_up(
    pool: DatabaseAddress, tmp_path: Path
) -> None:
    async with connect(pool.dsn) as connection:
        await connection.execute(
            "ALTER TABLE wallet.audit_log DISABLE TRIGGER USER; "
            "UPDATE wallet.audit_log SET details = 'forged' WHERE number = 77"
        )
    with pytest.raises(BackupError, match="record 77 was changed"):
        await create(pool, KEY.public_key(), tmp_path / "pool.backup")
    assert not any(path.exists() for path in (tmp_path / "pool.backup",))


async def test_what_does_not_go_with_the_log_is_told_and_backed_up(
    pool: DatabaseAddress, empty: DatabaseAddress, database: DatabaseAccess, tmp_path: Path
) -> None:
    """Who can write a row must not be able to prevent every backup by it."""
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(
            "INSERT INTO wallet.wallets (id, kind, address) "
            "VALUES (gen_random_uuid(), 'channel', 'GTHIEF')"
        )
    file = tmp_path / "pool.backup"
    made = await create(pool, KEY.public_key(), file)
    # The log of this test tells of envelopes that there never were, too.
    assert any("no record of wallet" in found for found in made.audit_findings)
    assert any("record 21 tells of is not there" in found for found in made.audit_findings)
    assert "and 495 more of these" in made.audit_findings
    assert await restore(file, KEY, empty) == made


async def test_as_an_operator_does_it(
    pool: DatabaseAddress,
    empty: DatabaseAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, public, private = (tmp_path / name for name in ("b", "backup.pub", "backup.key"))

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, list(arguments))

    assert await run("keys", str(tmp_path)) == 0
    assert private.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("DATABASE_ADMIN_URL", pool.dsn)
    assert await run("create", str(file), "--public-key", str(public), "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert await run("check", str(file), "--private-key", str(private)) == 0
    assert "audit log whole to record 520" in capsys.readouterr().out
    monkeypatch.setenv("DATABASE_ADMIN_URL", empty.dsn)
    assert await run("restore", str(file), "--private-key", str(private), "--json") == 0
    assert json.loads(capsys.readouterr().out) == made
    # The public key opens nothing, and a wrong file is told in a line.
    assert await run("check", str(file), "--private-key", str(public)) == 1
    assert await run("check", str(public), "--private-key", str(private)) == 1
    assert "backup: this is no backup of a pool" in capsys.readouterr().err
