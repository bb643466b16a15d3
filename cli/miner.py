"""kalepool miner: what miners were credited of the blocks that they mined for a pooler."""

import cyclopts
from kalepool.harvest.v1 import miner_pb2

from cli.arguments import Count, Run
from cli.show import note
from libs.kale.amounts import format_kale

app = cyclopts.App(name="miner", help="Show what miners were credited.")
COLUMNS = ("block_index", "points", "block_points", "pot", "amount", "told_at")


@app.command
async def credits(pooler_id: str, address: str, /, *, limit: Count = 20, session: Run) -> None:  # noqa: A001  (the command's name)
    """Show a miner's parts of blocks, newest first, and what of them is not paid yet.

    Parameters
    ----------
    pooler_id
        Id of the pooler that it mined for.
    address
        Where it is paid (G... or M...).
    limit
        How many blocks at most; 0 means all.
    """

    async def page(size: int, token: str) -> miner_pb2.GetMinerCreditsResponse:
        request = miner_pb2.GetMinerCreditsRequest(
            pooler_id=pooler_id, address=address, page_size=size, page_token=token
        )
        return await session.ask(session.miners.GetMinerCredits, request)

    found = await session.pages(page, "credits", limit)
    if session.options.json:
        session.output.json_of(found)
        return
    session.output.rows(found, "credits", COLUMNS)
    note(f"not paid yet: {format_kale(found.unpaid)} KALE")
    if found.next_page_token:
        note(f"the newest {len(found.credits)} only; --limit 0 shows all")
