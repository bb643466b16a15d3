"""EmbeddedPostgres against the real server: passwords, independence, and nothing left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres import EmbeddedPostgres, PostgresStartError, stop_detached
from tests.support.database import connect

#: Seconds that cleaning up after a killed owner may take.
CLEANED_UP = 20.0


def is_running(pid: int) -> bool:
    """A zombie that nobody has waited for yet does not count."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until_gone(pid: int, home: Path) -> None:
    """Fails when the server or its data are still there after a while."""
    deadline = time.monotonic() + CLEANED_UP
    while is_running(pid) or any(home.glob("data*")):
        assert time.monotonic() < deadline, f"left over: {pid} {list(home.iterdir())}"
        time.sleep(0.05)


async def test_only_the_right_password_gets_in(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        async with connect(server.admin_dsn) as connection:
            assert await connection.fetchval("SHOW password_encryption") == "scram-sha-256"
            assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
            assert await connection.fetchval("SHOW unix_socket_directories") == ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn(password="wrong"))


async def test_two_servers_run_side_by_side(tmp_path: Path) -> None:
    one = EmbeddedPostgres(tmp_path / "one", durable=False)
    other = EmbeddedPostgres(tmp_path / "other", durable=False)
    with one, other:
        one.stop()
        async with connect(other.admin_dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_data_survive_a_stop_and_a_start(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        async with connect(server.admin_dsn) as connection:
            assert await connection.fetchval("SHOW fsync") == "on"
            await connection.execute("CREATE TABLE kept (id int)")
        server.stop()
        server.start()
        async with connect(server.admin_dsn) as connection:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0


async def test_kept_data_are_found_by_the_next_run(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, keep=True) as server:
        async with connect(server.admin_dsn) as connection:
            await connection.execute("CREATE TABLE kept (id int)")
    with EmbeddedPostgres(tmp_path, keep=True) as again:
        async with connect(again.admin_dsn) as connection:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0


def test_nothing_stays_after_the_block(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        pid = server.pid
    assert not is_running(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "one", durable=False) as server:
        rival = EmbeddedPostgres(tmp_path / "two", port=server.port, durable=False)
        with pytest.raises(PostgresStartError, match="could not bind"), rival:
            pass


OWNER = """
import sys, time
from pathlib import Path
from devstack.postgres import EmbeddedPostgres
home, detached = Path(sys.argv[1]), sys.argv[2] == "detached"
with EmbeddedPostgres(home, durable=False, detached=detached) as server:
    print(server.pid, server.admin_dsn, flush=True)
    if not detached:
        time.sleep(60)
"""


def start_owner(home: Path, mode: str) -> "tuple[subprocess.Popen[str], int, str]":
    """A process of its own that has a server: the process, the server's pid, its DSN."""
    command = [sys.executable, "-c", textwrap.dedent(OWNER), str(home), mode]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, dsn = owner.stdout.readline().split()
    return owner, int(pid), dsn


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_its_owner(tmp_path: Path, number: signal.Signals) -> None:
    owner, pid, _ = start_owner(tmp_path, "bound")
    with owner:
        owner.send_signal(number)
        owner.wait()
        wait_until_gone(pid, tmp_path)


async def test_a_detached_server_outlives_its_owner_until_it_is_stopped(tmp_path: Path) -> None:
    owner, pid, dsn = start_owner(tmp_path, "detached")
    with owner:
        assert owner.wait() == 0
    async with connect(dsn) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    stop_detached(tmp_path)
    wait_until_gone(pid, tmp_path)
    stop_detached(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="other accounts use their own folders in place")
async def test_root_may_run_it_in_a_folder_that_is_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "home", durable=False) as server:
        async with connect(server.admin_dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        data = next((closed / "home").glob("data*")).resolve()
        assert not data.is_relative_to(closed)
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not data.parent.exists()
