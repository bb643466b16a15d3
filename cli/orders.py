"""kalepool orders: the rows that wallet acts on, and who wrote them."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.wallet.v1 import order_pb2

from cli.arguments import Run
from cli.errors import CommandLineError
from cli.session import BATCH_TIMEOUT
from cli.show import note

app = cyclopts.App(name="orders", help="Find rows that wallet did not write; sign rows.")
_COLUMNS = ("name", "content")
#: Exit status when there are rows that wallet did not write.
FORGED = 1


@app.command
async def check(*, session: Run) -> int:
    """List rows that wallet did not write; the exit status is 1 when there are any."""
    found = await session.ask(
        session.orders.CheckOrders, order_pb2.CheckOrdersRequest(), timeout=BATCH_TIMEOUT
    )
    session.output.summary(found, "rows", _COLUMNS)
    return FORGED if found.forged else 0


@app.command
async def sign(
    *names: str, everything: Annotated[bool, Parameter(negative="")] = False, session: Run
) -> None:
    """Sign rows that you have looked at; wallet acts on them from now on.

    Parameters
    ----------
    names
        Rows as `check` names them, with what they say: table/key@digest. A row that says another
        thing by now is not signed.
    everything
        All rows that wallet did not write.
    """
    if bool(names) == everything:
        raise CommandLineError("give either names of rows or --everything")
    request = order_pb2.SignOrdersRequest(names=names, everything=everything)
    reply = await session.ask(session.orders.SignOrders, request, timeout=BATCH_TIMEOUT)
    note(f"{reply.signed} rows signed")
    session.output.message(reply)


@app.command(name="replace-key")
async def replace_key(*, session: Run) -> None:
    """Make another key of rows; all rows come under it in the background."""
    reply = await session.ask(session.orders.ReplaceRowKey, order_pb2.ReplaceRowKeyRequest())
    note("it is used in a minute, when every wallet process knows it")
    session.output.message(reply)
