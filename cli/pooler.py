"""kalepool pooler: the poolers, who run the mining machines."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.registry.v1 import registry_pb2
from kalepool.wallet.v1 import agreement_pb2

from cli.agreement import stroops
from cli.arguments import Count, Run
from cli.session import fresh

app = cyclopts.App(name="pooler", help="Register and manage poolers.")
COLUMNS = ("pooler_id", "name", "status", "current_farmers", "max_farmers", "last_seen")


@app.command
async def register(
    *,
    name: str,
    public_key: str,
    api_endpoint: str = "",
    max_farmers: Count = 0,
    request_id: str = "",
    session: Run,
) -> None:
    """Register a pooler.

    Parameters
    ----------
    name
        What people call it.
    public_key
        Its own Stellar account (G...).
    api_endpoint
        Where its software is reached.
    max_farmers
        Farmers that it takes at most; 0 means as many as the pool allows.
    request_id
        Makes a repeat give the first answer.
    """
    request = registry_pb2.RegisterPoolerRequest(
        request_id=fresh(request_id),
        name=name,
        public_key=public_key,
        api_endpoint=api_endpoint,
        max_farmers=max_farmers,
    )
    reply = await session.ask(session.registry.RegisterPooler, request)
    session.output.message(reply.pooler)


@app.command
async def show(pooler_id: str, /, *, session: Run) -> None:
    """Show one pooler."""
    request = registry_pb2.GetPoolerRequest(pooler_id=pooler_id)
    session.output.message((await session.ask(session.registry.GetPooler, request)).pooler)


@app.command(name="list")
async def list_poolers(*, limit: Count = 100, session: Run) -> None:
    """List poolers in the order of their registration.

    Parameters
    ----------
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> registry_pb2.ListPoolersResponse:
        request = registry_pb2.ListPoolersRequest(page_size=size, page_token=token)
        return await session.ask(session.registry.ListPoolers, request)

    session.output.rows(await session.pages(page, "poolers", limit), "poolers", COLUMNS)


@app.command
async def update(
    pooler_id: str,
    /,
    *,
    name: str | None = None,
    api_endpoint: str | None = None,
    max_farmers: Count | None = None,
    request_id: str = "",
    session: Run,
) -> None:
    """Change the fields that are given; the rest stays.

    Parameters
    ----------
    name
        What people call it.
    api_endpoint
        Where its software is reached.
    max_farmers
        Farmers that it takes at most, not fewer than it has.
    request_id
        Makes a repeat give the first answer.
    """
    request = registry_pb2.UpdatePoolerRequest(
        request_id=fresh(request_id),
        pooler_id=pooler_id,
        name=name,
        api_endpoint=api_endpoint,
        max_farmers=max_farmers,
    )
    session.output.message((await session.ask(session.registry.UpdatePooler, request)).pooler)


@app.command
async def suspend(pooler_id: str, /, *, session: Run) -> None:
    """Suspend a pooler: its farmers are not planted and it gets no new ones."""
    request = registry_pb2.SuspendPoolerRequest(pooler_id=pooler_id)
    session.output.message((await session.ask(session.registry.SuspendPooler, request)).pooler)


@app.command
async def resume(pooler_id: str, /, *, session: Run) -> None:
    """Take a pooler's suspension back."""
    request = registry_pb2.ResumePoolerRequest(pooler_id=pooler_id)
    session.output.message((await session.ask(session.registry.ResumePooler, request)).pooler)


@app.command
async def leave(pooler_id: str, /, *, session: Run) -> None:
    """Have a pooler leave with all of its farmers: they are paid, and their accounts are closed.

    kalepool pooler show tells how far that is; kalepool pooler stay calls it off.
    """
    request = registry_pb2.LeavePoolerRequest(pooler_id=pooler_id)
    session.output.message((await session.ask(session.registry.LeavePooler, request)).pooler)


@app.command
async def stay(pooler_id: str, /, *, session: Run) -> None:
    """Call a pooler's leaving off, for farmers that leave because of it, too."""
    request = registry_pb2.StayPoolerRequest(pooler_id=pooler_id)
    session.output.message((await session.ask(session.registry.StayPooler, request)).pooler)


@app.command
async def heartbeat(pooler_id: str, /, *, session: Run) -> None:
    """Say that the pooler is alive."""
    request = registry_pb2.HeartbeatRequest(pooler_id=pooler_id)
    reply = await session.ask(session.registry.Heartbeat, request)
    session.output.message(reply)


@app.command
async def mark(
    pooler_id: str,
    /,
    *,
    farms_for_itself: Annotated[bool, Parameter(negative="--farms-for-others")],
    session: Run,
) -> None:
    """Say whether a pooler farms for itself: then it sets its farmers' payout addresses.

    Parameters
    ----------
    farms_for_itself
        Its farmers without an owner account are its own; --farms-for-others: somebody else's.
    """
    request = agreement_pb2.MarkPoolerRequest(
        pooler_id=pooler_id, farms_for_itself=farms_for_itself
    )
    reply = await session.ask(session.agreements.MarkPooler, request)
    session.output.message(reply)


@app.command
async def terms(pooler_id: str, /, *, version: Count = 0, session: Run) -> None:
    """Show the terms that a pooler offers to farmers who join, and the operator's fee.

    Parameters
    ----------
    version
        An older version; 0 means the newest.
    """
    request = registry_pb2.GetTermsRequest(pooler_id=pooler_id, version=version)
    reply = await session.ask(session.registry.GetTerms, request)
    session.output.message(reply)


@app.command
async def publish_terms(
    pooler_id: str,
    /,
    *,
    pooler_fee: str,
    miners_part: str = "",
    stake_percentage: str = "",
    payout_threshold: str = "0",
    payout_interval: Count = 0,
    harvest_blocks: Count = 1,
    text: str = "",
    request_id: str = "",
    session: Run,
) -> None:
    """Publish the terms that farmers join under from now on; farmers that are there keep theirs.

    Parameters
    ----------
    pooler_fee
        The pooler's part of each reward, a decimal from 0 to 1.
    miners_part
        The miners' part of the pooler's; 0 when it is not given.
    stake_percentage
        What a plant stakes of a farmer's balance at most; all when it is not given.
    payout_threshold
        KALE from which on a farmer is paid out.
    payout_interval
        Seconds after which it is paid out at the latest; 0: by the threshold alone.
    harvest_blocks
        Blocks that are harvested together, 1 to 20.
    text
        What the pooler says besides.
    request_id
        Makes a repeat give the first answer.
    """
    request = registry_pb2.PublishTermsRequest(
        request_id=fresh(request_id),
        pooler_id=pooler_id,
        stake_percentage=stake_percentage,
        pooler_fee=pooler_fee,
        miners_part=miners_part,
        payout_threshold=stroops("payout_threshold", payout_threshold),
        payout_interval_seconds=payout_interval,
        harvest_blocks=harvest_blocks,
        text=text,
    )
    reply = await session.ask(session.registry.PublishTerms, request)
    session.output.message(reply.terms)
