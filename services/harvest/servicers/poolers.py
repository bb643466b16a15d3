"""Messages of the public list of poolers."""

from kalepool.registry.v1 import registry_pb2
from kalepool.report.v1 import report_pb2

from libs.common.grpc.spans import timestamp
from libs.kale.amounts import format_percentage
from services.harvest.domain.poolers import ListedPooler, ProvenRate, Window
from services.harvest.usecases.poolers import FoundPooler, Shown


def listed_message(found: FoundPooler) -> report_pb2.ListedPooler:
    """Return the message of a pooler."""
    pooler = found.pooler
    return report_pb2.ListedPooler(
        pooler_id=str(pooler.pooler_id),
        name=pooler.name,
        terms=_terms(pooler),
        room=pooler.room,
        can_join=found.can_join,
        day=_figures(found.shown[Window.DAY]),
        week=_figures(found.shown[Window.WEEK]),
        month=_figures(found.shown[Window.MONTH]),
    )


def _terms(pooler: ListedPooler) -> registry_pb2.Terms:
    return registry_pb2.Terms(
        version=pooler.version,
        stake_percentage=format_percentage(pooler.stake_bps),
        pooler_fee=format_percentage(pooler.pooler_bps),
        miners_part=format_percentage(pooler.miners_bps),
        payout_threshold=pooler.payout_threshold,
        payout_interval_seconds=pooler.payout_interval_seconds,
        harvest_blocks=pooler.harvest_blocks,
        text=pooler.text,
        digest=pooler.digest,
        published_at=timestamp(pooler.published_at),
    )


def _figures(shown: Shown) -> report_pb2.PoolerFigures:
    figures = shown.figures
    return report_pb2.PoolerFigures(
        success=report_pb2.Success(
            blocks=shown.blocks.count,
            planted=figures.planted,
            not_planted=figures.not_planted,
            worked=figures.worked,
            not_worked=figures.not_worked,
            harvested=figures.harvested,
            not_harvested=figures.not_harvested,
        ),
        rewards=figures.rewards,
        staked=figures.staked,
        rewards_per_farmer_block=figures.rewards_per_farmer_block,
        hash_rate=None if shown.rate is None else _rate(shown.rate),
    )


def _rate(rate: ProvenRate) -> report_pb2.HashRate:
    return report_pb2.HashRate(
        rate=rate.rate,
        error=rate.error,
        blocks=rate.blocks,
        works=rate.works,
        zeros=rate.zeros,
    )
