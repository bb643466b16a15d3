"""Plants that exceed the room of ledgers and queues: refused bids are raised, under the cap."""

import asyncio
import json
from pathlib import Path

import pytest
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseAccess, connect
from tests.support.wallet_world import open_wallet_world

pytestmark = [pytest.mark.faults, pytest.mark.e2e]

FARMERS = 24
#: Room for three plants (about 1,400 bytes each) in a ledger; the queue holds twice as many.
NARROW = {"contract_ledger_cost_v0.ledger_max_write_bytes": 4_500}
LOCALNET = {"LOCALNET_NETWORK_SETTINGS": json.dumps(NARROW)}
SUCCEEDED = wallet_pb2.OPERATION_STATE_SUCCEEDED


async def test_a_full_queue(database: DatabaseAccess, tmp_path: Path) -> None:
    """A full queue, and a kill between the raise and the sending of the raised envelope."""
    async with open_wallet_world(
        database, tmp_path, block_seconds=20, localnet_environment=LOCALNET
    ) as world:
        farmers = await world.create_farmers(FARMERS)
        await world.wait_until_ready(list(farmers))
        block = await world.next_block()
        await world.restart(FAILPOINTS="wallet.bid.raised@2=kill")
        await world.wait_until_serving()
        crowd = world.plant("crowd", block, dict.fromkeys(farmers, 0))
        plants, _ = await asyncio.gather(crowd, world.revive())
        assert {item.state for item in plants} == {SUCCEEDED}, plants
        assert len({item.ledger for item in plants}) >= FARMERS // 3
        assert all(item.fee_charged <= 1_000_000 for item in plants)
        async with connect(database.admin_dsn) as admin:
            bids = await admin.fetch(
                "SELECT DISTINCT fee_bid FROM wallet.transactions WHERE source <> "
                "(SELECT address FROM wallet.wallets WHERE kind = 'treasury')"
            )
            hashes = await admin.fetch(
                "SELECT hash, lookup_hash, envelope FROM wallet.transactions"
            )
        assert len(bids) > 2, "no bid was raised"
        assert len({row["hash"] for row in hashes}) == len(hashes)


async def test_the_cap_holds(database: DatabaseAccess, tmp_path: Path) -> None:
    """A cap below the cost of any plant: a refusal with the reason, and nothing is sent."""
    async with open_wallet_world(database, tmp_path, MAX_FEE_STROOPS="20000") as world:
        farmers = await world.create_farmers(1)
        (farmer,) = farmers
        await world.wait_until_ready([farmer])
        block = await world.next_block()
        (plant,) = await world.plant("dear", block, {farmer: 0})
        assert plant.state == wallet_pb2.OPERATION_STATE_FAILED
        assert plant.reason == common_pb2.FAILURE_REASON_FEE_CAP
        assert "cap" in plant.error_message
        assert (plant.attempts, plant.fee_charged) == (0, 0)
