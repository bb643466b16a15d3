"""/poolers/{id}/miners/{address}: what a miner was credited, for its pooler and operators."""

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.pages.page import Page
from gateway.pages.reads import PoolReads
from gateway.pages.statement import months_of, of_miner
from gateway.pages.viewer import Viewer


async def miner(reads: PoolReads, viewer: Viewer, pooler_id: str, address: str) -> Page:
    """Return the page of a miner. Raise NotFoundError when the pooler has none at this address."""
    found = await reads.miner(viewer, pooler_id, address)
    return Page(
        template="miner.html",
        title=f"Miner {address}",
        content={
            "miner": found,
            "address": address,
            "pooler_id": pooler_id,
            "home": of_miner(pooler_id, address).home,
            # Nobody keeps since when it mines.
            "months": months_of(Timestamp()),
        },
    )
