"""Statements as CSV: all lines, and what tax offices ask for. Amounts are in KALE, decimals."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from libs.kale.amounts import format_kale
from libs.kale.statements.document import File, ReadLine
from libs.kale.statements.owners import OUT, ROLES, OwnerKind

_FEES = ("pooler:fee", "operator:fee", "miner:earned")
#: The kind of line of what is paid from a pooler's account.
_PAYMENT = "pool_payment"
#: The columns of all lines by whose they are: name, and what the line's amounts have it under.
_COLUMNS: Mapping[OwnerKind, Mapping[str, str]] = {
    OwnerKind.FARMER: {
        "available": "farmer:available",
        "staked": "farmer:staked",
        "pending_out": "farmer:pending_out",
        "pooler_fee": "pooler:fee",
        "operator_fee": "operator:fee",
        "miners": "miner:earned",
        "minted": "chain:mint",
        "burned": "chain:burn",
        "out": OUT,
    },
    OwnerKind.POOLER: {
        "fee": "pooler:fee",
        "miners": "miner:earned",
        "in_account": "pooler:held",
        "out": OUT,
    },
    OwnerKind.MINER: {"earned": "miner:earned", "out": OUT},
}
TAX_COLUMNS = ("date", "kind", "amount_kale", "fee_kale", "net_kale", "block", "transaction")


def line_columns(kind: OwnerKind) -> tuple[str, ...]:
    """Return the columns of all lines of such an owner."""
    columns = _COLUMNS[kind]
    names = {role: name for name, role in columns.items()}
    return (
        *("date", "kind", "block", "ledger", "transaction"),
        *columns,
        *("other", *(f"{names[role]}_after" for role in ROLES[kind]), "number", "source"),
    )


def lines_csv(file: File) -> str:
    """Return all lines as CSV, each with what the accounts have afterwards."""
    return _csv(line_columns(file.statement.owner.kind), _line_rows(file))


def tax_csv(file: File) -> str:
    """Return income, what left and came, and what was lost, as CSV: a row for each."""
    kind = file.statement.owner.kind
    rows = _farmer_rows if kind is OwnerKind.FARMER else partial(_fee_rows, kind)
    return _csv(TAX_COLUMNS, (row for line in file.lines for row in rows(line)))


def _csv(columns: Sequence[str], rows: Iterator[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _line_rows(file: File) -> Iterator[list[str]]:
    kind_of_owner = file.statement.owner.kind
    accounts = ROLES[kind_of_owner]
    held = dict.fromkeys(accounts, 0) | dict(file.statement.opening.amounts)
    for line in file.lines:
        number, kind, source, block, ledger, transaction, moment, _ = line.texts
        amounts = dict(line.amounts)
        for role in accounts:
            held[role] += amounts.get(role, 0)
        known = [amounts.pop(role, 0) for role in _COLUMNS[kind_of_owner].values()]
        yield [
            *(moment, kind, block, ledger if line.ledger else "", transaction),
            *(format_kale(amount) if amount else "" for amount in known),
            format_kale(sum(amounts.values())) if amounts else "",
            *(format_kale(held[role]) for role in accounts),
            *(number, source),
        ]


def _farmer_rows(line: ReadLine) -> Iterator[list[str]]:
    """Yield what a line is for a tax office: nothing when it only moves between own accounts.

    A stake is the farmer's own: planted and harvested, it is neither income nor loss.
    """
    amounts = dict(line.amounts)
    minted, burned = -amounts.get("chain:mint", 0), amounts.get("chain:burn", 0)
    fee = sum(amounts.get(role, 0) for role in _FEES) if minted else 0
    own = sum(amounts.get(role, 0) for role in ROLES[OwnerKind.FARMER])
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
            yield _row(line, kind, amount, cost)


def _fee_rows(kind_of_owner: OwnerKind, line: ReadLine) -> Iterator[list[str]]:
    """Yield what a line of a pooler or a miner is for a tax office.

    What a pooler's miners were not given yet is no income of the pooler's.
    """
    own = dict(line.amounts).get(ROLES[kind_of_owner][0], 0)
    gained = "income" if own > 0 else "income taken back"
    if own:
        yield _row(line, "paid out" if line.texts[1] == _PAYMENT else gained, own, 0)


def _row(line: ReadLine, kind: str, amount: int, cost: int) -> list[str]:
    _, _, _, block, _, transaction, moment, _ = line.texts
    return [
        *(moment, kind, format_kale(amount), format_kale(cost), format_kale(amount - cost)),
        *(block, transaction),
    ]
