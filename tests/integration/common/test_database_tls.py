"""Verified TLS to PostgreSQL: the real server behind a front that does the handshake."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from libs.common.authority import CERTIFICATE_FILE, Authority, make_authority
from libs.common.db.pool import open_database
from libs.common.db.tls import DatabaseAddress, check_dsn, is_local_database
from libs.common.errors import UnavailableError
from libs.common.grpc.identity import CallerKind
from tests.support.database import DatabaseAccess

#: Of this machine, and yet no name that stands for it.
HOST = "127.0.0.2"
#: https://www.postgresql.org/docs/current/protocol-message-formats.html: SSLRequest
SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
QUERY = "-- name: one :one\nSELECT 1 AS one;\n"


class Front:
    """Takes TLS connections for a PostgreSQL that has none."""

    def __init__(self, upstream: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(upstream)
        self._upstream = parts.hostname, parts.port
        self._context = context
        self.encrypted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                writer.close()  # in clear: nothing is answered
                return
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(self._context)
            self.encrypted += 1
            inner, outer = await asyncio.open_connection(*self._upstream)
            await asyncio.gather(_copy(reader, outer), _copy(inner, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def front(
    database: DatabaseAccess, authority: Authority, folder: Path, *, name: str
) -> AsyncIterator[tuple[Front, str]]:
    """A front with a certificate for `name`, and the address of plant's role behind it."""
    issued = authority.issue(CallerKind.SERVICE, "postgres", addresses=[name])
    certificate, key = issued.save(folder, "postgres")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    dsn = database.dsn("plant")
    serving = Front(dsn, context)
    try:
        server = await asyncio.start_server(serving.serve, HOST, 0)
    except OSError:
        pytest.skip(f"{HOST} is no address of this machine")
    async with server:
        port = server.sockets[0].getsockname()[1]
        parts = urlsplit(dsn)
        yield (
            serving,
            parts._replace(netloc=f"{parts.username}:{parts.password}@{HOST}:{port}").geturl(),
        )


async def answer(address: DatabaseAddress, folder: Path) -> int:
    """What PostgreSQL says to the simplest question."""
    queries = folder / "queries.sql"
    queries.write_text(QUERY)
    async with open_database(
        address, queries=queries, pool_size=1, timeout_ms=5_000, name="test"
    ) as opened:
        row = await opened.one("one")
        assert row is not None
        return int(row["one"])


async def test_another_machine_has_to_prove_its_name(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    authority = make_authority("kalepool")
    authority.save(tmp_path)
    trusted = tmp_path / CERTIFICATE_FILE
    async with front(database, authority, tmp_path, name=HOST) as (serving, dsn):
        assert await answer(DatabaseAddress(dsn=dsn, authority=trusted), tmp_path) == 1
        assert serving.encrypted == 1
        # Nobody vouches for it, as far as this machine knows.
        with pytest.raises(UnavailableError):
            await answer(DatabaseAddress(dsn=dsn), tmp_path)
        other = make_authority("kalepool")
        other.save(tmp_path / "other")
        with pytest.raises(UnavailableError):
            await answer(
                DatabaseAddress(dsn=dsn, authority=tmp_path / "other" / CERTIFICATE_FILE), tmp_path
            )
        # The operator may say otherwise, and gets what was asked for.
        assert await answer(DatabaseAddress(dsn=f"{dsn}?sslmode=require"), tmp_path) == 1
    async with front(database, authority, tmp_path, name="another.host") as (_, dsn):
        with pytest.raises(UnavailableError):
            await answer(DatabaseAddress(dsn=dsn, authority=trusted), tmp_path)


async def test_nothing_goes_out_in_clear_when_the_other_side_has_no_tls(
    database: DatabaseAccess, tmp_path: Path
) -> None:
    """What stands between may say that there is no TLS; then nothing more is said."""
    heard = bytearray()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(8))
        writer.write(b"N")
        await writer.drain()
        heard.extend(await reader.read(1000))
        writer.close()

    try:
        server = await asyncio.start_server(refuse, HOST, 0)
    except OSError:
        pytest.skip(f"{HOST} is no address of this machine")
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError):
            await answer(DatabaseAddress(dsn=f"postgresql://u:secret@{HOST}:{port}/d"), tmp_path)
    assert bytes(heard) == SSL_REQUEST


@pytest.mark.parametrize(
    ("dsn", "local"),
    [
        ("postgresql://u:p@localhost:5432/d", True),
        ("postgresql://u:p@127.0.0.1/d", True),
        ("postgresql://u:p@[::1]:5432/d", True),
        ("postgresql:///d?host=/var/run/postgresql", True),
        ("postgresql://u:p@%2Fvar%2Frun/d", True),
        ("postgresql:///d", True),
        ("postgresql://u:p@db.example/d", False),
        ("postgresql://u:p@localhost.evil/d", False),
        ("postgresql://u:p@localhost,db.example:5432/d", False),
        ("postgresql:///d?host=db.example", False),
        ("postgresql://u:p%40localhost@db.example/d", False),
    ],
)
def test_what_stays_on_this_machine(dsn: str, local: bool) -> None:
    assert is_local_database(dsn) is local


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p@localhost:5432/d",
        "postgres://u:p@[::1]:5432,db.example/d?sslmode=verify-full",
        "postgresql:///d?host=/var/run/postgresql",
    ],
)
def test_what_is_an_address(dsn: str) -> None:
    assert check_dsn(dsn) == dsn


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "secret",
        "mysql://u:secret@localhost/d",
        "postgresql:u:secret@localhost/d",
        "postgresql://u:secret@localhost:port/d",
        "postgresql://u:secret@localhost:0/d",
        "postgresql://u:secret@localhost,[::1]:99999/d",
        "postgresql://u:secret@[::1/d",
    ],
)
def test_what_is_none_is_not_repeated(dsn: str) -> None:
    with pytest.raises(ValueError, match="must be postgresql://") as refused:
        check_dsn(dsn)
    assert "secret" not in str(refused.value)
