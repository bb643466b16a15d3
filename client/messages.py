"""The conversion of the services' messages into plain values, and back."""

from collections.abc import Mapping
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.common.v1 import common_pb2
from kalepool.harvest.v1 import harvest_pb2
from kalepool.plant.v1 import plant_pb2
from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2
from kalepool.wallet.v1 import wallet_pb2
from kalepool.work.v1 import work_pb2

from client.model import (
    BatchSummary,
    Block,
    BlockCounts,
    ChainView,
    FarmerOutcome,
    FarmerRecord,
    Head,
    PoolerRecord,
    Submission,
    SweepSummary,
)
from libs.common.ids import FarmerId, PoolerId
from libs.kale.amounts import parse_percentage

_NANOSECONDS = 1_000_000_000


def pooler(message: registry_pb2.Pooler) -> PoolerRecord:
    """Convert a pooler of registry."""
    return PoolerRecord(
        pooler_id=PoolerId(UUID(message.pooler_id)),
        name=message.name,
        public_key=message.public_key,
    )


def farmer(message: registry_pb2.Farmer) -> FarmerRecord:
    """Convert a farmer of registry."""
    return FarmerRecord(
        farmer_id=FarmerId(UUID(message.farmer_id)),
        address=message.custodial_wallet,
        is_active=message.status == registry_pb2.FARMER_STATUS_ACTIVE,
        is_funded=message.is_funded,
        stake_bps=parse_percentage(message.stake_percentage or "0"),
    )


def chain_view(
    message: wallet_pb2.GetBlockResponse | wallet_pb2.WatchBlocksResponse,
) -> ChainView:
    """Convert a block and the head of the chain."""
    head = message.head
    return ChainView(
        block=_block(message.block) if message.HasField("block") else None,
        head=Head(
            ledger=head.ledger,
            close_time=_seconds(head.close_time),
            current_block=head.current_block,
            plantable_block=head.plantable_block,
            paused=head.paused,
        ),
    )


def block_counts(message: report_pb2.GetBlockReportResponse) -> BlockCounts:
    """Convert a block's report into what its farmers have done."""
    zeros = enumerate(message.block.farmers_by_zeros)
    return BlockCounts(
        planted=message.block.planted,
        zeros={number: farmers for number, farmers in zeros if farmers},
    )


def planting(message: plant_pb2.Planting) -> FarmerOutcome:
    """Convert one farmer's planting."""
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(message.farmer_id)),
        address=message.custodial_wallet,
        succeeded=message.status == plant_pb2.PLANTING_STATUS_SUCCESS,
        reason=_reason(message.reason),
        amount=message.stake_amount,
        ledger=message.ledger,
        fee=message.fee_charged,
    )


def plant_summary(message: plant_pb2.PlantResponse) -> BatchSummary:
    """Convert the answer of a Plant call."""
    return BatchSummary(
        block_index=message.block_index,
        requested=message.total_requested,
        succeeded=message.successful_plants,
        amount=message.total_staked,
        milliseconds=message.processing_time_ms,
        outcomes=tuple(map(planting, message.plantings)),
    )


def stakes(chosen: Mapping[FarmerId, int]) -> list[plant_pb2.FarmerStake]:
    """Convert stakes of single farmers."""
    return [
        plant_pb2.FarmerStake(farmer_id=str(farmer_id), stake=stake)
        for farmer_id, stake in chosen.items()
    ]


def submission(found: Submission) -> work_pb2.Submission:
    """Convert a nonce that was found."""
    at = 0 if found.found_at is None else int(found.found_at.timestamp() * 1000)
    return work_pb2.Submission(farmer_id=str(found.farmer_id), nonce=found.nonce, timestamp=at)


def work(message: work_pb2.Work) -> FarmerOutcome:
    """Convert one farmer's work."""
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(message.farmer_id)),
        address=message.custodial_wallet,
        succeeded=message.status == work_pb2.WORK_STATUS_SUCCESS,
        reason=_reason(message.reason),
        amount=0,
        zeros=message.zeros,
        gap=message.gap,
        ledger=message.ledger,
        fee=message.fee_charged,
    )


def work_summary(message: work_pb2.SubmitWorkResponse) -> BatchSummary:
    """Convert the answer of a SubmitWork call."""
    return BatchSummary(
        block_index=message.block_index,
        requested=message.total_submissions,
        succeeded=message.submitted_work,
        amount=message.total_rewards,
        milliseconds=message.processing_time_ms,
        outcomes=tuple(map(_verdict, message.verdicts)),
    )


def harvest(message: harvest_pb2.HarvestRecord) -> FarmerOutcome:
    """Convert one farmer's harvest."""
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(message.farmer_id)),
        address=message.custodial_wallet,
        succeeded=message.status == harvest_pb2.HARVEST_STATUS_SUCCESS,
        reason=_reason(message.reason),
        amount=message.reward_amount,
        ledger=message.ledger,
        fee=message.fee_charged,
    )


def harvest_summary(message: harvest_pb2.HarvestResponse) -> BatchSummary:
    """Convert the answer of a Harvest call."""
    return BatchSummary(
        block_index=message.block_index,
        requested=message.total_eligible,
        succeeded=message.successful_harvests,
        amount=message.total_rewards,
        milliseconds=message.processing_time_ms,
        outcomes=tuple(map(harvest, message.harvests)),
    )


def sweep_summary(message: harvest_pb2.HarvestPendingResponse) -> SweepSummary:
    """Convert the answer of a HarvestPending call."""
    return SweepSummary(
        blocks=tuple(map(harvest_summary, message.blocks)),
        total_rewards=message.total_rewards,
        still_pending=message.still_pending,
    )


def _block(message: wallet_pb2.Block) -> Block:
    return Block(
        index=message.index,
        opened_at=_seconds(message.opened_at),
        closes_at=_seconds(message.closes_at),
        entropy=message.entropy,
        max_zeros=message.max_zeros,
        min_zeros=message.min_zeros,
        staked_total=message.staked_total,
        min_gap=message.min_gap,
        max_gap=message.max_gap,
        min_stake=message.min_stake,
        max_stake=message.max_stake,
        normalized_total=int(message.normalized_total or "0"),
        opened_ledger=message.opened_ledger,
        expires_ledger=message.expires_ledger,
    )


def _verdict(message: work_pb2.Verdict) -> FarmerOutcome:
    return FarmerOutcome(
        farmer_id=FarmerId(UUID(message.farmer_id)),
        address="",
        succeeded=message.status
        in {work_pb2.VERDICT_STATUS_WORKED, work_pb2.VERDICT_STATUS_SURPASSED},
        reason=_reason(message.reason),
        amount=message.estimated_reward,
        zeros=message.zeros,
        gap=message.gap,
        fee=message.fee_charged,
    )


def _reason(reason: common_pb2.FailureReason.ValueType) -> str:
    """Convert a failure reason; unknown values count as INTERNAL, as the proto asks for."""
    if reason not in common_pb2.FailureReason.values():
        return "INTERNAL"
    return common_pb2.FailureReason.Name(reason).removeprefix("FAILURE_REASON_")


def _seconds(timestamp: Timestamp) -> float:
    return timestamp.seconds + timestamp.nanos / _NANOSECONDS
