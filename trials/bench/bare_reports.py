"""Reports of the usual size, made up: what the bare services tell pages."""

from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.report.v1 import report_pb2

_DAYS, _HOURS = 30, 24
_KALE = 10_000_000
_EXTREMES = report_pb2.Extremes(
    min_stake=_KALE, max_stake=50 * _KALE, min_zeros=5, max_zeros=9, min_gap=3, max_gap=40
)


def summary() -> report_pb2.Summary:
    """Return what the pool earned."""
    return report_pb2.Summary(
        active_poolers=3,
        active_farmers=950,
        farmers=1000,
        rewards_today=40 * _KALE,
        rewards_7_days=280 * _KALE,
        rewards_30_days=1200 * _KALE,
        rewards_all=5000 * _KALE,
        harvests_all=250_000,
        success=_success(900),
        days=_earnings(_DAYS, 86_400),
        hours=_earnings(_HOURS, 3600),
    )


def farmer(request: report_pb2.GetFarmerSummaryRequest) -> report_pb2.GetFarmerSummaryResponse:
    """Return what a farmer earned."""
    return report_pb2.GetFarmerSummaryResponse(
        farmer_id=request.farmer_id or "0190a5f0-0000-7000-8000-000000000002",
        address=request.address,
        registered_at=Timestamp(seconds=1_700_000_000),
        rewards_today=_KALE // 25,
        rewards_7_days=_KALE // 4,
        rewards_30_days=_KALE,
        rewards_all=5 * _KALE,
        harvests_all=2500,
        success=_success(1),
        best_zeros=9,
        days=_earnings(_DAYS, 86_400),
        hours=_earnings(_HOURS, 3600),
    )


def block(index: int, seconds: int) -> report_pb2.BlockReport:
    """Return what a block of so many seconds came to."""
    return report_pb2.BlockReport(
        block_index=index,
        opened_at=Timestamp(seconds=index * seconds),
        planted=950,
        not_planted=2,
        staked=950 * 30 * _KALE,
        worked=940,
        not_worked=10,
        total_zeros=940 * 7,
        total_gap=940 * 12,
        harvested=930,
        not_harvested=10,
        rewards=14 * _KALE,
        min_reward=_KALE // 100,
        max_reward=_KALE // 50,
        stake_returned=930 * 30 * _KALE,
        fees=4_200_000,
        own=_EXTREMES,
        chain=_EXTREMES,
        farmers_by_zeros=[0, 0, 0, 0, 0, 120, 340, 260, 170, 50],
    )


def _success(farmers: int) -> report_pb2.Success:
    return report_pb2.Success(
        blocks=288,
        planted=288 * farmers,
        not_planted=farmers,
        worked=287 * farmers,
        not_worked=2 * farmers,
        harvested=284 * farmers,
        not_harvested=3 * farmers,
    )


def _earnings(count: int, seconds: int) -> list[report_pb2.Earnings]:
    return [
        report_pb2.Earnings(
            starts_at=Timestamp(seconds=1_796_000_400 - number * seconds),
            rewards=_KALE * 40 + number,
            harvests=270,
            stake_returned=900 * _KALE,
        )
        for number in range(count)
    ]
