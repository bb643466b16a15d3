"""kalepool.report.v1.ReportService: each method maps the request, makes a call, maps the result."""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from kalepool.report.v1 import report_pb2, report_pb2_grpc

from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import caller
from libs.common.grpc.spans import next_token, span_page, timestamp
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import decode_token, id_after, size_of, token_after
from services.harvest.domain.reports import (
    BlockReport,
    Blocks,
    Earnings,
    FarmerSummary,
    Success,
    Summary,
)
from services.harvest.servicers.poolers import listed_message
from services.harvest.store.reports import Whose
from services.harvest.usecases.poolers import Finder
from services.harvest.usecases.reports import Reporter

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = report_pb2.DESCRIPTOR.services_by_name["ReportService"].full_name


class ReportServicer(report_pb2_grpc.ReportServiceServicer):
    """Servicer of kalepool.report.v1.ReportService."""

    def __init__(self, reporter: Reporter, finder: Finder) -> None:
        self._reporter = reporter
        self._finder = finder

    async def GetPoolSummary(
        self, request: report_pb2.GetPoolSummaryRequest, context: Context
    ) -> report_pb2.GetPoolSummaryResponse:
        """See report.proto."""
        found = await self._reporter.summary(None)
        return report_pb2.GetPoolSummaryResponse(summary=summary_message(found))

    async def GetPoolerSummary(
        self, request: report_pb2.GetPoolerSummaryRequest, context: Context
    ) -> report_pb2.GetPoolerSummaryResponse:
        """See report.proto."""
        found = await self._reporter.summary(PoolerId(UUID(request.pooler_id)))
        return report_pb2.GetPoolerSummaryResponse(summary=summary_message(found))

    async def GetFarmerSummary(
        self, request: report_pb2.GetFarmerSummaryRequest, context: Context
    ) -> report_pb2.GetFarmerSummaryResponse:
        """See report.proto."""
        _check_named_once(request)
        found = await self._reporter.farmer(
            caller(),
            farmer_id=FarmerId(UUID(request.farmer_id)) if request.farmer_id else None,
            address=request.address,
        )
        return farmer_message(found)

    async def ListBlockReports(
        self, request: report_pb2.ListBlockReportsRequest, context: Context
    ) -> report_pb2.ListBlockReportsResponse:
        """See report.proto."""
        blocks, token = await self._blocks(None, request.page_size, request.page_token)
        return report_pb2.ListBlockReportsResponse(
            blocks=map(block_message, blocks), next_page_token=token
        )

    async def ListPoolerBlockReports(
        self, request: report_pb2.ListPoolerBlockReportsRequest, context: Context
    ) -> report_pb2.ListPoolerBlockReportsResponse:
        """See report.proto."""
        pooler = PoolerId(UUID(request.pooler_id))
        blocks, token = await self._blocks(pooler, request.page_size, request.page_token)
        return report_pb2.ListPoolerBlockReportsResponse(
            blocks=map(block_message, blocks), next_page_token=token
        )

    async def GetBlockReport(
        self, request: report_pb2.GetBlockReportRequest, context: Context
    ) -> report_pb2.GetBlockReportResponse:
        """See report.proto."""
        found, farmers = await self._reporter.block(request.block_index)
        message = block_message(found)
        message.farmers_by_zeros.extend(farmers)
        return report_pb2.GetBlockReportResponse(block=message)

    async def ListPublicPoolers(
        self, request: report_pb2.ListPublicPoolersRequest, context: Context
    ) -> report_pb2.ListPublicPoolersResponse:
        """See report.proto."""
        size, after = size_of(request.page_size), id_after(request.page_token)
        found = await self._finder.poolers(
            after=None if after is None else PoolerId(after), limit=size + 1
        )
        return report_pb2.ListPublicPoolersResponse(
            poolers=map(listed_message, found[:size]),
            next_page_token=token_after([one.pooler.pooler_id for one in found], size),
        )

    async def ListEarnings(
        self, request: report_pb2.ListEarningsRequest, context: Context
    ) -> report_pb2.ListEarningsResponse:
        """See report.proto."""
        found, starts = await self._reporter.earnings(_whose(request), span_page(request))
        return report_pb2.ListEarningsResponse(
            earnings=map(earnings_message, found), next_page_token=next_token(starts)
        )

    async def _blocks(
        self, pooler_id: PoolerId | None, page_size: int, page_token: str
    ) -> tuple[Sequence[BlockReport], str]:
        """Return a page of blocks and the token of the next one."""
        size, key = size_of(page_size), decode_token(page_token, [int])
        found = await self._reporter.blocks(
            pooler_id, before=None if key is None else key[0], limit=size + 1
        )
        return found[:size], token_after([one.block_index for one in found], size)


