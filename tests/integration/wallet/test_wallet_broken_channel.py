"""A channel account whose key does not open keeps no work from the chain."""

import pytest
from kalepool.wallet.v1 import wallet_pb2

from tests.support.database import DatabaseFactory, connect
from tests.support.wallet_world import open_wallet_world

BREAK = """
UPDATE wallet.sealed_keys AS k SET wrapped_data_key = 'no key at all' FROM wallet.wallets AS w
WHERE k.wallet_id = w.id AND w.id = (
    SELECT min(id::text)::uuid FROM wallet.wallets WHERE kind = 'channel'
)
"""


async def test_works_go_by_the_other_channels(
    database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with (
        database_factory.create() as database,
        open_wallet_world(database, tmp_path_factory.mktemp("channels")) as world,
        connect(database.admin_dsn) as admin,
    ):
        await world.use_multicall(channels=2)
        farmers = await world.create_farmers(2)
        await world.wait_until_ready(list(farmers))
        block = await world.next_block()
        await world.plant("plants", block, dict.fromkeys(farmers, 0))
        assert await admin.execute(BREAK) == "UPDATE 1"
        works = await world.work("works", block, dict.fromkeys(farmers, 3), farmers)
        assert [work.state for work in works] == [wallet_pb2.OPERATION_STATE_SUCCEEDED] * 2
