"""kalepool ledger: what farmers, poolers and the operator have, booked by double entry."""

import cyclopts
from kalepool.harvest.v1 import ledger_pb2

from cli.arguments import Count, Run
from cli.session import BATCH_TIMEOUT
from cli.show import cell, note

app = cyclopts.App(name="ledger", help="Show the pool's ledger, and prove that it adds up.")
ACCOUNT_COLUMNS = ("role", "asset", "amount", "entries")
OVERDRAWN_COLUMNS = ("owner_id", *ACCOUNT_COLUMNS)
UNEXPLAINED_COLUMNS = ("farmer_id", "amount", "since")
DIFFERENCE_COLUMNS = ("kind", "owner_id", "role", "asset", "journal_id", "kept", "expected")
JOURNAL_COLUMNS = ("happened_at", "kind", "block_index", "role", "asset", "amount", "source_key")


@app.command
async def check(*, session: Run) -> int:
    """Read the whole ledger and list what does not add up; exit status 1 when anything does not."""
    request = ledger_pb2.CheckLedgerRequest()
    reply = await session.ask(session.ledger.CheckLedger, request, timeout=BATCH_TIMEOUT)
    if session.options.json:
        session.output.json_of(reply)
    else:
        session.output.summary(reply, "differences", DIFFERENCE_COLUMNS)
        if not reply.differences:
            note(sound(reply))
        if reply.overdrawn:
            note("more was taken than booked: KALE from outside, or an event that is still to come")
            session.output.rows(reply, "overdrawn", OVERDRAWN_COLUMNS)
        if reply.unexplained:
            note("accounts hold other amounts on the chain than the ledger explains")
            session.output.rows(reply, "unexplained", UNEXPLAINED_COLUMNS)
    return 1 if reply.differences else 0


@app.command
async def status(*, session: Run) -> None:
    """Show how far everything is booked, and what the last look by night found."""
    reply = await session.ask(session.ledger.GetLedgerStatus, ledger_pb2.GetLedgerStatusRequest())
    session.output.message(reply)
    if not session.options.json:
        for warning in reply.warnings:
            note(f"look at this: {warning}")


@app.command
async def show(farmer: str, /, *, limit: Count = 20, session: Run) -> None:
    """Show what a farmer's accounts have, and what was booked, newest first.

    Parameters
    ----------
    farmer
        Id of the farmer.
    limit
        How many journals at most; 0 means all.
    """

    async def page(size: int, token: str) -> ledger_pb2.ListJournalsResponse:
        request = ledger_pb2.ListJournalsRequest(farmer_id=farmer, page_size=size, page_token=token)
        return await session.ask(session.ledger.ListJournals, request)

    found = await session.pages(page, "journals", limit)
    if session.options.json:
        session.output.json_of(found)
        return
    session.output.rows(found, "accounts", ACCOUNT_COLUMNS)
    session.output.table(JOURNAL_COLUMNS, map(_line, _entries(found)))
    if found.next_page_token:
        note(f"the newest {len(found.journals)} only; --limit 0 shows all")


def sound(reply: ledger_pb2.CheckLedgerResponse) -> str:
    """Return the sentence that says what adds up."""
    if not reply.journals:
        return "the ledger is empty: nothing was booked yet"
    return (
        f"the ledger adds up: {reply.journals:,} journals with {reply.entries:,} entries come to "
        f"nothing in each asset, and give what {reply.accounts:,} accounts have"
    )


def _entries(
    found: ledger_pb2.ListJournalsResponse,
) -> list[tuple[ledger_pb2.Journal, ledger_pb2.JournalEntry]]:
    return [(journal, entry) for journal in found.journals for entry in journal.entries]


def _line(item: tuple[ledger_pb2.Journal, ledger_pb2.JournalEntry]) -> list[str]:
    """Return the line of one entry."""
    journal, entry = item
    return [
        *(cell(journal, name) for name in ("happened_at", "kind", "block_index")),
        *(cell(entry, name) for name in ("role", "asset", "amount")),
        cell(journal, "source_key"),
    ]