def _whose(request: report_pb2.ListEarningsRequest) -> Whose:
    """Return whose earnings are asked for."""
    if request.pooler_id and request.farmer_id:
        raise InvalidArgumentError.of("farmer_id", "must not be set beside pooler_id")
    return Whose(
        pooler_id=PoolerId(UUID(request.pooler_id)) if request.pooler_id else None,
        farmer_id=FarmerId(UUID(request.farmer_id)) if request.farmer_id else None,
    )


def _check_named_once(request: report_pb2.GetFarmerSummaryRequest) -> None:
    """Raise InvalidArgumentError unless one field, and one only, names the farmer."""
    if request.farmer_id and request.address:
        raise InvalidArgumentError.of("address", "must not be set beside farmer_id")
    if not (request.farmer_id or request.address):
        raise InvalidArgumentError.of("farmer_id", "is required where address is not set")


def summary_message(found: Summary) -> report_pb2.Summary:
    """Return the message of a summary."""
    return report_pb2.Summary(
        active_poolers=found.people.active_poolers,
        active_farmers=found.people.active_farmers,
        farmers=found.people.farmers,
        rewards_today=found.earned.within(1),
        rewards_7_days=found.earned.within(7),
        rewards_30_days=found.earned.within(30),
        rewards_all=found.earned.rewards,
        harvests_all=found.earned.harvests,
        success=success_message(found.success, found.blocks),
        days=map(earnings_message, found.earned.days),
        hours=map(earnings_message, found.earned.hours),
    )


def farmer_message(found: FarmerSummary) -> report_pb2.GetFarmerSummaryResponse:
    """Return the message of a farmer's summary."""
    return report_pb2.GetFarmerSummaryResponse(
        farmer_id=str(found.farmer.farmer_id),
        address=found.farmer.address,
        registered_at=timestamp(found.farmer.registered_at),
        rewards_today=found.earned.within(1),
        rewards_7_days=found.earned.within(7),
        rewards_30_days=found.earned.within(30),
        rewards_all=found.earned.rewards,
        harvests_all=found.earned.harvests,
        success=success_message(found.success, found.blocks),
        best_zeros=found.success.best_zeros,
        days=map(earnings_message, found.earned.days),
        hours=map(earnings_message, found.earned.hours),
    )


def success_message(success: Success, blocks: Blocks) -> report_pb2.Success:
    """Return the message of how often farming succeeded."""
    return report_pb2.Success(
        blocks=blocks.count,
        planted=success.planted,
        not_planted=success.not_planted,
        worked=success.worked,
        not_worked=success.not_worked,
        harvested=success.harvested,
        not_harvested=success.not_harvested,
    )


def earnings_message(earnings: Earnings) -> report_pb2.Earnings:
    """Return the message of what was earned in one span."""
    return report_pb2.Earnings(
        starts_at=timestamp(earnings.starts_at),
        rewards=earnings.rewards,
        harvests=earnings.harvests,
        stake_returned=earnings.stake_returned,
    )


def block_message(block: BlockReport) -> report_pb2.BlockReport:
    """Return the message of one block, without its farmers by zeros."""
    is_seen = block.chain_min_stake is not None
    return report_pb2.BlockReport(
        block_index=block.block_index,
        opened_at=None if block.opened_at is None else timestamp(block.opened_at),
        planted=block.planted,
        not_planted=block.not_planted,
        staked=block.staked,
        worked=block.worked,
        not_worked=block.not_worked,
        total_zeros=block.total_zeros,
        total_gap=block.total_gap,
        harvested=block.harvested,
        not_harvested=block.not_harvested,
        rewards=block.rewards,
        min_reward=block.min_reward,
        max_reward=block.max_reward,
        stake_returned=block.stake_returned,
        fees=block.fees,
        own=report_pb2.Extremes(
            min_stake=block.min_stake,
            max_stake=block.max_stake,
            min_zeros=block.min_zeros,
            max_zeros=block.max_zeros,
            min_gap=block.min_gap,
            max_gap=block.max_gap,
        ),
        chain=_chain_message(block) if is_seen else None,
    )


def _chain_message(block: BlockReport) -> report_pb2.Extremes:
    return report_pb2.Extremes(
        min_stake=block.chain_min_stake,
        max_stake=block.chain_max_stake,
        min_zeros=block.chain_min_zeros,
        max_zeros=block.chain_max_zeros,
        min_gap=block.chain_min_gap,
        max_gap=block.chain_max_gap,
    )
