"""kalepool status and info: the pool as a whole."""

import asyncio

from kalepool.common.v1 import common_pb2, common_pb2_grpc
from kalepool.wallet.v1 import engine_pb2

from cli.arguments import Run
from cli.engine import show_endpoints
from cli.session import Session
from cli.show import cell, to_dict
from libs.common.errors import PoolError, UnavailableError

#: Seconds for one service's answer: those that are away must not hold up the rest.
PATIENCE = 5.0
INFO_COLUMNS = (
    "service",
    "version",
    "network",
    "kale contract id",
    "max farmers",
    "calls a minute",
    "uptime s",
)


async def status(*, session: Run) -> int:
    """Show the pool's health as the first service that answers sees it, and the Stellar nodes.

    Exit status 0 when it is healthy, 1 when it is degraded or unhealthy.
    """
    reply = await _first_status(session)
    engine = await _engine(session)
    if session.options.json:
        nodes = to_dict(engine).get("endpoints", []) if engine is not None else None
        session.output.json_value({**to_dict(reply), "stellar_nodes": nodes})
    else:
        if engine is not None:
            show_endpoints(session, engine.endpoints)
        rows = [(name, "yes" if up else "no") for name, up in sorted(reply.services.items())]
        session.output.table(("service", "serves"), rows)
        session.output.message(reply)
    return 0 if reply.status == common_pb2.POOL_HEALTH_HEALTHY else 1


async def info(*, session: Run) -> int:
    """Show every service: version, network, limits, uptime.

    Exit status 1 when one of them does not answer.
    """
    names = list(session.channels)
    replies = await asyncio.gather(*(_info(session, name) for name in names))
    found = dict(zip(names, replies, strict=True))
    if session.options.json:
        session.output.json_value(
            {name: None if reply is None else to_dict(reply) for name, reply in found.items()}
        )
    else:
        rows = [_info_row(name, reply) for name, reply in found.items()]
        session.output.table(INFO_COLUMNS, rows)
    return 0 if all(replies) else 1


async def _first_status(session: Session) -> common_pb2.GetStatusResponse:
    last: PoolError | None = None
    for channel in session.channels.values():
        stub: common_pb2_grpc.InfoServiceAsyncStub = common_pb2_grpc.InfoServiceStub(channel)
        try:
            return await session.ask(
                stub.GetStatus, common_pb2.GetStatusRequest(), timeout=PATIENCE
            )
        except PoolError as error:
            last = error
    raise UnavailableError(f"no service answers; the last one: {last}") from last


async def _engine(session: Session) -> engine_pb2.GetEngineStatusResponse | None:
    """Ask wallet for the engine's status.

    Return None when wallet does not answer or refuses this caller.
    """
    try:
        return await session.ask(
            session.engine.GetEngineStatus, engine_pb2.GetEngineStatusRequest(), timeout=PATIENCE
        )
    except PoolError:
        return None


async def _info(session: Session, name: str) -> common_pb2.GetInfoResponse | None:
    stub: common_pb2_grpc.InfoServiceAsyncStub = common_pb2_grpc.InfoServiceStub(
        session.channels[name]
    )
    try:
        return await session.ask(stub.GetInfo, common_pb2.GetInfoRequest(), timeout=PATIENCE)
    except PoolError:
        return None


def _info_row(name: str, reply: common_pb2.GetInfoResponse | None) -> tuple[str, ...]:
    if reply is None:
        return (name, "away", *[""] * (len(INFO_COLUMNS) - 2))
    return (
        name,
        reply.version,
        reply.network.type,
        reply.network.kale_contract_id,
        cell(reply.limits, "max_farmers"),
        cell(reply.limits, "rate_limit_per_minute"),
        cell(reply, "uptime_seconds"),
    )
