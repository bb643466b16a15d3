"""kalepool statement: what an owner's accounts went through in a month, and the proof of it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from kalepool.harvest.v1 import statement_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import BATCH_TIMEOUT, PAGE, Session
from cli.show import Output, note, to_dict
from cli.stellar import open_node
from libs.common.private_file import whole_private_file
from libs.kale.amounts import format_kale
from libs.kale.statements.chain import Comparison, Standing, compare, wanted
from libs.kale.statements.checking import Finding, Verdict, check
from libs.kale.statements.document import File, ShapeError, joined, read_file, read_root, written
from libs.kale.statements.roots import Root
from libs.kale.statements.tables import lines_csv, tax_csv

app = cyclopts.App(
    name="statement",
    help="Show, save and check statements, which prove themselves (docs/statements.md).",
)
Form = Literal["json", "csv", "tax"]
Shown = Annotated[Output, Parameter(parse=False)]
LINE_COLUMNS = ("happened_at", "kind", "block", "ledger", "role", "amount_kale", "transaction")
ROOT_COLUMNS = ("day", "leaves", "refused", "total_kale", "record", "ledger")


@app.command
async def show(
    farmer: str = "",
    /,
    *,
    pooler: str = "",
    miner: str = "",
    month: str,
    limit: Count = 20,
    session: Run,
) -> None:
    """Show a statement of a month: balances, totals by kind, and the first lines.

    Parameters
    ----------
    farmer
        Id of the farmer.
    pooler
        Id of the pooler, in place of the farmer's.
    miner
        Address at which the pooler's miner is paid, beside --pooler: the miner's statement.
    month
        The month (UTC), as 2026-01, or the day, as 2026-01-31; the running month's ends with
        yesterday.
    limit
        How many lines at most; 0 means all.
    """
    whose = _named(farmer, pooler, miner)
    document, token = await _document(session, whose, month, limit)
    if session.options.json:
        session.output.json_value(document)
        return
    for name in ("opening", "closing"):
        balances = document.get(name, {})
        shown = ", ".join(map(_amount_text, balances.get("balances", ()))) or "nothing"
        note(f"{name} {balances.get('day', '') or 'before anything was booked'}: {shown}")
    session.output.table(
        ("kind", "lines", "role", "amount_kale"),
        [
            (total["kind"], total["lines"], one["role"], format_kale(int(one["amount"])))
            for total in document.get("totals", ())
            for one in total["amounts"]
        ],
    )
    session.output.table(LINE_COLUMNS, _rows(document.get("lines", ())))
    if token:
        note(f"the first {len(document['lines'])} lines only; --limit 0 shows all")


@app.command
async def save(
    farmer: str = "",
    /,
    *,
    pooler: str = "",
    miner: str = "",
    month: str,
    out: Path,
    form: Form = "json",
    session: Run,
) -> None:
    """Save a statement of a month in a new file that only you can read.

    Whoever has its salt can tell the owner's leaf in another one's proof. Its path tells in plain
    numbers what one other owner has, without saying who.

    Parameters
    ----------
    farmer
        Id of the farmer.
    pooler
        Id of the pooler, in place of the farmer's.
    miner
        Address at which the pooler's miner is paid, beside --pooler: the miner's statement.
    month
        The month (UTC), as 2026-01, or the day, as 2026-01-31; the running month's ends with
        yesterday.
    out
        The file.
    form
        json: what `statement verify` checks. csv: all lines with what the accounts have afterwards.
        tax: income, what left and came, and what was lost, in KALE with decimals.
    """
    document, _ = await _document(session, _named(farmer, pooler, miner), month, 0)
    text = written(document)
    if form != "json":
        text = {"csv": lines_csv, "tax": tax_csv}[form](read_file(text))
    _write(out, text)
    note(f"saved {out}: {len(document['lines'])} lines")


@app.command
async def roots(*, limit: Count = 20, session: Run) -> None:
    """List the roots of days, newest first; --json --limit 0 gives what `verify --roots` takes.

    Parameters
    ----------
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> statement_pb2.ListRootsResponse:
        request = statement_pb2.ListRootsRequest(page_size=size, page_token=token)
        return await session.ask(session.statements.ListRoots, request)

    found = await session.pages(page, "roots", limit)
    if session.options.json:
        session.output.json_of(found)
        return
    session.output.table(ROOT_COLUMNS, map(_root_row, found.roots))
    if found.next_page_token:
        note(f"the newest {len(found.roots)} only; --limit 0 shows all")


@app.command
async def proof(
    *, day: str, farmer: str = "", pooler: str = "", miner: str = "", session: Run
) -> None:
    """Show what an owner had at the end of a day, and the way from its leaf to the day's root.

    Parameters
    ----------
    day
        The day (UTC), as 2026-01-31.
    farmer
        Id of the farmer; with neither a farmer nor a pooler, the operator's own.
    pooler
        Id of the pooler.
    miner
        Address at which the pooler's miner is paid, beside --pooler: the miner's own.
    """
    request = statement_pb2.GetProofRequest(day=day, **_named(farmer, pooler, miner))
    reply = await session.ask(session.statements.GetProof, request)
    session.output.message(reply)


@app.command
async def close(*, session: Run) -> None:
    """Close the running day now: its tree is made, and its root published soon."""
    reply = await session.ask(
        session.statements.CloseDay, statement_pb2.CloseDayRequest(), timeout=BATCH_TIMEOUT
    )
    session.output.message(reply)


