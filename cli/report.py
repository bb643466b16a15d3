"""kalepool report: what blocks, poolers and farmers came to, and what the network was paid."""

from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import cyclopts
from google.protobuf.message import Message
from kalepool.report.v1 import fees_pb2, report_pb2

from cli.arguments import BlockIndex, Count, Run
from cli.errors import CommandLineError
from cli.session import Session
from cli.show import cell, enum_name
from libs.kale.amounts import format_kale

app = cyclopts.App(name="report", help="Show what was farmed and earned, and what it cost.")
BLOCK_COLUMNS = (
    "block_index",
    "opened_at",
    "planted",
    "not_planted",
    "worked",
    "harvested",
    "staked",
    "rewards",
    "fees",
    "own.min_zeros",
    "own.max_zeros",
    "chain.max_zeros",
    "own.max_gap",
)
EARNINGS_COLUMNS = ("starts_at", "rewards", "harvests", "stake_returned")
FEE_COLUMNS = ("starts at", "fees", "of these", "rewards", "one KALE costs")
SUCCESS_COLUMNS = ("in the last blocks", "succeeded", "failed", "per cent")
By = Literal["hour", "day", "month"]
RequestT = TypeVar("RequestT", report_pb2.ListEarningsRequest, fees_pb2.ListFeesRequest)


@app.command
async def summary(*, pooler: str = "", farmer: str = "", address: str = "", session: Run) -> None:
    """Show what the pool earned, and how often farming succeeded; or one pooler or farmer.

    Parameters
    ----------
    pooler
        Id of a pooler.
    farmer
        Id of a farmer.
    address
        Address of a farmer (G...).
    """
    if sum(map(bool, (pooler, farmer, address))) > 1:
        raise CommandLineError("give one of --pooler, --farmer and --address at most")
    found: Any = await _summary(session, pooler, farmer, address)
    if session.options.json:
        session.output.json_of(found)
        return
    session.output.summary(found, "days", EARNINGS_COLUMNS)
    session.output.table(SUCCESS_COLUMNS, _success_rows(found.success))


@app.command
async def blocks(*, pooler: str = "", limit: Count = 20, session: Run) -> None:
    """List the blocks that the pool took part in, newest first.

    Own figures are those of the pool's farmers (or the pooler's), the chain's those of all farmers.

    Parameters
    ----------
    pooler
        Only the figures of this pooler.
    limit
        How many at most; 0 means all.
    """

    async def page(
        size: int, token: str
    ) -> report_pb2.ListBlockReportsResponse | report_pb2.ListPoolerBlockReportsResponse:
        if not pooler:
            request = report_pb2.ListBlockReportsRequest(page_size=size, page_token=token)
            return await session.ask(session.reports.ListBlockReports, request)
        of_pooler = report_pb2.ListPoolerBlockReportsRequest(
            pooler_id=pooler, page_size=size, page_token=token
        )
        return await session.ask(session.reports.ListPoolerBlockReports, of_pooler)

    found = await session.pages(page, "blocks", limit)
    session.output.rows(found, "blocks", BLOCK_COLUMNS)


@app.command
async def block(index: BlockIndex, /, *, session: Run) -> None:
    """Show one block of the pool, with its farmers by zeros.

    Parameters
    ----------
    index
        Index of the block.
    """
    request = report_pb2.GetBlockReportRequest(block_index=index)
    reply = await session.ask(session.reports.GetBlockReport, request)
    session.output.message(reply.block)
    if not session.options.json:
        rows = [(str(zeros), str(farmers)) for zeros, farmers in _by_zeros(reply.block)]
        session.output.table(("zeros", "farmers"), rows)


