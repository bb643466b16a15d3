"""Statements as CSV: all lines, and what tax offices ask for. Amounts are in KALE, decimals."""

import csv
import io
from collections.abc import Iterator, Sequence

from libs.kale.amounts import format_kale
from libs.kale.statements.document import File, ReadLine

_ACCOUNTS = ("farmer:available", "farmer:staked", "farmer:pending_out")
_FEES = ("pooler:fee", "operator:fee", "miner:earned")
#: The columns of all lines: name, and what the line's amounts have it under.
_COLUMNS = {
    "available": "farmer:available",
    "staked": "farmer:staked",
    "pending_out": "farmer:pending_out",
    "pooler_fee": "pooler:fee",
    "operator_fee": "operator:fee",
    "miners": "miner:earned",
    "minted": "chain:mint",
    "burned": "chain:burn",
    "out": "chain:out",
}
LINE_COLUMNS = (
    *("date", "kind", "block", "ledger", "transaction"),
    *_COLUMNS,
    *("other", "available_after", "staked_after", "pending_out_after", "number", "source"),
)
TAX_COLUMNS = ("date", "kind", "amount_kale", "fee_kale", "net_kale", "block", "transaction")


def lines_csv(file: File) -> str:
    """Return all lines as CSV, each with what the accounts have afterwards."""
    return _csv(LINE_COLUMNS, _line_rows(file))


def tax_csv(file: File) -> str:
    """Return income, what left and came, and what was lost, as CSV: a row for each."""
    return _csv(TAX_COLUMNS, (row for line in file.lines for row in _tax_rows(line)))


def _csv(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _line_rows(file: File) -> Iterator[list[str]]:
    held = dict.fromkeys(_ACCOUNTS, 0) | dict(file.statement.opening.amounts)
    for line in file.lines:
        number, kind, source, block, ledger, transaction, moment, _ = line.texts
        amounts = dict(line.amounts)
        for role in _ACCOUNTS:
            held[role] += amounts.get(role, 0)
        known = [amounts.pop(role, 0) for role in _COLUMNS.values()]
        yield [
            *(moment, kind, block, ledger if line.ledger else "", transaction),
            *(format_kale(amount) if amount else "" for amount in known),
            format_kale(sum(amounts.values())) if amounts else "",
            *(format_kale(held[role]) for role in _ACCOUNTS),
            *(number, source),
        ]


def _tax_rows(line: ReadLine) -> Iterator[list[str]]:
    """Yield what a line is for a tax office: nothing when it only moves between own accounts.

    A stake is the farmer's own: planted and harvested, it is neither income nor loss.
    """
    amounts = dict(line.amounts)
    _, _, _, block, _, transaction, moment, _ = line.texts
    minted, burned = -amounts.get("chain:mint", 0), amounts.get("chain:burn", 0)
    fee = sum(amounts.get(role, 0) for role in _FEES) if minted else 0
    own = sum(amounts.get(role, 0) for role in _ACCOUNTS)
    for kind, amount, cost in (
        ("income" if minted > 0 else "income taken back", minted, fee),
        ("stake lost" if burned > 0 else "lost stake came back", -burned, 0),
        # What is left after the others has come or gone.
        (
            "received" if own - minted + fee + burned > 0 else "paid out",
            own - minted + fee + burned,
            0,
        ),
    ):
        if amount:
            yield [
                *(moment, kind, format_kale(amount), format_kale(cost), format_kale(amount - cost)),
                *(block, transaction),
            ]
