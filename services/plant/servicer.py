"""plant's gRPC interface: each method maps the request, makes a call and maps the result back."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import grpc
from kalepool.plant.v1 import plant_pb2, plant_pb2_grpc

from libs.batches.listing import failure_reason, filter_of
from libs.batches.model import default_request_id, digest_of
from libs.common.ids import FarmerId, PoolerId
from services.plant.domain.model import Planting, PlantRequest, PlantSummary
from services.plant.store.store import Store
from services.plant.usecases import Planter


class PlantServicer(plant_pb2_grpc.PlantServiceServicer):
    """Servicer of kalepool.plant.v1.PlantService."""

    def __init__(self, store: Store, planter: Planter, *, max_farmers: int) -> None:
        self._store = store
        self._planter = planter
        self._max_farmers = max_farmers

    async def Plant(
        self, request: plant_pb2.PlantRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> plant_pb2.PlantResponse:
        """See plant.proto."""
        summary = await self._planter.plant(domain_request(request, self._max_farmers))
        return summary_message(summary)

    async def ListPlantings(
        self,
        request: plant_pb2.ListPlantingsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> plant_pb2.ListPlantingsResponse:
        """See plant.proto."""
        page = await self._store.page(filter_of(request))
        return plant_pb2.ListPlantingsResponse(
            plantings=map(planting_message, page.events), next_page_token=page.next_token
        )


def domain_request(request: plant_pb2.PlantRequest, max_farmers: int) -> PlantRequest:
    """Return the request in the domain's terms."""
    pooler, block = UUID(request.pooler_id), request.block_index
    capacity = request.max_farmers_capacity or max_farmers
    stakes = {FarmerId(UUID(one.farmer_id)): one.stake for one in request.stakes}
    sitting_out = frozenset(FarmerId(UUID(farmer)) for farmer in request.sitting_out)
    arguments = (str(pooler), block, capacity, *_choices(stakes, sitting_out))
    return PlantRequest(
        pooler_id=PoolerId(pooler),
        block_index=block,
        capacity=capacity,
        stakes=stakes,
        sitting_out=sitting_out,
        request_id=request.request_id or default_request_id("plant", *arguments),
        digest=digest_of(*arguments),
    )


def _choices(
    stakes: Mapping[FarmerId, int], sitting_out: Collection[FarmerId]
) -> tuple[object, ...]:
    """Return what tells requests apart by the caller's choices, in whatever order they came.

    Without any it is nothing, as before there were choices.
    """
    if not stakes and not sitting_out:
        return ()
    chosen = sorted((str(farmer), stake) for farmer, stake in stakes.items())
    return (tuple(chosen), tuple(sorted(map(str, sitting_out))))


def summary_message(summary: PlantSummary) -> plant_pb2.PlantResponse:
    """Return the reply of Plant."""
    return plant_pb2.PlantResponse(
        block_index=summary.block_index,
        pooler_id=str(summary.pooler_id),
        total_requested=len(summary.plantings),
        successful_plants=summary.successful,
        failed_plants=len(summary.plantings) - summary.successful,
        total_staked=summary.total_staked,
        processing_time_ms=summary.processing_time_ms,
        plantings=map(planting_message, summary.plantings),
    )


def planting_message(planting: Planting) -> plant_pb2.Planting:
    """Return the message of one planting."""
    message = plant_pb2.Planting(
        planting_id=str(planting.event_id),
        farmer_id=str(planting.farmer_id),
        block_index=planting.block_index,
        custodial_wallet=planting.custodial_wallet,
        stake_amount=planting.stake_amount,
        status=plant_pb2.PlantingStatus.Value(f"PLANTING_STATUS_{planting.status.upper()}"),
        reason=failure_reason(planting.reason),
        error_message=planting.error_message,
        transaction_hash=planting.transaction_hash,
        ledger=planting.ledger,
        fee_charged=planting.fee_charged,
    )
    message.planted_at.FromDatetime(planting.settled_at)
    return message
