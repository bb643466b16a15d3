"""A cap that is too low refuses a plant once, and is lifted by whoever raises it."""

import json
from pathlib import Path
from typing import Any

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import open_wallet_world

pytestmark = pytest.mark.e2e

FAILED = wallet_pb2.OPERATION_STATE_FAILED
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED
ASKED = "SELECT count(*) FROM wallet.operations WHERE kind = 'plant' AND block_index = $1"
#: Stroops that no plant is to be had for, and an onboarding is.
TOO_LOW = 5000


def log_of(folder: Path) -> list[dict[str, Any]]:
    """What the wallet has said."""
    text = "".join(path.read_text() for path in folder.glob("wallet*"))
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def test_twenty_calls_are_one_operation_and_one_line(
    database_factory: DatabaseFactory, tmp_path: Path
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(
            database, tmp_path, block_seconds=25, MAX_FEE_STROOPS=str(TOO_LOW)
        ) as world,
        connect(database.admin_dsn) as admin,
    ):
        farmers = list(await world.create_farmers(2))
        await world.wait_until_ready(farmers)
        block = await world.next_block()
        stakes = dict.fromkeys(farmers, 0)
        names = set()
        for number in range(20):
            operations = await world.plant(f"try {number}", block, stakes)
            assert {item.state for item in operations} == {FAILED}
            assert {item.reason for item in operations} == {common_pb2.FAILURE_REASON_FEE_CAP}
            names |= {item.operation_id for item in operations}
        assert len(names) == await admin.fetchval(ASKED, block) == len(farmers)
        refused = [line for line in log_of(tmp_path) if line["event"] == "refused"]
        assert [line["cause"] for line in refused] == ["MAX_FEE_STROOPS"]

        await world.restart(MAX_FEE_STROOPS="1000000")
        await world.wait_until_serving()
        planted = await world.plant("raised", block, stakes)
        assert {item.state for item in planted} == {SUCCEEDED}, planted
