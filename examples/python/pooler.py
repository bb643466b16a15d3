"""A whole pooler: plants, mines, works and harvests until so many blocks are paid.

Who calls and where the pool is come from variables; see ../README.md.
"""

import asyncio
import json
import os
import secrets
from time import monotonic
from uuid import UUID

import client
from client import Block, ChainWatch, PoolClient, PoolerId, Submission


def mine(block: Block, key: bytes, seconds: float) -> int:
    """Return the nonce with the most zeros that is found in so many seconds."""
    best, nonce, ends_at = (-1, 0), secrets.randbits(63), monotonic() + seconds
    while best[0] < 0 or monotonic() < ends_at:
        hashed = client.work_hash(
            index=block.index, nonce=nonce, entropy=block.entropy, farmer_key=key
        )
        best, nonce = max(best, (client.leading_zeros(hashed), nonce)), nonce + 1
    return best[1]


async def farm_next(pool: PoolClient, watch: ChainWatch, pooler: PoolerId, last: int) -> int:
    """Farm the block after `last`; harvest the blocks before. Return its index."""
    head = await watch.wait_until(lambda head: head.plantable_block > last)
    await pool.plant(pooler, head.plantable_block)
    block = await watch.opened(head.plantable_block)
    swept = await pool.harvest_pending(pooler)
    planted = [farmer async for farmer in pool.planted(pooler, block.index)]
    seconds = (block.moment(0.7) - watch.now()) / max(1, len(planted))
    nonces = [
        await asyncio.to_thread(mine, block, client.raw_key(farmer.address), seconds)
        for farmer in planted
    ]
    found = [
        Submission(farmer_id=farmer.farmer_id, nonce=nonce)
        for farmer, nonce in zip(planted, nonces, strict=True)
    ]
    worked = await pool.submit_work(pooler, block.index, found)
    line = {"block": block.index, "planted": len(planted), "worked": worked.succeeded}
    print(json.dumps({**line, "rewards": swept.total_rewards}), flush=True)
    return block.index


async def main() -> None:
    """Farm until the blocks are paid; the next block has to be open for that."""
    pooler, last = PoolerId(UUID(os.environ["POOLER_ID"])), -1
    async with (
        client.open_client(client.Targets.of_environment(), client.caller_of_environment()) as pool,
        client.open_watch(pool) as watch,
    ):
        for _ in range(int(os.environ.get("BLOCKS", "1")) + 1):
            last = await farm_next(pool, watch, pooler, last)


if __name__ == "__main__":
    asyncio.run(main())
