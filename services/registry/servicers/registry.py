"""registry's gRPC interface: each method maps the request, makes a call and maps the result."""

from typing import Any
from uuid import UUID

import grpc
from kalepool.registry.v1 import registry_pb2, registry_pb2_grpc

from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import id_after, size_of, token_after
from libs.kale.amounts import format_percentage
from services.registry import messages
from services.registry.domain.status import FarmerEvent
from services.registry.usecases.leaving import Departures
from services.registry.usecases.registry import Registry


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """Servicer of kalepool.registry.v1.RegistryService."""

    def __init__(self, registry: Registry, departures: Departures, *, max_farmers: int) -> None:
        self._registry = registry
        self._departures = departures
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
        pooler = await self._registry.pooler(PoolerId(UUID(request.pooler_id)))
        return registry_pb2.GetPoolerResponse(pooler=messages.pooler_message(pooler))

    async def ListPoolers(
        self,
        request: registry_pb2.ListPoolersRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ListPoolersResponse:
        """See registry.proto."""
        size, after = size_of(request.page_size), id_after(request.page_token)
        poolers = await self._registry.store.list_poolers(after=after, limit=size + 1)
        return registry_pb2.ListPoolersResponse(
            poolers=map(messages.pooler_message, poolers[:size]),
            next_page_token=token_after([pooler.pooler_id for pooler in poolers], size),
        )

    async def UpdatePooler(
        self,
        request: registry_pb2.UpdatePoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.UpdatePoolerResponse:
        """See registry.proto."""
        pooler_id, change = messages.pooler_change(request)
        pooler = await self._registry.update_pooler(pooler_id, change)
        return registry_pb2.UpdatePoolerResponse(pooler=messages.pooler_message(pooler))

    async def SuspendPooler(
        self,
        request: registry_pb2.SuspendPoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.SuspendPoolerResponse:
        """See registry.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        pooler = await self._registry.set_pooler_active(pooler_id, active=False)
        return registry_pb2.SuspendPoolerResponse(pooler=messages.pooler_message(pooler))

    async def ResumePooler(
        self,
        request: registry_pb2.ResumePoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ResumePoolerResponse:
        """See registry.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        pooler = await self._registry.set_pooler_active(pooler_id, active=True)
        return registry_pb2.ResumePoolerResponse(pooler=messages.pooler_message(pooler))

    async def Heartbeat(
        self,
        request: registry_pb2.HeartbeatRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.HeartbeatResponse:
        """See registry.proto."""
        seen = await self._registry.heartbeat(PoolerId(UUID(request.pooler_id)))
        response = registry_pb2.HeartbeatResponse()
        response.last_seen.FromDatetime(seen)
        return response

    async def PublishTerms(
        self,
        request: registry_pb2.PublishTermsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.PublishTermsResponse:
        """See registry.proto."""
        pooler_id, new, change = messages.new_terms(request)
        terms = await self._registry.publish_terms(pooler_id, new, change, actor=caller().actor)
        return registry_pb2.PublishTermsResponse(terms=messages.terms_message(terms))

    async def GetTerms(
        self,
        request: registry_pb2.GetTermsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.GetTermsResponse:
        """See registry.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        terms = await self._registry.terms(pooler_id, request.version)
        newest = await self._registry.terms(pooler_id)
        rules = await self._registry.wallet.fee_rules()
        return registry_pb2.GetTermsResponse(
            terms=messages.terms_message(terms),
            operator_fee=format_percentage(rules.operator_bps),
            newest_version=newest.version,
        )

    async def RegisterFarmer(
        self,
        request: registry_pb2.RegisterFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.RegisterFarmerResponse:
        """See registry.proto."""
        farmer = await self._registry.register_farmer(messages.new_farmer(request, caller()))
        return messages.registered_message(farmer)

    async def JoinPool(
        self,
        request: registry_pb2.JoinPoolRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.JoinPoolResponse:
        """See registry.proto."""
        farmer = await self._registry.join(messages.joining_farmer(request, caller()))
        return registry_pb2.JoinPoolResponse(farmer=messages.farmer_message(farmer))

    async def GetFarmer(
        self,
        request: registry_pb2.GetFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.GetFarmerResponse:
        """See registry.proto."""
        farmer = await self._registry.farmer(FarmerId(UUID(request.farmer_id)))
        return registry_pb2.GetFarmerResponse(farmer=messages.farmer_message(farmer))

    async def ListFarmers(
        self,
        request: registry_pb2.ListFarmersRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ListFarmersResponse:
        """See registry.proto."""
        pooler = PoolerId(UUID(request.pooler_id)) if request.pooler_id else None
        size, after = size_of(request.page_size), id_after(request.page_token)
        if pooler is not None:
            await self._registry.pooler(pooler)
        farmers = await self._registry.store.list_farmers(
            pooler_id=pooler,
            owner_account=request.owner_account,
            after=after,
            limit=size + 1,
        )
        return registry_pb2.ListFarmersResponse(
            farmers=map(messages.farmer_message, farmers[:size]),
            next_page_token=token_after([farmer.farmer_id for farmer in farmers], size),
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
        farmer_id = FarmerId(UUID(request.farmer_id))
        farmer = await self._registry.move_farmer(farmer_id, FarmerEvent.SUSPENDED)
        return registry_pb2.SuspendFarmerResponse(farmer=messages.farmer_message(farmer))

    async def ResumeFarmer(
        self,
        request: registry_pb2.ResumeFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.ResumeFarmerResponse:
        """See registry.proto."""
        farmer_id = FarmerId(UUID(request.farmer_id))
        farmer = await self._registry.move_farmer(farmer_id, FarmerEvent.RESUMED)
        return registry_pb2.ResumeFarmerResponse(farmer=messages.farmer_message(farmer))

    async def LeaveFarmer(
        self,
        request: registry_pb2.LeaveFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.LeaveFarmerResponse:
        """See registry.proto."""
        farmer = await self._departures.leave(
            FarmerId(UUID(request.farmer_id)), messages.word_of(caller()), actor=caller().actor
        )
        return registry_pb2.LeaveFarmerResponse(farmer=messages.farmer_message(farmer))

    async def StayFarmer(
        self,
        request: registry_pb2.StayFarmerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.StayFarmerResponse:
        """See registry.proto."""
        farmer = await self._departures.stay(
            FarmerId(UUID(request.farmer_id)), messages.word_of(caller()), actor=caller().actor
        )
        return registry_pb2.StayFarmerResponse(farmer=messages.farmer_message(farmer))

    async def LeavePooler(
        self,
        request: registry_pb2.LeavePoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.LeavePoolerResponse:
        """See registry.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        pooler = await self._departures.leave_pooler(pooler_id, actor=caller().actor)
        return registry_pb2.LeavePoolerResponse(pooler=messages.pooler_message(pooler))

    async def StayPooler(
        self,
        request: registry_pb2.StayPoolerRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> registry_pb2.StayPoolerResponse:
        """See registry.proto."""
        pooler_id = PoolerId(UUID(request.pooler_id))
        pooler = await self._departures.stay_pooler(pooler_id, actor=caller().actor)
        return registry_pb2.StayPoolerResponse(pooler=messages.pooler_message(pooler))
