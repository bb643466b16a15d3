"""harvest's gRPC interface: each method maps the request, makes a call and maps the result back."""

from typing import Any
from uuid import UUID

import grpc
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc

from libs.batches.listing import failure_reason, filter_of
from libs.batches.model import BatchRequest, default_request_id, digest_of
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.model import Harvest, HarvestSummary
from services.harvest.store.store import Store
from services.harvest.usecases.harvest import Harvester

#: Blocks of a sweep when the request names no number: about a day's.
DEFAULT_SWEEP = 300


class HarvestServicer(harvest_pb2_grpc.HarvestServiceServicer):
    """Servicer of kalepool.harvest.v1.HarvestService."""

    def __init__(self, store: Store, harvester: Harvester) -> None:
        self._store = store
        self._harvester = harvester

    async def Harvest(
        self,
        request: harvest_pb2.HarvestRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.HarvestResponse:
        """See harvest.proto."""
        return summary_message(await self._harvester.harvest(domain_request(request)))

    async def HarvestPending(
        self,
        request: harvest_pb2.HarvestPendingRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.HarvestPendingResponse:
        """See harvest.proto."""
        pooler = PoolerId(UUID(request.pooler_id)) if request.pooler_id else None
        summaries, left = await self._harvester.harvest_pending(
            pooler, request.max_blocks or DEFAULT_SWEEP
        )
        return harvest_pb2.HarvestPendingResponse(
            blocks=map(summary_message, summaries),
            total_rewards=sum(summary.total_rewards for summary in summaries),
            still_pending=left,
        )

    async def ListHarvests(
        self,
        request: harvest_pb2.ListHarvestsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.ListHarvestsResponse:
        """See harvest.proto."""
        page = await self._store.page(filter_of(request))
        return harvest_pb2.ListHarvestsResponse(
            harvests=map(harvest_message, page.events), next_page_token=page.next_token
        )

    async def GetBalance(
        self,
        request: harvest_pb2.GetBalanceRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.GetBalanceResponse:
        """See harvest.proto."""
        balance = await self._harvester.balance(FarmerId(UUID(request.farmer_id)))
        response = harvest_pb2.GetBalanceResponse(
            farmer_id=str(balance.farmer_id),
            current_balance=balance.current_balance,
            total_rewards=balance.total_rewards,
            harvests=balance.harvests,
        )
        if balance.updated_at is not None:
            response.updated_at.FromDatetime(balance.updated_at)
        return response


def domain_request(request: harvest_pb2.HarvestRequest) -> BatchRequest:
    """Return the request in the domain's terms."""
    pooler, block = UUID(request.pooler_id), request.block_index
    arguments = (str(pooler), block)
    return BatchRequest(
        pooler_id=PoolerId(pooler),
        block_index=block,
        request_id=request.request_id or default_request_id("harvest", *arguments),
        digest=digest_of(*arguments),
    )


def summary_message(summary: HarvestSummary) -> harvest_pb2.HarvestResponse:
    """Return the reply of Harvest."""
    return harvest_pb2.HarvestResponse(
        block_index=summary.block_index,
        pooler_id=str(summary.pooler_id),
        total_eligible=len(summary.harvests),
        successful_harvests=summary.successful,
        failed_harvests=len(summary.harvests) - summary.successful,
        total_rewards=summary.total_rewards,
        processing_time_ms=summary.processing_time_ms,
        harvests=map(harvest_message, summary.harvests),
    )


def harvest_message(harvest: Harvest) -> harvest_pb2.HarvestRecord:
    """Return the message of one harvest."""
    message = harvest_pb2.HarvestRecord(
        harvest_id=str(harvest.event_id),
        farmer_id=str(harvest.farmer_id),
        block_index=harvest.block_index,
        custodial_wallet=harvest.custodial_wallet,
        reward_amount=harvest.reward_amount,
        stake_returned=harvest.stake_returned,
        status=harvest_pb2.HarvestStatus.Value(f"HARVEST_STATUS_{harvest.status.upper()}"),
        reason=failure_reason(harvest.reason),
        error_message=harvest.error_message,
        transaction_hash=harvest.transaction_hash,
        ledger=harvest.ledger,
        fee_charged=harvest.fee_charged,
    )
    message.harvested_at.FromDatetime(harvest.settled_at)
    return message
