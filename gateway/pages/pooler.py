"""/poolers/{id}: what a pooler farms and earns; for itself and for operators."""

import asyncio

from gateway.pages.notifications import newest
from gateway.pages.page import Page
from gateway.pages.reads import Part, PoolReads, part
from gateway.pages.statement import months_of
from gateway.pages.viewer import Viewer
from libs.common.errors import DeadlineExceededError, UnavailableError

#: Blocks of the table and the plots.
_LAST = 50


async def pooler(reads: PoolReads, viewer: Viewer, pooler_id: str, page_token: str) -> Page:
    """Return the page of a pooler; raise what registry raises for one that is not the viewer's.

    While registry is away, harvest says whether the viewer may look.
    """
    found, summary, blocks, farmers, fees, told = await asyncio.gather(
        part(reads.pooler(viewer, pooler_id)),
        part(reads.pooler_summary(viewer, pooler_id)),
        part(reads.pooler_blocks(viewer, pooler_id, _LAST)),
        part(reads.farmers(viewer, pooler_id, page_token)),
        part(reads.fees_by_day(viewer, pooler_id)),
        newest(reads, viewer, pooler_id),
    )
    if _is_away(found):
        summary.needed()
    known = None if _is_away(found) else found.needed().pooler
    name = pooler_id if known is None else known.name
    return Page(
        template="pooler.html",
        title=f"Pooler {name}",
        content={
            "found": found,
            "pooler_id": pooler_id,
            "name": name,
            "summary": summary,
            "blocks": blocks,
            "farmers": farmers,
            "fees": fees,
            "told": told,
            "months": [] if known is None else months_of(known.registered_at),
            "is_first": not page_token,
        },
    )


def _is_away(told: Part[object]) -> bool:
    return isinstance(told.error, UnavailableError | DeadlineExceededError)
