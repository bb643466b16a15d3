"""The steps of a backup: make it, check it, restore it."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from backup import programs
from backup.contents import audit_state, is_empty, row_counts
from backup.seal import BackupError, Opened, opened, sealed
from libs.common.db.migrate import ensure_roles
from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress
from libs.common.names import SERVICES
from libs.common.private_file import new_private_file
from services.migrations import role_of
from services.wallet.domain.pausing import Reach, Scope
from services.wallet.keys.row_macs import RowMacs
from services.wallet.store import QUERIES
from services.wallet.store.custody import CustodyStore
from services.wallet.store.orders import Orders

#: Bytes of the manifest's length, before it.
_LENGTH = 4


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The list of a backup's contents; written as its first bytes, and as secret as the rest."""

    #: When it was made (UTC, ISO 8601).
    made_at: str
    #: Rows by table.
    rows: dict[str, int]
    #: Number of the newest record of the audit log, and its hash (hex).
    audit_number: int
    audit_hash: str
    #: What the log and the rows beside it do not say alike: the first of it, and how much more.
    audit_findings: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        """Return the manifest's length, then its JSON."""
        text = json.dumps(vars(self), sort_keys=True).encode()
        return len(text).to_bytes(_LENGTH, "big") + text


async def create(address: DatabaseAddress, receiver: X25519PublicKey, out: Path) -> Manifest:
    """Write a backup of the database as it is at one moment; the file appears when it is whole.

    Raise BackupError when the file is there, pg_dump fails, or the audit log is not whole.
    """
    if out.exists():  # noqa: ASYNC240  (one command, and nothing else runs)
        raise BackupError(f"{out} is there already")
    passing = out.with_name(f".{out.name}.part")
    _remove(passing)  # what a command that was killed has left
    connection = await asyncpg.connect(address.dsn, ssl=address.security(), timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = str(await connection.fetchval("SELECT pg_catalog.pg_export_snapshot()"))
            server = connection.get_server_version().major
            head, beside = await audit_state(connection)
            manifest = Manifest(
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                rows=await row_counts(connection),
                audit_number=head.number,
                audit_hash=head.hash.hex(),
                audit_findings=beside.words(),
            )
            await _write(passing, sealed(_parts(manifest, address, snapshot, server), receiver))
        passing.rename(out)
    finally:
        await connection.close()
        _remove(passing)
    return manifest


def check(path: Path, key: X25519PrivateKey) -> Manifest:
    """Read a backup to its end without a database; return its manifest. Raise BackupError."""
    with path.open("rb") as file:
        manifest, rest = _manifest(opened(file, key))
        for _ in rest:
            pass
    return manifest


async def restore(path: Path, key: X25519PrivateKey, address: DatabaseAddress) -> Manifest:
    """Bring a backup into a database that has nothing of ours, then compare it with the manifest.

    Nothing is left behind by a backup that is not whole. Signing is paused afterwards: what waited
    at the time of the backup, a withdrawal perhaps, may have been done by now, and is not to be
    done again. The roles are there, too. Roles that were missing have no password: the migration
    job sets it. Raise BackupError.
    """
    check(path, key)
    connection = await asyncpg.connect(address.dsn, ssl=address.security(), timeout=10)
    try:
        if not await is_empty(connection):
            raise BackupError("the database is not empty: a backup goes into an empty one")
        await ensure_roles(address, dict.fromkeys(map(role_of, SERVICES)))
        with path.open("rb") as file:
            manifest, rest = _manifest(opened(file, key))
            server = connection.get_server_version().major
            await programs.restore(address, rest, server=server)
        await _compare(connection, manifest)
    finally:
        await connection.close()
    await _pause(address, manifest)
    return manifest


async def _pause(address: DatabaseAddress, manifest: Manifest) -> None:
    async with open_database(
        address, queries=QUERIES, pool_size=1, timeout_ms=30_000, name="backup"
    ) as database:
        # A pause needs no authenticator: only its end does.
        await CustodyStore(database, Orders(RowMacs())).pause(
            Reach(scope=Scope.EVERYTHING),
            reason=f"restored from the backup of {manifest.made_at}",
            actor="backup restore",
        )


async def _compare(connection: "asyncpg.Connection[asyncpg.Record]", manifest: Manifest) -> None:
    rows, (head, beside) = await row_counts(connection), await audit_state(connection)
    differing = {name for name in rows | manifest.rows if rows.get(name) != manifest.rows.get(name)}
    if differing:
        raise BackupError(f"restored, but rows differ in {', '.join(sorted(differing))}")
    if (head.number, head.hash.hex()) != (manifest.audit_number, manifest.audit_hash):
        raise BackupError("restored, but the audit log ends with another record")
    if beside.words() != manifest.audit_findings:
        raise BackupError("restored, but the audit log does not go with the rows as it did")


async def _parts(
    manifest: Manifest, address: DatabaseAddress, snapshot: str, server: int
) -> AsyncIterator[bytes]:
    yield manifest.encode()
    async for part in programs.dump(address, snapshot=snapshot, server=server):
        yield part


def _manifest(chunks: Opened) -> tuple[Manifest, Iterator[bytes]]:
    """Return the manifest from the first bytes, and the bytes that follow it."""
    head = b""
    while len(head) < _LENGTH or len(head) < _LENGTH + int.from_bytes(head[:_LENGTH], "big"):
        chunk = next(chunks, None)
        if chunk is None:
            raise BackupError("the backup ends within its manifest")
        head += chunk
    end = _LENGTH + int.from_bytes(head[:_LENGTH], "big")
    manifest = Manifest(**json.loads(head[_LENGTH:end]))

    def rest() -> Iterator[bytes]:
        yield head[end:]
        yield from chunks

    return manifest, rest()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _write(path: Path, parts: AsyncIterator[bytes]) -> None:
    """Write a file that only we can read and that is on the disk when this returns."""
    with new_private_file(path) as file:
        async for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
