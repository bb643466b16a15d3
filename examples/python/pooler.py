"""A whole pooler: plants, mines, works and harvests until so many blocks are paid.

Who calls and where the pool is come from variables; see ../README.md.
"""

import asyncio
import json
import os
import secrets
import sys
from time import monotonic
from uuid import UUID

import client
from client import Block, ChainWatch, PoolClient, PoolerId, Submission

#: Hashes between two looks at the clock, after which Ctrl-C is heeded.
TURN = 10_000


def search(block: Block, key: bytes, first: int) -> tuple[int, int]:
    """Return the most zeros of TURN hashes, and the nonce that gives them."""
    best = (-1, 0)
    for nonce in range(first, first + TURN):
        hashed = client.work_hash(
            index=block.index, nonce=nonce, entropy=block.entropy, farmer_key=key
        )
        best = max(best, (client.leading_zeros(hashed), nonce))
    return best


async def mine(block: Block, key: bytes, seconds: float) -> int:
    """Return the nonce with the most zeros that is found in so many seconds."""
    best, nonce, ends_at = (-1, 0), secrets.randbits(63), monotonic() + seconds
    while best[0] < 0 or monotonic() < ends_at:
        best = max(best, await asyncio.to_thread(search, block, key, nonce))
        nonce += TURN
    return best[1]


async def farm_next(pool: PoolClient, watch: ChainWatch, pooler: PoolerId, last: int) -> int:
    """Farm the block after `last`, which is paid meanwhile. Return its index."""
    head = await watch.wait_until(lambda head: head.plantable_block > last)
    await pool.plant(pooler, head.plantable_block)
    block = await watch.opened(head.plantable_block)
    await pool.harvest_pending(pooler)
    planted = [farmer async for farmer in pool.planted(pooler, block.index)]
    seconds = (block.moment(0.7) - watch.now()) / max(1, len(planted))
    found = [
        Submission(
            farmer_id=farmer.farmer_id,
            nonce=await mine(block, client.raw_key(farmer.address), seconds),
        )
        for farmer in planted
    ]
    # Nobody may be planted: a block can be over before the plants are.
    worked = (await pool.submit_work(pooler, block.index, found)).succeeded if found else 0
    line = {"block": block.index, "planted": len(planted), "worked": worked}
    # By the pool's records: it harvests by itself, too, and may have been faster.
    paid = [] if last < 0 else [farmer async for farmer in pool.harvested(pooler, last)]
    print(json.dumps({**line, "rewards": sum(one.amount for one in paid)}), flush=True)
    return block.index


def tell(method: str, error: client.PoolError, delay: float) -> None:
    """Say that a call is repeated: a service starts again, or is not where the variables say."""
    print(f"{method}: {error}; again in {delay:.0f} s", file=sys.stderr)


async def main(pooler: PoolerId, blocks: int) -> None:
    """Farm until the blocks are paid; the next block has to be open for that."""
    last = -1
    targets, caller = client.Targets.of_environment(), client.caller_of_environment()
    async with (
        client.open_client(targets, caller, notice=tell) as pool,
        client.open_watch(pool) as watch,
    ):
        for _ in range(blocks + 1):
            last = await farm_next(pool, watch, pooler, last)


def settings() -> tuple[PoolerId, int]:
    """Return the pooler and the number of blocks, or end with what is wrong."""
    try:
        pooler = PoolerId(UUID(os.environ.get("POOLER_ID", "")))
    except ValueError:
        sys.exit("POOLER_ID must be the id (UUID) of a pooler")
    blocks = os.environ.get("BLOCKS", "1")
    if not blocks.isdecimal() or int(blocks) < 1:
        sys.exit("BLOCKS must be a number from 1")
    return pooler, int(blocks)


if __name__ == "__main__":
    try:
        asyncio.run(main(*settings()))
    except KeyboardInterrupt:
        sys.exit(130)
    except (client.CertificateError, client.PoolError) as error:
        sys.exit(str(error))
