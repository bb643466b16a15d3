"""kalepool engine: the submission engine, its channel accounts and its multicall."""

from collections.abc import Sequence
from typing import Annotated

import cyclopts
from cyclopts import Parameter, validators
from kalepool.wallet.v1 import engine_pb2

from cli.arguments import Run
from cli.session import BATCH_TIMEOUT, Session
from cli.show import Output, cell, note

app = cyclopts.App(name="engine", help="Show the submission engine; deploy its multicall.")
ENDPOINT_COLUMNS = (
    "stellar node",
    "state",
    "since",
    "ledger",
    "latency ms",
    "contradictions",
    "reason",
)
ACCOUNT_COLUMNS = ("accounts", "made", "ready", "busy", "low", "stopped", "xlm")
#: 1 XLM.
_STROOPS_PER_XLM = 10_000_000
#: Hours since a wallet was made.
IdleHours = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100_000))]
#: XLM that an upload or a creation may cost.
MaxFee = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))]


@app.command(name="status")
async def status(*, session: Run) -> None:
    """Show queue, treasury, payers, channels, rent, what the network asks for, and the nodes."""
    request = engine_pb2.GetEngineStatusRequest()
    reply = await session.ask(session.engine.GetEngineStatus, request)
    if session.options.json:
        session.output.json_of(reply)
        return
    show_endpoints(session, reply.endpoints)
    show_accounts(session.output, reply)
    session.output.rows(reply.rent, "entries", ("name", "ledgers_left", "due_ledger"))
    for shown in ("endpoints", "payers"):
        reply.ClearField(shown)
    for count in ("made", "ready", "busy", "low", "xlm_stroops"):
        reply.channels.ClearField(count)
    session.output.message(reply)
    for warning in reply.warnings:
        note(f"look at this: {warning}")


def show_accounts(output: Output, status: engine_pb2.GetEngineStatusResponse) -> None:
    """Show a line for the channel accounts and one for the payer accounts."""
    channels, payers = status.channels, status.payers
    rows = [
        ("channels", *_counts(channels), str(channels.low), "", cell(channels, "xlm_stroops")),
        ("payers", *_counts(payers), "", str(payers.stopped), ""),
    ]
    output.table(ACCOUNT_COLUMNS, rows)


def _counts(accounts: engine_pb2.ChannelAccounts | engine_pb2.PayerAccounts) -> tuple[str, ...]:
    return (str(accounts.made), str(accounts.ready), str(accounts.busy))


def show_endpoints(session: Session, endpoints: Sequence[engine_pb2.StellarEndpoint]) -> None:
    """Show a line for each Stellar node."""
    rows = [
        (
            item.host,
            item.state,
            cell(item, "since"),
            str(item.ledger),
            str(item.latency_ms),
            str(item.contradictions),
            item.reason,
        )
        for item in endpoints
    ]
    session.output.table(ENDPOINT_COLUMNS, rows)


@app.command(name="deploy-multicall")
async def deploy_multicall(*, max_fee: MaxFee = 20, session: Run) -> None:
    """Deploy the multicall contract from the treasury, unless it is there already.

    Then set MULTICALL_CONTRACT_ID to the answer and restart wallet, which lets the contract live
    longer when less than 30 days are left.

    Parameters
    ----------
    max_fee
        Whole XLM that each of its transactions may cost. The upload pays rent: about 9 XLM, up
        to ten times that on a network with a large state.
    """
    request = engine_pb2.DeployMulticallRequest(max_fee_stroops=max_fee * _STROOPS_PER_XLM)
    reply = await session.ask(session.engine.DeployMulticall, request, timeout=BATCH_TIMEOUT)
    session.output.message(reply)


@app.command(name="reclaim")
async def reclaim(
    *,
    pooler: str,
    farmer: tuple[str, ...] = (),
    idle_hours: IdleHours = 24,
    dry_run: bool = False,
    session: Run,
) -> None:
    """Take back the reserves of farmers who never planted and whose accounts hold nothing.

    Up to 19 farmers at a time: repeat it until none is shown as reclaimed. Such a farmer cannot
    plant again.

    Parameters
    ----------
    pooler
        Whose farmers.
    farmer
        Only these; may be given several times.
    idle_hours
        Hours since their wallets were made, at least.
    dry_run
        Only show what would be done.
    """
    request = engine_pb2.ReclaimReservesRequest(
        pooler_id=pooler, farmer_ids=farmer, idle_hours=idle_hours, dry_run=dry_run
    )
    reply = await session.ask(session.engine.ReclaimReserves, request, timeout=BATCH_TIMEOUT)
    session.output.rows(reply, "farmers", ("farmer_id", "address", "outcome"))
