""".../statements/{month}: the statement of a farmer, a pooler or a miner, and its files."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.harvest.v1 import statement_pb2

from gateway.errors import StatementTooLongError
from gateway.pages.page import Download, Page
from gateway.pages.reads import ROWS, PoolReads
from gateway.pages.show import utc
from gateway.pages.viewer import Viewer
from libs.kale.statements.document import joined, read_file, written
from libs.kale.statements.tables import lines_csv, tax_csv

#: Lines that are read at once for a file.
_LINES = 1000
#: Months that an owner's page names.
_MONTHS = 12
#: Lines of the largest file: all of them are in memory at once.
_MOST = 100_000
_FEES = ("pooler:fee", "operator:fee", "miner:earned")
#: Titles of what a line's parts are, by whose the statement is.
_TITLES = {
    "farmer": ("Own KALE", "Minted", "Fees"),
    "pooler": ("Own KALE", "Its miners’", "Paid out"),
    "miner": ("Own KALE", "Paid out"),
}
Form = Literal["json", "csv", "tax"]


@dataclass(frozen=True, kw_only=True)
class Whose:
    """Whose statement a page is of."""

    #: farmer, pooler or miner.
    kind: str
    #: The fields of a request that name it.
    fields: Mapping[str, str]
    #: The path of its own page.
    home: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line for people."""

    #: The line.
    line: statement_pb2.StatementLine
    #: Stroops by the titles: what the owner has more, or less; then 0 is nothing.
    amounts: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What an owner had at the end of a day."""

    #: The day; empty before anything was booked.
    day: str
    #: Stroops by what they are for, without farmer: before it.
    amounts: Sequence[tuple[str, int]]


async def of_farmer(reads: PoolReads, viewer: Viewer, name: str) -> Whose:
    """Return a farmer who is named by its address or its id."""
    fields = {"farmer_id": await reads.farmer_id(viewer, name)}
    return Whose(kind="farmer", fields=fields, home=f"/farmers/{quote(name, safe='')}")


def of_pooler(pooler_id: str) -> Whose:
    """Return a pooler."""
    home = f"/poolers/{quote(pooler_id, safe='')}"
    return Whose(kind="pooler", fields={"pooler_id": pooler_id}, home=home)


def of_miner(pooler_id: str, address: str) -> Whose:
    """Return a miner of a pooler, by the address at which it is paid."""
    return Whose(
        kind="miner",
        fields={"pooler_id": pooler_id, "miner_address": address},
        home=f"{of_pooler(pooler_id).home}/miners/{quote(address, safe='')}",
    )


async def statement(reads: PoolReads, viewer: Viewer, whose: Whose, month: str) -> Page:
    """Return the page of a statement: its sums and first lines, and links to its files."""
    reply = await reads.statement(viewer, whose.fields, month, ROWS)
    found = reply.statement
    return Page(
        template="statement.html",
        title=f"Statement of {month}",
        content={
            "statement": found,
            "owner_id": found.farmer_id or found.pooler_id or found.miner_id,
            "kind": whose.kind,
            "path": f"{whose.home}/statements/{quote(month, safe='')}",
            "opening": _held(found.opening),
            "closing": _held(found.closing),
            "totals": [
                (total.kind, total.lines, [(one.role, int(one.amount)) for one in total.amounts])
                for total in found.totals
            ],
            "titles": _TITLES[whose.kind],
            "rows": [_row(whose.kind, line) for line in found.lines],
            "has_more": bool(reply.next_page_token),
            "root": next((one for one in found.roots if one.day == found.closing.day), None),
        },
    )


async def statement_file(
    reads: PoolReads, viewer: Viewer, whose: Whose, month: str, form: Form
) -> Download:
    """Return a file of a statement, with all of its lines. Raise StatementTooLongError."""
    pages, token = list[dict[str, Any]](), ""
    while True:
        reply = await reads.statement(viewer, whose.fields, month, _LINES, token)
        # The first page has the sums.
        if sum(total.lines for total in reply.statement.totals) > _MOST:
            raise StatementTooLongError(
                f"the file would have more than {_MOST} lines: take a statement of a day"
            )
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


def _row(kind: str, line: statement_pb2.StatementLine) -> Row:
    amounts = {one.role: int(one.amount) for one in line.amounts}
    if kind == "farmer":
        own = sum(amount for role, amount in amounts.items() if role.startswith("farmer:"))
        minted = -amounts.get("chain:mint", 0)
        fees = sum(amounts.get(role, 0) for role in _FEES) if minted else 0
        return Row(line=line, amounts=(own, minted, fees))
    earned, out = amounts.get("miner:earned", 0), amounts.get("chain:out", 0)
    if kind == "pooler":
        return Row(line=line, amounts=(amounts.get("pooler:fee", 0), earned, out))
    return Row(line=line, amounts=(earned, out))
