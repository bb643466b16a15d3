"""/ and /blocks: the pool at a glance, and the blocks that it took part in."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt

from kalepool.report.v1 import report_pb2

from gateway.health import PoolHealth, word_for
from gateway.pages.page import Page, clock_of, spent_by_hour, spent_in
from gateway.pages.reads import DAY_OF_BLOCKS, ROWS, PoolerMining, PoolReads, part

#: Blocks of the table on the overview, and of the plots by block.
_LAST, _PLOTTED = 12, 50


async def overview(reads: PoolReads, health: PoolHealth) -> Page:
    """Return the overview."""
    current, summary, reports, info, mining, services = await asyncio.gather(
        part(reads.block()),
        part(reads.pool_summary()),
        part(reads.block_reports(DAY_OF_BLOCKS)),
        part(reads.info()),
        reads.mining(),
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
            "mining": mining,
            "mined": mined_by(mining),
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


@dataclass(frozen=True, kw_only=True)
class Mined:
    """The mining of all poolers that tell of it."""

    #: Hashes a second of their own engines, and of their miners with the standard error.
    own_rate: int
    rate: int
    error: int
    #: Their miners' workers.
    workers: int
    #: Farmers by the zeros of their best nonce so far.
    zeros: Mapping[int, int]


def mined_by(mining: Iterable[PoolerMining]) -> Mined | None:
    """Return the sums of what poolers tell; None when none tells anything."""
    told = [one.told.value for one in mining if one.told.value is not None]
    if not told:
        return None
    blocks = [one.block for one in told if one.block is not None]
    zeros: Counter[int] = Counter()
    for block in blocks:
        zeros.update(block.zeros)
    return Mined(
        own_rate=sum(block.own_rate for block in blocks),
        rate=sum(one.rate.rate for one in told),
        error=isqrt(sum(one.rate.error**2 for one in told)),
        workers=sum(one.workers for one in told),
        zeros=zeros,
    )


def _of(blocks: list[report_pb2.BlockReport], index: int | None) -> report_pb2.BlockReport | None:
    """Return the pool's figures of a block; None when the pool took no part in it so far."""
    return next((block for block in blocks if block.block_index == index), None)
