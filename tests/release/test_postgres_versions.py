"""The lowest and the newest PostgreSQL that are here: the core of the tests, and a small pool."""

import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.postgres_place import PROGRAMS, programs
from libs.common.db.version import LEAST
from tests.support.release import PATIENCE, ROOT, SMALL, code_path, end_of, start_module

pytestmark = pytest.mark.e2e
#: Where Debian and its like put the programs of each version.
INSTALLED = Path("/usr/lib/postgresql")
#: The tests whose statements differ most from one another, and all migrations.
CORE = (
    "tests/integration/common/test_migrate.py",
    "tests/integration/batches",
    "tests/integration/harvest/test_harvest_queries.py",
    "tests/integration/harvest/test_ledger_booking.py",
    "tests/integration/harvest/test_report_queries.py",
    "tests/integration/plant/test_plant_store.py",
    "tests/integration/registry/test_registry_store.py",
    "tests/integration/registry/test_notification_queries.py",
    "tests/integration/wallet/test_wallet_store.py",
    "tests/integration/wallet/test_wallet_claim_queries.py",
    "tests/integration/wallet/test_wallet_fees_queries.py",
    "tests/integration/wallet/test_wallet_operation_queries.py",
    "tests/integration/wallet/test_wallet_transaction_queries.py",
)


def version_of(folder: Path) -> int:
    """Return the major version of the programs in a folder."""
    said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True)
    found = re.search(rb"\(PostgreSQL\) (\d+)", said.stdout)
    assert found is not None, said.stdout
    return int(found[1])


def folders() -> dict[int, Path]:
    """Return the folders of all versions that the pool takes, by version; the wheel's is one."""
    found = {version_of(item.parent): item.parent for item in INSTALLED.glob("*/bin/postgres")}
    found |= {version_of(programs()): programs()}
    return {version: folder for version, folder in found.items() if version >= LEAST}


@pytest.fixture(params=["lowest", "newest"])
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Path]:
    """Choose a version for all servers that are started from here on."""
    found = folders()
    if request.param == "lowest" and len(found) < 2:
        pytest.skip(f"PostgreSQL {max(found)} is the only one here: install postgresql-{LEAST}")
    version = min(found) if request.param == "lowest" else max(found)
    monkeypatch.setenv(PROGRAMS, str(found[version]))
    return version, found[version]


async def test_the_server_is_of_this_version(folder: tuple[int, Path], tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        connection = await asyncpg.connect(server.admin_dsn)
        try:
            assert connection.get_server_version().major == folder[0]
        finally:
            await connection.close()


def test_the_core_of_the_tests(folder: tuple[int, Path], tmp_path: Path) -> None:
    words = ("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *CORE)
    started = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": code_path(), PROGRAMS: str(folder[1])},
    )
    assert started.returncode == 0, started.stdout[-5000:]
    assert " passed" in started.stdout.splitlines()[-1]


def test_a_small_pool(folder: tuple[int, Path], tmp_path: Path) -> None:
    ended = end_of(start_module(tmp_path, SMALL))
    assert ended.status == 0, ended.words
    log = tmp_path / "var" / "demo" / "postgres" / "log"
    assert f"starting PostgreSQL {folder[0]}." in log.read_text(errors="replace")
