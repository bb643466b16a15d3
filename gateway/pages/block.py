"""/blocks/{index}: one block, of the pool and of the chain."""

import asyncio

from gateway.pages.page import Page, clock_of
from gateway.pages.reads import Part, PoolReads, part
from libs.common.errors import NotFoundError
from libs.http.errors import NoSuchPathError

#: Index of a block at most.
_LARGEST = 2**31 - 1


def parse_index(text: str) -> int:
    """Return the index in a path; raise NoSuchPathError for what is none."""
    is_index = text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST
    if not is_index or (len(text) > 1 and text.startswith("0")):
        raise NoSuchPathError(f"{text[:100]} is no index of a block")
    return int(text)


async def block(reads: PoolReads, text: str) -> Page:
    """Return the page of a block; raise NotFoundError when neither chain nor pool knows it."""
    index = parse_index(text)
    seen, report = await asyncio.gather(part(reads.block(index)), part(reads.block_report(index)))
    if _is_unknown(seen) and _is_unknown(report):
        raise NotFoundError(f"no block {index} was seen", reason="BLOCK_UNKNOWN")
    current = seen.value.head.current_block if seen.value else None
    return Page(
        template="block.html",
        title=f"Block {index}",
        content={
            "index": index,
            "seen": seen,
            "chain": seen.value.block if seen.value and seen.value.HasField("block") else None,
            "clock": clock_of(seen.value) if current == index else None,
            "report": report,
            "is_not_farmed": _is_unknown(report),
            "own": report.value.block if report.value else None,
            "current": current,
        },
    )


def _is_unknown(told: Part[object]) -> bool:
    return isinstance(told.error, NotFoundError)
