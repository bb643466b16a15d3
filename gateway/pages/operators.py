"""/operator: what those who run the pool look at; for operators."""

import asyncio

from gateway.health import PoolHealth, word_for
from gateway.pages.notifications import newest
from gateway.pages.page import Page
from gateway.pages.reads import PoolReads, part
from gateway.pages.viewer import Viewer
from libs.common.errors import PermissionDeniedError


async def operator(reads: PoolReads, health: PoolHealth, viewer: Viewer, page_token: str) -> Page:
    """Return the operators' page; raise PermissionDeniedError for others."""
    if viewer.kind != "operator":
        raise PermissionDeniedError("this page is for operators", reason="ACCESS_DENIED")
    told, services = await asyncio.gather(
        asyncio.gather(
            part(reads.engine(viewer)),
            part(reads.treasury(viewer)),
            part(reads.pauses(viewer)),
            part(reads.differences(viewer)),
            part(reads.fees_by_day(viewer)),
            part(reads.poolers(viewer, page_token)),
            newest(reads, viewer),
        ),
        health.services(),
    )
    names = ("engine", "treasury", "pauses", "differences", "fees", "poolers", "told")
    return Page(
        template="operator.html",
        title="Operator",
        content={
            **dict(zip(names, told, strict=True)),
            "services": services,
            "verdict": word_for(services),
            "is_first": not page_token,
        },
    )
