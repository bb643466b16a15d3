"""/ and /blocks: the pool at a glance, and the blocks that it took part in."""

import asyncio

from kalepool.report.v1 import report_pb2

from gateway.health import PoolHealth, word_for
from gateway.pages.page import Page, clock_of, spent_by_hour, spent_in
from gateway.pages.reads import DAY_OF_BLOCKS, ROWS, PoolReads, part

#: Blocks of the table on the overview, and of the plots by block.
_LAST, _PLOTTED = 12, 50


async def overview(reads: PoolReads, health: PoolHealth) -> Page:
    """Return the overview."""
    current, summary, reports, info, services = await asyncio.gather(
        part(reads.block()),
        part(reads.pool_summary()),
        part(reads.block_reports(DAY_OF_BLOCKS)),
        part(reads.info()),
        health.services(),
    )
    blocks = list(reports.value.blocks) if reports.value else []
    clock = clock_of(current.value)
    return Page(
        template="overview.html",
        title="Overview",
        content={
            "current": current,
            "clock": clock,
            "own": _of(blocks, None if clock is None else clock.index),
            "summary": summary,
            "reports": reports,
            "last": blocks[:_LAST],
            "plotted": blocks[:_PLOTTED],
            "hours": spent_by_hour(blocks),
            "day": spent_in(blocks),
            "info": info.value,
            "services": services,
            "verdict": word_for(services),
        },
    )


async def blocks(reads: PoolReads, page_token: str) -> Page:
    """Return a page of all blocks that the pool took part in."""
    found = await reads.block_reports(ROWS, page_token)
    return Page(
        template="blocks.html",
        title="Blocks",
        content={"blocks": found.blocks, "more": found.next_page_token, "is_first": not page_token},
    )


def _of(blocks: list[report_pb2.BlockReport], index: int | None) -> report_pb2.BlockReport | None:
    """Return the pool's figures of a block; None when the pool took no part in it so far."""
    return next((block for block in blocks if block.block_index == index), None)
