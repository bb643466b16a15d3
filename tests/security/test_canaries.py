"""No secret of a pool is in clear in anything that it wrote, database files included."""

import shutil
from pathlib import Path

import pytest

from demo.stack import StackConfig, open_stack
from libs.common.names import SERVICES
from security.canaries import canaries, leaks
from security.fuzz import open_targets, register, send_hostile

pytestmark = pytest.mark.e2e


async def test_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    config = StackConfig(
        directory=tmp_path / "stack",
        ledger_seconds=0.5,
        environment={name: {"LOG_LEVEL": "debug", "API_RATE_LIMIT": "0"} for name in SERVICES},
    )
    async with open_stack(config) as stack, open_targets(stack) as targets:
        ids = await register(stack)
        await send_hostile(targets, count=600, seed=5, ids=ids)
        found = await canaries(stack)
        assert sum(name.endswith("strkey") for name in found) > 1, "no farmer's seed was looked for"
        assert list(leaks(found, config.directory)) == []
        # The search does find what is there.
        (config.directory / "planted").write_bytes(b"x" + found["master key, hex"] + b"x")
        assert list(leaks(found, config.directory)) == ["master key, hex in planted"]
        logs = b"".join(path.read_bytes() for path in (config.directory / "logs").iterdir())
        assert len(logs) > 10_000
    shutil.rmtree(config.directory, ignore_errors=True)
