"""What harvest tells of blocks and harvests: spans, sums and reasons."""

import pytest

from libs.common.ids import PoolerId, new_id
from services.harvest.domain import errors
from services.harvest.domain.model import Harvest, HarvestSummary
from services.harvest.domain.reports import DAYS, HOURS, Blocks, Earned, Earnings, blocks_of_late
from tests.support.batch_events import AT, event_values
from tests.support.reasons import reasons_of


def harvest(status: str, reward: int) -> Harvest:
    return Harvest(**event_values(status), reward_amount=reward, stake_returned=1)


def test_a_summary_counts_who_was_paid_and_sums_up_the_rewards() -> None:
    summary = HarvestSummary(
        block_index=7,
        pooler_id=PoolerId(new_id()),
        harvests=(harvest("success", 5), harvest("failed", 0), harvest("success", 7)),
        processing_time_ms=1,
    )
    assert (summary.successful, summary.total_rewards) == (2, 12)


@pytest.mark.parametrize(
    ("current", "first", "last", "count"),
    [
        (None, 0, -1, 0),
        (0, 0, -1, 0),
        (1, 0, 0, 1),
        (288, 0, 287, 288),
        (289, 1, 288, 288),
        (1000, 712, 999, 288),
    ],
)
def test_lately_is_the_newest_blocks_that_are_over(
    current: int | None, first: int, last: int, count: int
) -> None:
    blocks = blocks_of_late(current)
    assert blocks == Blocks(first=first, last=last)
    assert blocks.count == count


def test_earnings_of_some_days_count_today_and_no_day_more() -> None:
    days = [Earnings(starts_at=AT, rewards=n, harvests=1, stake_returned=0) for n in (1, 20, 300)]
    earned = Earned(rewards=400, harvests=4, days=days, hours=[])
    assert [earned.within(count) for count in (0, 1, 2, 3, 30)] == [0, 1, 21, 321, 321]


def test_a_report_has_thirty_days_and_forty_eight_hours() -> None:
    assert (DAYS, HOURS) == (30, 48)


#: What callers decide by.
REASONS = {
    errors.BlockNotClosedError: "BLOCK_NOT_CLOSED",
    errors.BlockNotFarmedError: "BLOCK_NOT_FARMED",
    errors.BookingRefusedError: "BOOKING_REFUSED",
    errors.FarmerPagesClosedError: "FARMER_PAGES_CLOSED",
    errors.MinerUnknownError: "MINER_UNKNOWN",
    errors.MinersToldError: "MINERS_TOLD",
    errors.NothingBookedError: "NOTHING_BOOKED",
    errors.PayoutEmptyError: "PAYOUT_EMPTY",
    errors.PayoutLimitError: "PAYOUT_LIMIT",
    errors.PayoutNeedsApprovalError: "PAYOUT_NEEDS_APPROVAL",
    errors.PayoutOnItsWayError: "PAYOUT_ON_ITS_WAY",
    errors.PayoutTooLargeError: "PAYOUT_TOO_LARGE",
    errors.PayoutsExceedError: "PAYOUTS_EXCEED",
    errors.PayoutsOffError: "PAYOUTS_OFF",
    errors.StatementNotReadyError: "STATEMENT_NOT_READY",
}


def test_reasons_of_errors_stay_as_callers_know_them() -> None:
    assert reasons_of(errors) == REASONS