@app.command
def verify(
    file: Path, /, *, rpc: str = "", roots: Path | None = None, asset: str = "", output: Shown
) -> int:
    """Check a saved statement without the pool; exit status 1 when anything is wrong.

    Sums, tree and roots are checked offline. With a Stellar RPC, the newest root is looked up in
    the pool's data entry, and the transaction of each line that the node still remembers.

    Parameters
    ----------
    file
        What `statement save`, or the page of the statement, has given.
    rpc
        URL of any Stellar RPC.
    roots
        Roots since the statement was saved (`statement roots --json --limit 0`), when the chain has
        a newer one than the file.
    asset
        KALE's asset (CODE:ISSUER) on a network of your own; known for mainnet and testnet.
    """
    verdict = check(_text(file))
    compared = None
    if verdict.file is not None and rpc and not verdict.findings:
        further = [] if roots is None else _read_roots(_text(roots))
        compared = asyncio.run(_compare(verdict.file, rpc, further, asset))
    findings = [*verdict.findings, *([] if compared is None else compared.findings)]
    _tell(output, verdict, compared, findings)
    return 1 if findings else 0


def _named(farmer: str, pooler: str, miner: str) -> dict[str, str]:
    """Return the fields of a request that name whose it is."""
    return {"farmer_id": farmer, "pooler_id": pooler, "miner_address": miner}


async def _document(
    session: Session, whose: Mapping[str, str], month: str, limit: int
) -> tuple[dict[str, Any], str]:
    """Return a statement with as many lines (0: all), and the token of the next page."""
    pages, token, lines = list[dict[str, Any]](), "", 0
    async with session.progress.during("reading the statement"):
        while True:
            request = statement_pb2.GetStatementRequest(
                **whose,
                month=month,
                page_size=min(limit - lines, PAGE) if limit else PAGE,
                page_token=token,
            )
            reply = await session.ask(session.statements.GetStatement, request)
            pages.append(to_dict(reply.statement))
            lines, token = lines + len(reply.statement.lines), reply.next_page_token
            if not token or (limit and lines >= limit):
                return joined(pages), token


def _amount_text(one: Mapping[str, str]) -> str:
    return f"{format_kale(int(one['amount']))} {one['role'].removeprefix('farmer:')}"


def _rows(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            *(line["happenedAt"], line["kind"], str(line.get("blockIndex", ""))),
            *(str(line["ledger"] or ""), one["role"], format_kale(int(one["amount"]))),
            line["transactionHash"],
        )
        for line in lines
        for one in line["amounts"]
    ]


def _root_row(one: statement_pb2.PublishedRoot) -> tuple[str, ...]:
    root = one.root
    return (
        *(root.day, str(root.leaves), str(root.refused), format_kale(int(root.total or 0))),
        *(root.record, str(one.ledger or "")),
    )


def _write(path: Path, text: str) -> None:
    try:
        with whole_private_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise CommandLineError(f"--out: {error.strerror}: {path}") from error


def _text(path: Path) -> str:
    """Return a file's text as it is: to read it as a text would make other line ends of some."""
    try:
        return path.read_bytes().decode()
    except UnicodeError:
        raise CommandLineError(f"{path} is no text") from None
    except OSError as error:
        raise CommandLineError(f"{error.strerror}: {path}") from error


def _read_roots(text: str) -> list[Root]:
    """Return the roots of what `statement roots --json` gives."""
    try:
        return [read_root(item["root"]) for item in json.loads(text)["roots"]]
    except (ShapeError, ValueError, KeyError, TypeError) as error:
        raise CommandLineError(f"--roots: holds no roots: {error}") from None


async def _compare(file: File, url: str, further: Sequence[Root], asset: str) -> Comparison:
    account = file.statement.roots[-1].account
    async with open_node(url) as node:
        network = await node.network(asset)
        entry = await node.entry(account)
        seen = await node.transactions(
            wanted(file, oldest=network.oldest),
            account=file.statement.address,
            token=network.token,
        )
        # What it dropped while it was asked for hundreds of transactions is no finding.
        oldest = max(network.oldest, await node.oldest())
    return compare(file, further=further, entry=entry, seen=seen, oldest=oldest)


def _tell(
    output: Output, verdict: Verdict, compared: Comparison | None, findings: Sequence[Finding]
) -> None:
    counts = {
        standing: 0 if compared is None else list(compared.standings).count(standing)
        for standing in Standing
    }
    if output.json:
        output.json_value(
            {
                "isSound": not findings,
                "findings": [{"where": one.where, "what": one.what} for one in findings],
                "lines": 0 if verdict.file is None else len(verdict.file.lines),
                "root": None if compared is None else compared.root,
                "transactions": None
                if compared is None
                else {standing.name.lower(): counts[standing] for standing in Standing},
            }
        )
        return
    output.table(("what", "result"), _summary(verdict, compared, counts))
    if findings:
        output.table(("where", "what"), [(one.where, one.what) for one in findings])


def _summary(
    verdict: Verdict, compared: Comparison | None, counts: Mapping[Standing, int]
) -> list[tuple[str, str]]:
    file = verdict.file
    rows = [("file", "sound: sums, tree and roots" if not verdict.findings else "wrong")]
    if file is not None:
        one = file.statement
        account = one.roots[-1].account if one.roots else ""
        rows = [
            (one.owner.kind.value, f"{one.owner.id}, {one.address or 'without an account'}"),
            ("month", f"{one.month}, {len(file.lines)} lines"),
            ("the pool's account", account),
            *rows,
        ]
    if compared is None:
        return [
            *rows,
            ("chain", "not asked: --rpc URL does" if not verdict.findings else "not asked"),
        ]
    return [
        *rows,
        ("root on the chain", compared.root),
        *((f"lines: {standing.value}", str(count)) for standing, count in counts.items() if count),
    ]
