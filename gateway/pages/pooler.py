"""/poolers/{id}: what a pooler farms and earns; for itself and for operators."""

import asyncio

from gateway.pages.page import Page
from gateway.pages.reads import PoolReads, part
from gateway.pages.viewer import Viewer

#: Blocks of the table and the plots.
_LAST = 50


async def pooler(reads: PoolReads, viewer: Viewer, pooler_id: str, page_token: str) -> Page:
    """Return the page of a pooler; raise what registry raises for one that is not the viewer's."""
    found, summary, blocks, farmers, fees = await asyncio.gather(
        part(reads.pooler(viewer, pooler_id)),
        part(reads.pooler_summary(viewer, pooler_id)),
        part(reads.pooler_blocks(viewer, pooler_id, _LAST)),
        part(reads.farmers(viewer, pooler_id, page_token)),
        part(reads.fees_by_day(viewer, pooler_id)),
    )
    one = found.needed().pooler
    return Page(
        template="pooler.html",
        title=f"Pooler {one.name}",
        content={
            "pooler": one,
            "summary": summary,
            "blocks": blocks,
            "farmers": farmers,
            "fees": fees,
            "is_first": not page_token,
        },
    )
