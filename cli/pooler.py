"""kalepool pooler: the poolers, who run the mining machines."""

import cyclopts
from kalepool.registry.v1 import registry_pb2

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
async def heartbeat(pooler_id: str, /, *, session: Run) -> None:
    """Say that the pooler is alive."""
    request = registry_pb2.HeartbeatRequest(pooler_id=pooler_id)
    reply = await session.ask(session.registry.Heartbeat, request)
    session.output.message(reply)
