"""Check that every service still works: SERVING by the health protocol, and a real read."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import grpc
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc
from kalepool.wallet.v1 import wallet_pb2, wallet_pb2_grpc
from kalepool.work.v1 import work_pb2, work_pb2_grpc

from devstack.stack import Stack
from libs.common.grpc.client import open_channel
from libs.common.grpc.health import is_serving
from libs.common.names import SERVICES

#: Seconds in which a service that was busy has to answer again.
PATIENCE = 15.0
#: Seconds of one read, and between two tries.
_TIMEOUT, _PAUSE = 2.0, 0.2
#: For each service: its stub, a method that lists a pooler's things, and its request.
_READS: Mapping[str, tuple[Any, str, Any]] = {
    "registry": (
        registry_pb2_grpc.RegistryServiceStub,
        "ListFarmers",
        registry_pb2.ListFarmersRequest,
    ),
    "wallet": (wallet_pb2_grpc.WalletServiceStub, "ListWallets", wallet_pb2.ListWalletsRequest),
    "plant": (plant_pb2_grpc.PlantServiceStub, "ListPlantings", plant_pb2.ListPlantingsRequest),
    "work": (work_pb2_grpc.WorkServiceStub, "ListWorks", work_pb2.ListWorksRequest),
    "harvest": (
        harvest_pb2_grpc.HarvestServiceStub,
        "ListHarvests",
        harvest_pb2.ListHarvestsRequest,
    ),
}


async def fallen(stack: Stack, pooler_id: str, *, patience: float = PATIENCE) -> list[str]:
    """Return the faults of the services that do not serve, or do not read from the database."""
    found = await asyncio.gather(*(_fault(stack, name, pooler_id, patience) for name in SERVICES))
    return [fault for fault in (*found, await _gateways_fault(stack)) if fault]


async def _gateways_fault(stack: Stack) -> str:
    """Return the gateway's fault in words; empty when it answers, or does not run."""
    if not stack.config.gateway:
        return ""
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(f"{stack.gateway_url}/v1/blocks:current") as response,
        ):
            told = await response.text()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        return f"the gateway does not answer: {error!r}"
    return "" if response.status == 200 else f"the gateway answers {response.status}: {told}"


async def _fault(stack: Stack, name: str, pooler_id: str, patience: float) -> str:
    """Return a service's fault in words; empty when the fault is gone within `patience` seconds."""
    deadline = asyncio.get_running_loop().time() + patience
    async with open_channel(stack.target(name), stack.operator(), name=name) as channel:
        while fault := await _look(channel, name, pooler_id):
            if asyncio.get_running_loop().time() > deadline:
                return fault
            await asyncio.sleep(_PAUSE)
    return ""


async def _look(channel: grpc.aio.Channel, name: str, pooler_id: str) -> str:
    if not await is_serving(channel, timeout=_TIMEOUT):
        return f"{name} is not SERVING"
    try:
        await _read(channel, name, pooler_id)
    except grpc.aio.AioRpcError as error:
        return f"{name} does not answer a read: {error.code().name} {error.details()}"
    return ""


async def _read(channel: grpc.aio.Channel, name: str, pooler_id: str) -> None:
    """Make one read that goes to the database; raise AioRpcError when it fails."""
    stub, method, request_class = _READS[name]
    ask = getattr(stub(channel), method)
    await ask(request_class(pooler_id=pooler_id), timeout=_TIMEOUT)
