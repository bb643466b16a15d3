"""/farmers/{id}/statements/{month}: a farmer's statement, and the files that prove it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import statement_pb2

from gateway.pages.page import Download, Page
from gateway.pages.reads import ROWS, PoolReads
from gateway.pages.show import utc
from gateway.pages.viewer import Viewer
from libs.kale.statements.document import joined, read_file, written
from libs.kale.statements.tables import lines_csv, tax_csv

#: Lines that are read at once for a file.
_LINES = 1000
#: Months that a farmer's page names.
_MONTHS = 12
_FEES = ("pooler:fee", "operator:fee", "miner:earned")
Form = Literal["json", "csv", "tax"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line for people."""

    #: The line.
    line: statement_pb2.StatementLine
    #: Stroops that it gave the farmer's accounts together; below zero: took.
    own: int
    #: Stroops that the chain minted.
    minted: int
    #: Stroops of it that are fees.
    fees: int


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a farmer had at the end of a day."""

    #: The day; empty before anything was booked.
    day: str
    #: Stroops by what they are for, without farmer: before it.
    amounts: Sequence[tuple[str, int]]


async def statement(reads: PoolReads, viewer: Viewer, name: str, month: str) -> Page:
    """Return the page of a statement: its sums and first lines, and links to its files."""
    farmer_id = await reads.farmer_id(viewer, name)
    reply = await reads.statement(viewer, farmer_id, month, ROWS)
    found = reply.statement
    return Page(
        template="statement.html",
        title=f"Statement of {month}",
        content={
            "statement": found,
            "name": name,
            "opening": _held(found.opening),
            "closing": _held(found.closing),
            "totals": [
                (total.kind, total.lines, [(one.role, int(one.amount)) for one in total.amounts])
                for total in found.totals
            ],
            "rows": list(map(_row, found.lines)),
            "has_more": bool(reply.next_page_token),
            "root": next((one for one in found.roots if one.day == found.closing.day), None),
        },
    )


async def statement_file(
    reads: PoolReads, viewer: Viewer, name: str, month: str, form: Form
) -> Download:
    """Return a file of a statement, with all of its lines."""
    farmer_id = await reads.farmer_id(viewer, name)
    pages, token = list[dict[str, Any]](), ""
    while True:
        reply = await reads.statement(viewer, farmer_id, month, _LINES, token)
        # Thousands of messages: others have their turn meanwhile.
        pages.append(await asyncio.to_thread(_document, reply.statement))
        token = reply.next_page_token
        if not token:
            break
    text = await asyncio.to_thread(_made, pages, form)
    ending = {"json": "json", "csv": "csv", "tax": "tax.csv"}[form]
    return Download(
        name=f"kalepool-statement-{month}.{ending}",
        media_type="application/json" if form == "json" else "text/csv; charset=utf-8",
        text=text,
    )


def months_of(registered_at: Timestamp, now: datetime | None = None) -> list[str]:
    """Return the months since a registration, newest first; of many the newest."""
    moment, first = now or datetime.now(UTC), utc(registered_at)
    year, month = moment.year, moment.month
    found: list[str] = []
    while len(found) < _MONTHS and (first is None or (year, month) >= (first.year, first.month)):
        found.append(f"{year:04d}-{month:02d}")
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return found


def _document(message: statement_pb2.Statement) -> dict[str, Any]:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def _made(pages: Iterable[dict[str, Any]], form: Form) -> str:
    text = written(joined(pages))
    if form == "json":
        return text
    return (lines_csv if form == "csv" else tax_csv)(read_file(text))


def _held(balances: statement_pb2.StatementBalances) -> Held:
    return Held(
        day=balances.day,
        amounts=[(one.role.removeprefix("farmer:"), int(one.amount)) for one in balances.balances],
    )


def _row(line: statement_pb2.StatementLine) -> Row:
    amounts = {one.role: int(one.amount) for one in line.amounts}
    minted = -amounts.get("chain:mint", 0)
    return Row(
        line=line,
        own=sum(amount for role, amount in amounts.items() if role.startswith("farmer:")),
        minted=minted,
        fees=sum(amounts.get(role, 0) for role in _FEES) if minted else 0,
    )
