"""The reads of reports: what a page of blocks, earnings or fees asks of PostgreSQL, timed."""

from datetime import UTC, datetime

from libs.common.ids import PoolerId
from libs.common.paging import MAX_INDEX
from libs.common.spans import FIRST, Span, latest
from libs.kale.constants import MAX_I64
from services.harvest.domain.poolers import Window
from services.harvest.domain.reports import DAYS, LATELY
from services.harvest.store.poolers import PoolerStore
from trials.history.block_life import Life, Timings

#: Blocks of a page.
_PAGE = 100
#: Hours and months of a page; the database with little history has as many hours.
_HOURS, _MONTHS = 24, 24


async def read_reports(life: Life, block: int, times: Timings) -> None:
    """Send the reads of every report, as the running block is `block`."""
    await _read_earnings(life, times)
    await _read_blocks(life, block, times)
    await _read_fees(life, times)
    await _read_statement(life, times)
    await _read_poolers(life, block, times)


async def _read_poolers(life: Life, block: int, times: Timings) -> None:
    """Read what the public list shows: a month of blocks, or as many as there are."""
    store = PoolerStore(life.databases["harvest"])
    windows = [window.blocks(block) for window in Window]
    with times.take("poolers: listed"):
        await store.listed(after=None, limit=_PAGE + 1)
    with times.take("poolers: figures"):
        await store.figures([PoolerId(life.pooler_id)], windows)
    with times.take("poolers: openings of blocks"):
        await store.openings(windows)


async def _read_statement(life: Life, times: Timings) -> None:
    harvest, farmer = life.databases["harvest"], life.farmers[7][0]
    with times.take("statement: a page of lines"):
        await harvest.many("statement_lines", farmer, 0, MAX_I64, _PAGE + 1)
    with times.take("statement: roots"):
        await harvest.many("roots", 0, MAX_INDEX, _PAGE + 1)


async def _read_earnings(life: Life, times: Timings) -> None:
    harvest, pooler, farmer = life.databases["harvest"], life.pooler_id, life.farmers[7][0]
    now = datetime.now(UTC)
    days, hours = latest(Span.DAY, now, DAYS), latest(Span.HOUR, now, _HOURS)
    with times.take("report: earnings of the pool, 30 days"):
        await harvest.many("pool_earnings", "day", days)
    with times.take("report: earnings of the pool, ever"):
        await harvest.many("pool_earnings", "all", [FIRST])
    with times.take("report: earnings of a pooler, 24 hours"):
        await harvest.many("pooler_earnings", "hour", hours, pooler)
    with times.take("report: earnings of a pooler, 24 months"):
        await harvest.many("pooler_earnings", "month", latest(Span.MONTH, now, _MONTHS), pooler)
    with times.take("report: earnings of a farmer, 24 hours"):
        await harvest.many("farmer_earnings", "hour", hours, farmer)
    with times.take("report: earnings of a farmer, 30 days"):
        await harvest.many("farmer_earnings", "day", days, farmer)
    with times.take("report: people"):
        await harvest.one("people", None)
    with times.take("report: a farmer"):
        await harvest.one("farmer_by_id", farmer)


async def _read_blocks(life: Life, block: int, times: Timings) -> None:
    harvest, pooler, farmer = life.databases["harvest"], life.pooler_id, life.farmers[7][0]
    lately = (max(0, block - LATELY), block - 1)
    with times.take("report: blocks of the pool"):
        await harvest.many("pool_blocks", MAX_INDEX, _PAGE + 1, None)
    with times.take("report: blocks of a pooler"):
        await harvest.many("pooler_blocks", MAX_INDEX, _PAGE + 1, pooler)
    with times.take("report: farmers by zeros"):
        await harvest.many("farmers_by_zeros", block - 1)
    with times.take("report: success of the pool"):
        await harvest.one("success", *lately, None)
    with times.take("report: success of a pooler"):
        await harvest.one("success", *lately, pooler)
    with times.take("report: success of a farmer"):
        await harvest.one("farmer_success", *lately, farmer)


async def _read_fees(life: Life, times: Timings) -> None:
    wallet, pooler = life.databases["wallet"], life.pooler_id
    now = datetime.now(UTC)
    hours, months = latest(Span.HOUR, now, _HOURS), latest(Span.MONTH, now, _MONTHS)
    with times.take("report: fees of the pool, 24 hours"):
        await wallet.many("fees_of_spans", "hour", hours, None)
    with times.take("report: fees of a pooler, 24 months"):
        await wallet.many("fees_of_spans", "month", months, pooler)
    with times.take("report: rewards beside fees, 24 hours"):
        await wallet.many("rewards_of_spans", "hour", hours, None)
