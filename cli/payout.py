"""kalepool payout: who is paid, what waits and why, and the switch."""

from typing import Literal

import cyclopts
from kalepool.harvest.v1 import payout_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import BATCH_TIMEOUT, fresh
from cli.show import cell, note
from libs.common.errors import FailedPreconditionError
from libs.kale.amounts import format_kale, parse_kale

app = cyclopts.App(name="payout", help="Pay farmers, poolers and miners; show what waits and why.")
_PREVIEW_COLUMNS = ("kind", "payee_id", "amount", "fees_in_account", "cause")
_LEFT_COLUMNS = ("reason", "amounts", "total")
_COLUMNS = (
    "created_at",
    "kind",
    "payee_id",
    "amount",
    "state",
    "reason",
    "address",
    "transaction_hash",
)
_PENDING_COLUMNS = ("kind", "payee_id", "amount", "reason", "since", "expected_at", "refusal")
_SWITCH_COLUMNS = ("switched_at", "is_off", "switched_by", "reason")


@app.command
async def preview(*, pooler: str = "", farmer: str = "", session: Run) -> None:
    """Show what a run would pay now, and what it would leave and why.

    Parameters
    ----------
    pooler
        Only this pooler, its farmers and its miners.
    farmer
        Only this farmer.
    """
    request = payout_pb2.GetPayoutPreviewRequest(pooler_id=pooler, farmer_id=farmer)
    reply = await session.ask(session.payouts.GetPayoutPreview, request)
    if session.options.json:
        session.output.json_of(reply)
        return
    session.output.table(_PREVIEW_COLUMNS, map(_preview_line, reply.due))
    session.output.rows(reply, "left", _LEFT_COLUMNS)
    note(f"a run would make {reply.payments} payments, {format_kale(reply.total)} KALE in total")
    if reply.needs_approval:
        note("so much takes a second operator, where the pool asks for one")


@app.command
async def run(
    *,
    max_amount: str,
    pooler: str = "",
    farmer: str = "",
    request_id: str = "",
    session: Run,
) -> int:
    """Pay everybody who is due, and wait until all of it is settled.

    Exit status 1 when a payment failed or was refused.

    Parameters
    ----------
    max_amount
        KALE that the run may pay at most in total: kalepool payout preview tells how much is due.
    pooler
        Only this pooler, its farmers and its miners.
    farmer
        Only this farmer, also when it is suspended.
    request_id
        Makes a repeat give the same run.
    """
    request = payout_pb2.RunPayoutsRequest(
        request_id=fresh(request_id),
        max_amount=_stroops("--max-amount", max_amount),
        pooler_id=pooler,
        farmer_id=farmer,
    )
    reply = await session.ask(session.payouts.RunPayouts, request, timeout=BATCH_TIMEOUT)
    session.output.message(reply.run)
    if reply.run.failed and not session.options.json:
        note(f"kalepool payout list --run {reply.run.run_id} shows what failed and why")
    return 1 if reply.run.failed else 0


@app.command
async def now(farmer_id: str, /, *, amount: str = "", request_id: str = "", session: Run) -> None:
    """Pay one farmer now, to its payout address, and wait until that is settled.

    Exit status 1 when it failed.

    Parameters
    ----------
    amount
        In KALE, at most seven decimals; all that is available without it.
    request_id
        Makes a repeat give the same payout.
    """
    request = payout_pb2.PayNowRequest(
        request_id=fresh(request_id),
        farmer_id=farmer_id,
        amount=_stroops("--amount", amount) if amount else None,
    )
    reply = await session.ask(session.payouts.PayNow, request, timeout=BATCH_TIMEOUT)
    paid = reply.payout
    has_failed = paid.state in {
        payout_pb2.PAYOUT_STATE_FAILED,
        payout_pb2.PAYOUT_STATE_REFUSED,
    }
    if session.options.json or not has_failed:
        session.output.message(paid)
    if has_failed:
        raise FailedPreconditionError(
            paid.message or "nothing has left; it is tried again", reason=paid.reason
        )


@app.command(name="list")
async def list_payouts(
    *, farmer: str = "", pooler: str = "", run: str = "", limit: Count = 100, session: Run
) -> None:
    """List payouts, newest first.

    Parameters
    ----------
    farmer
        Only those of this farmer.
    pooler
        Only those of this pooler, its farmers and its miners.
    run
        Only those of this run.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> payout_pb2.ListPayoutsResponse:
        request = payout_pb2.ListPayoutsRequest(
            farmer_id=farmer, pooler_id=pooler, run_id=run, page_size=size, page_token=token
        )
        return await session.ask(session.payouts.ListPayouts, request)

    session.output.rows(await session.pages(page, "payouts", limit), "payouts", _COLUMNS)


@app.command
async def pending(*, farmer: str = "", pooler: str = "", limit: Count = 100, session: Run) -> None:
    """List every amount that was not paid yet, each with the reason and a time.

    Parameters
    ----------
    farmer
        Only those of this farmer.
    pooler
        Only those of this pooler, its farmers and its miners.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> payout_pb2.ListPendingResponse:
        request = payout_pb2.ListPendingRequest(
            farmer_id=farmer, pooler_id=pooler, page_size=size, page_token=token
        )
        return await session.ask(session.payouts.ListPending, request)

    found = await session.pages(page, "amounts", limit)
    session.output.rows(found, "amounts", _PENDING_COLUMNS)


@app.command
async def switch(
    to: Literal["off", "on"] | None = None, /, *, reason: str = "", session: Run
) -> None:
    """Show whether the pool pays, or switch payouts off or on.

    Parameters
    ----------
    to
        off or on; without it nothing is switched.
    reason
        Why, in words; it is kept.
    """
    if to is None:
        shown = await session.ask(
            session.payouts.GetPayoutSwitch, payout_pb2.GetPayoutSwitchRequest()
        )
        session.output.summary(shown, "switchings", _SWITCH_COLUMNS)
        return
    if not reason:
        raise CommandLineError("--reason: say why")
    request = payout_pb2.SetPayoutSwitchRequest(is_off=to == "off", reason=reason)
    reply = await session.ask(session.payouts.SetPayoutSwitch, request)
    session.output.message(reply.switching)


def _preview_line(one: payout_pb2.PayoutPreview) -> list[str]:
    return [
        *(cell(one, name) for name in ("kind", "payee_id", "amount")),
        f"{format_kale(one.fees)} KALE",
        cell(one, "cause"),
    ]


def _stroops(option: str, text: str) -> int:
    """Parse an amount in KALE into stroops; exact."""
    try:
        stroops = parse_kale(text)
    except ValueError as error:
        raise CommandLineError(f"{option}: {error}") from error
    if not 0 < stroops < 2**63:
        raise CommandLineError(f"{option}: must be above 0")
    return stroops
