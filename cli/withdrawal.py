"""kalepool withdrawal: sends farmers' money to their own outside addresses."""

from decimal import Decimal, InvalidOperation
from typing import Literal

import cyclopts
from kalepool.common.v1 import common_pb2
from kalepool.wallet.v1 import wallet_pb2, withdrawal_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import BATCH_TIMEOUT, fresh
from libs.common.errors import FailedPreconditionError

app = cyclopts.App(name="withdrawal", help="Send farmers' money to their own outside addresses.")
Asset = Literal["kale", "xlm"]
_COLUMNS = (
    "withdrawal_id",
    "farmer_id",
    "amount",
    "operation.state",
    "operation.reason",
    "destination",
)
#: 1 KALE, or 1 XLM.
_STROOPS = 10_000_000


@app.command
async def send(
    farmer_id: str,
    /,
    *,
    amount: str,
    asset: Asset = "kale",
    to: str = "",
    request_id: str = "",
    session: Run,
) -> None:
    """Send an amount to the farmer's payout address and wait until the withdrawal is settled.

    Exit status 1 when it failed.

    Parameters
    ----------
    amount
        In KALE or XLM, at most seven decimals.
    asset
        What to send.
    to
        The payout address that you expect (G...): the withdrawal is refused when another counts.
    request_id
        Makes a repeat give the same withdrawal.
    """
    request = withdrawal_pb2.WithdrawRequest(
        request_id=fresh(request_id),
        farmer_id=farmer_id,
        asset=withdrawal_pb2.WithdrawalAsset.Value(f"WITHDRAWAL_ASSET_{asset.upper()}"),
        amount=_stroops(amount),
        destination=to,
    )
    reply = await session.ask(session.withdrawals.Withdraw, request, timeout=BATCH_TIMEOUT)
    made = reply.withdrawal
    failed = made.operation.state == wallet_pb2.OPERATION_STATE_FAILED
    if session.options.json or not failed:
        session.output.message(made)
    if failed:
        reason = common_pb2.FailureReason.Name(made.operation.reason)
        why = made.operation.error_message or "nothing has left"
        raise FailedPreconditionError(
            f"{why} (kalepool withdrawal show {made.withdrawal_id})",
            reason=reason.removeprefix("FAILURE_REASON_"),
        )


@app.command
async def show(withdrawal_id: str, /, *, session: Run) -> None:
    """Show one withdrawal."""
    request = withdrawal_pb2.GetWithdrawalRequest(withdrawal_id=withdrawal_id)
    session.output.message(
        (await session.ask(session.withdrawals.GetWithdrawal, request)).withdrawal
    )


@app.command(name="list")
async def list_withdrawals(*, farmer: str = "", limit: Count = 100, session: Run) -> None:
    """List withdrawals, newest first.

    Parameters
    ----------
    farmer
        Only those of this farmer.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> withdrawal_pb2.ListWithdrawalsResponse:
        request = withdrawal_pb2.ListWithdrawalsRequest(
            farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.withdrawals.ListWithdrawals, request)

    session.output.rows(await session.pages(page, "withdrawals", limit), "withdrawals", _COLUMNS)


@app.command
async def address(farmer_id: str, /, *, session: Run) -> None:
    """Show where a farmer's withdrawals go, and where they will go after a change."""
    request = withdrawal_pb2.GetPayoutAddressRequest(farmer_id=farmer_id)
    reply = await session.ask(session.withdrawals.GetPayoutAddress, request)
    session.output.message(reply)


def _stroops(text: str) -> int:
    """Parse an amount in KALE or XLM into stroops; exact."""
    try:
        stroops = Decimal(text) * _STROOPS
        whole = int(stroops)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise CommandLineError("--amount: must be a number") from error
    if stroops != whole or whole <= 0:
        raise CommandLineError("--amount: must be above 0, with at most seven decimals")
    if whole >= 2**63:
        raise CommandLineError(f"--amount: must be at most {Decimal(2**63 - 1) / _STROOPS:,}")
    return whole
