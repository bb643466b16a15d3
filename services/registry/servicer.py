"""registry's gRPC face: check, call, map."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc

from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import encode_token
from services.registry import messages
from services.registry.domain.status import FarmerEvent
from services.registry.usecases import Registry


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Serves kalepool.registry.v1.RegistryService."""

    def __init__(self, registry: Registry, *, max_farmers: int) -> None:
        self._registry = registry
        self._max_farmers = max_farmers

    async def RegisterPooler(
        self,
        request: registry_pb2.RegisterPoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.RegisterPoolerResponse:
        """See registry.proto."""
        new, change = messages.new_pooler(request, self._max_farmers)
        pooler = await self._registry.register_pooler(new, change)
        return registry_pb2.RegisterPoolerResponse(pooler=messages.pooler_message(pooler))

    async def GetPooler(
        self,
        request: registry_pb2.GetPoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.GetPoolerResponse:
        """See registry.proto."""
        pooler = await self._registry.pooler(_pooler_id(request.pooler_id))
        return registry_pb2.GetPoolerResponse(pooler=messages.pooler_message(pooler))

    async def ListPoolers(
        self,
        request: registry_pb2.ListPoolersRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ListPoolersResponse:
        """See registry.proto."""
        checks = FieldChecks()
        size = checks.page_size(request.page_size)
        after = messages.after(checks, request.page_token)
        checks.done()
        poolers = await self._registry.store.list_poolers(after=after, limit=size + 1)
        return registry_pb2.ListPoolersResponse(
            poolers=map(messages.pooler_message, poolers[:size]),
            next_page_token=_next([pooler.pooler_id for pooler in poolers], size),
        )

    async def UpdatePooler(
        self,
        request: registry_pb2.UpdatePoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.UpdatePoolerResponse:
        """See registry.proto."""
        pooler_id, change = messages.pooler_change(request, self._max_farmers)
        pooler = await self._registry.update_pooler(pooler_id, change)
        return registry_pb2.UpdatePoolerResponse(pooler=messages.pooler_message(pooler))

    async def SuspendPooler(
        self,
        request: registry_pb2.SuspendPoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.SuspendPoolerResponse:
        """See registry.proto."""
        pooler_id = _pooler_id(request.pooler_id, request.request_id)
        pooler = await self._registry.set_pooler_active(pooler_id, active=False)
        return registry_pb2.SuspendPoolerResponse(pooler=messages.pooler_message(pooler))

    async def ResumePooler(
        self,
        request: registry_pb2.ResumePoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ResumePoolerResponse:
        """See registry.proto."""
        pooler_id = _pooler_id(request.pooler_id, request.request_id)
        pooler = await self._registry.set_pooler_active(pooler_id, active=True)
        return registry_pb2.ResumePoolerResponse(pooler=messages.pooler_message(pooler))

    async def Heartbeat(
        self,
        request: registry_pb2.HeartbeatRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.HeartbeatResponse:
        """See registry.proto."""
        seen = await self._registry.heartbeat(_pooler_id(request.pooler_id))
        response = registry_pb2.HeartbeatResponse()
        response.last_seen.FromDatetime(seen)
        return response

    async def RegisterFarmer(
        self,
        request: registry_pb2.RegisterFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.RegisterFarmerResponse:
        """See registry.proto."""
        farmer = await self._registry.register_farmer(messages.new_farmer(request))
        return messages.registered_message(farmer)

    async def GetFarmer(
        self,
        request: registry_pb2.GetFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.GetFarmerResponse:
        """See registry.proto."""
        farmer = await self._registry.farmer(_farmer_id(request.farmer_id))
        return registry_pb2.GetFarmerResponse(farmer=messages.farmer_message(farmer))

    async def ListFarmers(
        self,
        request: registry_pb2.ListFarmersRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ListFarmersResponse:
        """See registry.proto."""
        checks = FieldChecks()
        pooler = checks.optional_uuid("pooler_id", request.pooler_id)
        size = checks.page_size(request.page_size)
        after = messages.after(checks, request.page_token)
        checks.done()
        if pooler is not None:
            await self._registry.pooler(PoolerId(pooler))
        farmers = await self._registry.store.list_farmers(
            pooler_id=None if pooler is None else PoolerId(pooler), after=after, limit=size + 1
        )
        return registry_pb2.ListFarmersResponse(
            farmers=map(messages.farmer_message, farmers[:size]),
            next_page_token=_next([farmer.farmer_id for farmer in farmers], size),
        )

    async def UpdateFarmer(
        self,
        request: registry_pb2.UpdateFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.UpdateFarmerResponse:
        """See registry.proto."""
        farmer_id, change = messages.farmer_change(request)
        farmer = await self._registry.update_farmer(farmer_id, change)
        return registry_pb2.UpdateFarmerResponse(farmer=messages.farmer_message(farmer))

    async def SuspendFarmer(
        self,
        request: registry_pb2.SuspendFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.SuspendFarmerResponse:
        """See registry.proto."""
        farmer_id = _farmer_id(request.farmer_id, request.request_id)
        farmer = await self._registry.move_farmer(farmer_id, FarmerEvent.SUSPENDED)
        return registry_pb2.SuspendFarmerResponse(farmer=messages.farmer_message(farmer))

    async def ResumeFarmer(
        self,
        request: registry_pb2.ResumeFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ResumeFarmerResponse:
        """See registry.proto."""
        farmer_id = _farmer_id(request.farmer_id, request.request_id)
        farmer = await self._registry.move_farmer(farmer_id, FarmerEvent.RESUMED)
        return registry_pb2.ResumeFarmerResponse(farmer=messages.farmer_message(farmer))


def _pooler_id(text: str, request_id: str = "") -> PoolerId:
    checks = FieldChecks()
    pooler_id = checks.uuid("pooler_id", text)
    checks.request_id(request_id)
    checks.done()
    return PoolerId(pooler_id)


def _farmer_id(text: str, request_id: str = "") -> FarmerId:
    checks = FieldChecks()
    farmer_id = checks.uuid("farmer_id", text)
    checks.request_id(request_id)
    checks.done()
    return FarmerId(farmer_id)


def _next(ids: Sequence[UUID], size: int) -> str:
    """The token after this page; there is a next one when one more row than asked for came."""
    return encode_token([ids[size - 1]]) if len(ids) > size else ""
