"""kalepool reconcile: compares what is recorded with what is on the chain."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.wallet.v1 import reconcile_pb2

from cli.arguments import Count, Run
from cli.session import BATCH_TIMEOUT

app = cyclopts.App(name="reconcile", help="Compare records with the chain.")
_COLUMNS = ("kind", "farmer_id", "block_index", "recorded", "on_chain", "found_at", "settled")


@app.command
async def run(*, session: Run) -> None:
    """Compare the last 12 blocks and every balance now."""
    request = reconcile_pb2.ReconcileRequest()
    reply = await session.ask(session.reconciliation.Reconcile, request, timeout=BATCH_TIMEOUT)
    session.output.message(reply)


@app.command(name="list")
async def list_differences(
    *, settled: Annotated[bool, Parameter(negative="")] = False, limit: Count = 100, session: Run
) -> int:
    """List differences, newest first; exit status 1 when some are open.

    Parameters
    ----------
    settled
        Also those that are settled.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> reconcile_pb2.ListDifferencesResponse:
        request = reconcile_pb2.ListDifferencesRequest(
            include_settled=settled, page_size=size, page_token=token
        )
        return await session.ask(session.reconciliation.ListDifferences, request)

    found = await session.pages(page, "differences", limit)
    session.output.rows(found, "differences", _COLUMNS)
    if settled:  # open ones may stand below what is shown
        request = reconcile_pb2.ListDifferencesRequest(page_size=1)
        found = await session.ask(session.reconciliation.ListDifferences, request)
    return 1 if found.differences else 0