@app.command
async def earnings(
    *,
    pooler: str = "",
    farmer: str = "",
    by: By = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Count = 30,
    session: Run,
) -> None:
    """List what the pool, a pooler or a farmer earned, newest first.

    Parameters
    ----------
    pooler
        Only this pooler's.
    farmer
        Only this farmer's.
    by
        Hours, days or months, all of them UTC's.
    since
        Only what ended after this moment, such as 2026-11-01 or 2026-11-01T12:00:00 (UTC).
    until
        Only what began before this moment.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> report_pb2.ListEarningsResponse:
        request = report_pb2.ListEarningsRequest(
            pooler_id=pooler, farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.reports.ListEarnings, _timed(request, by, since, until))

    found = await session.pages(page, "earnings", limit)
    session.output.rows(found, "earnings", EARNINGS_COLUMNS)


@app.command
async def fees(
    *,
    pooler: str = "",
    by: By = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Count = 30,
    session: Run,
) -> None:
    """List what the network was paid, newest first, and what each KALE cost.

    Parameters
    ----------
    pooler
        Only for this pooler's farmers.
    by
        Hours, days or months, all of them UTC's.
    since
        Only what ended after this moment, such as 2026-11-01 or 2026-11-01T12:00:00 (UTC).
    until
        Only what began before this moment.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> fees_pb2.ListFeesResponse:
        request = fees_pb2.ListFeesRequest(pooler_id=pooler, page_size=size, page_token=token)
        return await session.ask(session.fees.ListFees, _timed(request, by, since, until))

    found = await session.pages(page, "fees", limit)
    if session.options.json:
        session.output.json_of(found)
    else:
        session.output.table(FEE_COLUMNS, map(_fee_row, found.fees))


async def _summary(session: Session, pooler: str, farmer: str, address: str) -> Message:
    if pooler:
        of_pooler = report_pb2.GetPoolerSummaryRequest(pooler_id=pooler)
        return (await session.ask(session.reports.GetPoolerSummary, of_pooler)).summary
    if farmer or address:
        of_farmer = report_pb2.GetFarmerSummaryRequest(farmer_id=farmer, address=address)
        return await session.ask(session.reports.GetFarmerSummary, of_farmer)
    request = report_pb2.GetPoolSummaryRequest()
    return (await session.ask(session.reports.GetPoolSummary, request)).summary


def _timed(request: RequestT, by: By, since: datetime | None, until: datetime | None) -> RequestT:
    """Fill in the span and its limits; a moment without a time zone is UTC's."""
    request.span = report_pb2.Span.Value(f"SPAN_{by.upper()}")
    for name, moment in (("start_time", since), ("end_time", until)):
        if moment is not None:
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            getattr(request, name).FromDatetime(aware)
    return request


def _success_rows(success: report_pb2.Success) -> list[tuple[str, ...]]:
    steps = (
        ("planted", success.planted, success.not_planted),
        ("worked", success.worked, success.not_worked),
        ("harvested", success.harvested, success.not_harvested),
    )
    return [(name, str(done), str(failed), _per_cent(done, failed)) for name, done, failed in steps]


def _per_cent(done: int, failed: int) -> str:
    return f"{100 * done / (done + failed):.1f}" if done + failed else ""


def _by_zeros(block: report_pb2.BlockReport) -> list[tuple[int, int]]:
    """Return zeros and farmers, from the fewest zeros that a farmer has."""
    counted = list(enumerate(block.farmers_by_zeros))
    return [(zeros, farmers) for zeros, farmers in counted if zeros >= block.own.min_zeros]


def _fee_row(fees: fees_pb2.Fees) -> tuple[str, ...]:
    kinds = fees_pb2.FeeKind.DESCRIPTOR
    parts = [f"{enum_name(kinds, fee.kind)} {format_kale(fee.stroops)}" for fee in fees.kinds]
    has_price = fees.HasField("stroops_per_kale")
    return (
        cell(fees, "starts_at"),
        f"{format_kale(fees.stroops)} XLM",
        ", ".join(parts),
        cell(fees, "rewards"),
        f"{format_kale(fees.stroops_per_kale)} XLM" if has_price else "",
    )
