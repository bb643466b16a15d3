"""A trial of what suspension, leaving and pauses allow: each method that acts, in each standing."""

from collections.abc import Mapping

import asyncpg
import grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import custody_pb2, custody_pb2_grpc

from devstack.stack import Stack
from libs.common.grpc.access import Owned
from libs.common.grpc.identity import CallerKind
from libs.common.grpc.standing import Allows, Standing
from trials.security.access import Owner, attempt, channels, make_owner, request_of, rpcs

#: The reasons of a refusal for a standing.
REASONS = frozenset({"POOLER_SUSPENDED", "FARMER_SUSPENDED", "FARMER_DEPARTED", "SIGNING_PAUSED"})
#: Cells of which nobody is let in, or operators alone.
_CLOSED_TO_POOLERS = frozenset({Allows.OPERATORS, Allows.NOTHING})


async def excesses(stack: Stack) -> list[str]:
    """Return where a caller may do more, or less, than the standing of its subject allows."""
    found = await _beyond_own_limits(stack)
    for standing in Standing:
        owner = await make_owner(stack)
        await _put(stack, owner, standing)
        callers = {
            "pooler": stack.transport(CallerKind.POOLER, owner.pooler_id),
            "operator": stack.operator(),
        }
        for caller, transport in callers.items():
            async with channels(stack, transport) as opened:
                found += await _differences(opened, owner, standing, caller)
    return found


async def _differences(
    opened: Mapping[str, grpc.aio.Channel], owner: Owner, standing: Standing, caller: str
) -> list[str]:
    found = []
    for rpc in rpcs():
        # What a farmer has signed itself has no owner whose standing counts.
        if not (rpc.access.limits and rpc.access.owned):
            continue
        allows = rpc.access.limits[standing]
        closed = _CLOSED_TO_POOLERS if caller == "pooler" else {Allows.NOTHING}
        field, kind = next(iter(rpc.access.owned.items()))
        request = request_of(rpc, field, owner.ids[kind])
        error = await attempt(opened[rpc.process], rpc, request)
        reason = "" if error is None else error.reason
        if (reason in REASONS) is not (allows in closed):
            found.append(f"{caller} at {rpc.path}, {standing.value}: {reason or 'OK'}")
    return found


async def _beyond_own_limits(stack: Stack) -> list[str]:
    """Return where a pooler sets what operators alone may set, or an operator does not."""
    owner = await make_owner(stack)
    rpc = next(rpc for rpc in rpcs() if rpc.method.name == "UpdatePooler")
    request = {**request_of(rpc, "pooler_id", owner.ids[Owned.POOLER]), "maxFarmers": 1000}
    found = []
    own = stack.transport(CallerKind.POOLER, owner.pooler_id)
    for transport, expected in ((own, "OPERATORS_ONLY"), (stack.operator(), "")):
        async with channels(stack, transport) as opened:
            error = await attempt(opened[rpc.process], rpc, request)
        reason = "" if error is None else error.reason
        if reason != expected:
            found.append(f"max_farmers: {reason or 'OK'} where {expected or 'OK'} was due")
    return found


async def _put(stack: Stack, owner: Owner, standing: Standing) -> None:
    """Put a pooler or its farmer into a standing, by the RPC that does it where there is one."""
    farmer_id = owner.ids[Owned.FARMER]
    async with channels(stack, stack.operator()) as opened:
        registry = registry_pb2_grpc.RegistryServiceStub(opened["registry"])
        match standing:
            case Standing.POOLER_SUSPENDED:
                suspend = registry_pb2.SuspendPoolerRequest(pooler_id=owner.pooler_id)
                await registry.SuspendPooler(suspend)
            case Standing.FARMER_SUSPENDED:
                await registry.SuspendFarmer(registry_pb2.SuspendFarmerRequest(farmer_id=farmer_id))
            case Standing.SIGNING_PAUSED:
                custody = custody_pb2_grpc.CustodyServiceStub(opened["wallet"])
                reach = custody_pb2.PauseReach(farmer_id=farmer_id)
                await custody.PauseSigning(
                    custody_pb2.PauseSigningRequest(reach=reach, reason="a trial")
                )
            case Standing.FARMER_LEAVING | Standing.FARMER_DEPARTED:
                if standing is Standing.FARMER_DEPARTED:
                    await _write_status(stack, farmer_id, "closing")
                await _write_status(stack, farmer_id, standing.value.removeprefix("farmer "))


async def _write_status(stack: Stack, farmer_id: str, status: str) -> None:
    admin = await asyncpg.connect(stack.admin_dsn)
    try:
        await admin.execute(
            "UPDATE registry.farmers SET status = $2::registry.farmer_status WHERE id = $1",
            farmer_id,
            status,
        )
    finally:
        await admin.close()
