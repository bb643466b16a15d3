"""harvest's gRPC face: check, call, map."""

from typing import Any

import grpc
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc

from libs.batches.listing import MAX_BLOCK, checked_filter, failure_reason
from libs.batches.model import default_request_id, digest_of
from libs.common.grpc.validate import FieldChecks
from libs.common.ids import FarmerId, PoolerId
from services.harvest.domain.model import Harvest, HarvestRequest, HarvestSummary
from services.harvest.usecases import Harvester

#: Blocks of a sweep: by default about a day's.
MAX_SWEEP, DEFAULT_SWEEP = 1000, 300


class HarvestServicer(harvest_pb2_grpc.HarvestServiceServicer):
    """Serves kalepool.harvest.v1.HarvestService."""

    def __init__(self, harvester: Harvester) -> None:
        self._harvester = harvester

    async def Harvest(
        self,
        request: harvest_pb2.HarvestRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.HarvestResponse:
        """See harvest.proto."""
        return summary_message(await self._harvester.harvest(checked(request)))

    async def HarvestPending(
        self,
        request: harvest_pb2.HarvestPendingRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.HarvestPendingResponse:
        """See harvest.proto."""
        checks = FieldChecks()
        pooler = checks.optional_uuid("pooler_id", request.pooler_id)
        blocks = checks.number_or_default(
            "max_blocks", request.max_blocks, low=1, high=MAX_SWEEP, default=DEFAULT_SWEEP
        )
        checks.done()
        summaries, left = await self._harvester.harvest_pending(
            None if pooler is None else PoolerId(pooler), blocks
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
        chosen = checked_filter(request)
        harvests = await self._harvester.harvests(chosen)
        return harvest_pb2.ListHarvestsResponse(
            harvests=map(harvest_message, harvests[: chosen.limit]),
            next_page_token=chosen.next_token(
                [(harvest.block_index, harvest.harvest_id) for harvest in harvests]
            ),
        )

    async def GetBalance(
        self,
        request: harvest_pb2.GetBalanceRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> harvest_pb2.GetBalanceResponse:
        """See harvest.proto."""
        checks = FieldChecks()
        farmer = checks.uuid("farmer_id", request.farmer_id)
        checks.done()
        balance = await self._harvester.balance(FarmerId(farmer))
        response = harvest_pb2.GetBalanceResponse(
            farmer_id=str(balance.farmer_id),
            current_balance=balance.current_balance,
            total_rewards=balance.total_rewards,
            harvests=balance.harvests,
        )
        if balance.updated_at is not None:
            response.updated_at.FromDatetime(balance.updated_at)
        return response


def checked(request: harvest_pb2.HarvestRequest) -> HarvestRequest:
    """The request as the domain knows it; raises for all violations at once."""
    checks = FieldChecks()
    pooler = checks.uuid("pooler_id", request.pooler_id)
    block = checks.number("block_index", request.block_index, low=0, high=MAX_BLOCK)
    request_id = checks.request_id(request.request_id)
    checks.done()
    arguments = (str(pooler), block)
    return HarvestRequest(
        pooler_id=PoolerId(pooler),
        block_index=block,
        request_id=request_id or default_request_id("harvest", *arguments),
        digest=digest_of(*arguments),
    )


def summary_message(summary: HarvestSummary) -> harvest_pb2.HarvestResponse:
    """The reply of Harvest."""
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
    """One harvest."""
    message = harvest_pb2.HarvestRecord(
        harvest_id=str(harvest.harvest_id),
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
    message.harvested_at.FromDatetime(harvest.harvested_at)
    return message
