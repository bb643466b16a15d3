"""kalepool pooler: the poolers, who run the mining machines."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import agreement_pb2

from cli.agreement import stroops
from cli.arguments import Count, Run
from cli.session import fresh
from libs.kale.amounts import format_kale

app = cyclopts.App(name="pooler", help="Register and manage poolers.")
#: Columns of the public list.
FOUND_COLUMNS = (
    "pooler_id",
    "name",
    "terms.pooler_fee",
    "terms.miners_part",
    "terms.stake_percentage",
    "terms.payout_threshold",
    "terms.payout_interval_seconds",
    "terms.harvest_blocks",
    "room",
    "can_join",
)
FIGURE_COLUMNS = (
    "name",
    "over",
    "blocks",
    "paid, per cent",
    "hashes a second",
    "for a farmer in a block",
)
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
async def find(*, limit: Count = 100, session: Run) -> None:
    """List the poolers that farmers may choose from, with their terms and what they came to.

    Figures are those of about a day, a week and 30 days, counted from events of the pool.

    Parameters
    ----------
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> report_pb2.ListPublicPoolersResponse:
        request = report_pb2.ListPublicPoolersRequest(page_size=size, page_token=token)
        return await session.ask(session.reports.ListPublicPoolers, request)

    found = await session.pages(page, "poolers", limit)
    if session.options.json:
        session.output.json_of(found)
        return
    session.output.rows(found, "poolers", FOUND_COLUMNS)
    rows = [
        (pooler.name, span, *_figures(getattr(pooler, name)))
        for pooler in found.poolers
        for span, name in (("1 day", "day"), ("7 days", "week"), ("30 days", "month"))
    ]
    session.output.table(FIGURE_COLUMNS, rows)


def _figures(figures: report_pb2.PoolerFigures) -> tuple[str, ...]:
    """Return the figures of one window: blocks, part that was paid, hash rate and KALE."""
    success, rate = figures.success, figures.hash_rate
    tried = success.planted + success.not_planted
    has_rate, is_counted = figures.HasField("hash_rate"), tried > 0
    return (
        str(success.blocks),
        f"{100 * success.harvested / tried:.1f}" if is_counted else "",
        f"{rate.rate} ± {rate.error}" if has_rate else "",
        f"{format_kale(figures.rewards_per_farmer_block)} KALE" if is_counted else "",
    )


@app.command
async def update(
    pooler_id: str,
    /,
    *,
    name: str | None = None,
    api_endpoint: str | None = None,
    max_farmers: Count | None = None,
    listed: bool | None = None,
    open_to_join: bool | None = None,
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
    listed
        Be in the public list of poolers, once terms are published; --no-listed: not.
    open_to_join
        Let farmers join by themselves, as far as the operator does; --no-open-to-join: not.
    request_id
        Makes a repeat give the first answer.
    """
    request = registry_pb2.UpdatePoolerRequest(
        request_id=fresh(request_id),
        pooler_id=pooler_id,
        name=name,
        api_endpoint=api_endpoint,
        max_farmers=max_farmers,
        is_listed=listed,
        is_open_to_join=open_to_join,
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
async def join(
    pooler_id: str,
    /,
    *,
    owner_account: str,
    terms_version: Count,
    stake_percentage: str = "",
    request_id: str = "",
    session: Run,
) -> None:
    """Join a pooler with an owner account that has logged in (kalepool login), by its token.

    Read the terms before (kalepool pooler terms): whoever joins agrees to them. The address that
    is paid is signed afterwards (kalepool agreement draft).

    Parameters
    ----------
    owner_account
        The account (G...) that has logged in, and speaks for the farmer from then on.
    terms_version
        Version of the terms that were read.
    stake_percentage
        Part of the balance that is staked, a decimal from 0 to 1; as the terms allow, 0.1 at most,
        when it is not given.
    request_id
        Makes a repeat give the same farmer.
    """
    request = registry_pb2.JoinPoolRequest(
        request_id=fresh(request_id),
        pooler_id=pooler_id,
        owner_account=owner_account,
        terms_version=terms_version,
        stake_percentage=stake_percentage,
    )
    session.output.message((await session.ask(session.registry.JoinPool, request)).farmer)


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
