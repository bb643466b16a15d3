"""What marks of fees sum up: nothing that can still change, and nothing that is only said."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from libs.common.ids import WalletId, new_id
from libs.kale.fees import Terms
from services.wallet.domain.fees_due import FeeMark, Fees, Past, Reward, Rewards
from services.wallet.usecases.fee_keeping import FeeKeeping

WALLET = WalletId(new_id())
OPENED = datetime(2026, 1, 1, tzinfo=UTC)


class _Agreed(Terms):
    """Terms that count from the first block on."""

    effective_at: ClassVar[datetime] = OPENED


class Marks:
    """The marks' store, during whose reads the last harvest on its way is settled."""

    def __init__(self) -> None:
        self.reads = 0
        self.opened_at: dict[int, datetime] = {5: OPENED}
        self.saved = FeeMark()

    async def to_mark(self, *, older: float, limit: int) -> dict[WalletId, bool]:
        """As the store's."""
        assert older and limit
        return {WALLET: False}

    async def marks(self, ids: Sequence[WalletId]) -> dict[WalletId, FeeMark]:
        """As the store's."""
        return dict.fromkeys(ids, FeeMark())

    async def markable(self, ids: Sequence[WalletId]) -> dict[WalletId, int]:
        """As the store's: the harvest of block 5 holds it up until it is settled."""
        self.reads += 1
        return dict.fromkeys(ids, 4 if self.reads == 1 else 5)

    async def rewards(self, marks: Mapping[WalletId, FeeMark]) -> dict[WalletId, Rewards]:
        """As the store's."""
        self.reads += 1
        rewards = [] if self.reads == 1 else [Reward(block_index=5, amount=1000)]
        agreed = _Agreed(pooler_bps=1000, operator_bps=0, miners_bps=0)
        return {
            one: Rewards(rewards=rewards, opened=self.opened_at, agreements=[agreed])
            for one in marks
        }

    async def opened(self, blocks: set[int]) -> dict[int, datetime]:
        """As the store's."""
        return {4: OPENED} | {one: self.opened_at[one] for one in blocks & self.opened_at.keys()}

    async def save(self, _wallet_id: WalletId, mark: FeeMark) -> None:
        """As the store's."""
        self.saved = mark


async def _past(marks: Mapping[WalletId, FeeMark]) -> dict[WalletId, list[Past]]:
    return {one: [] for one in marks}


async def _nobody(_limit: int, *, after: object) -> list[object]:
    return []


def keeping(marks: Marks, *, stopped: int = 0) -> FeeKeeping:
    """Return a keeper over this store."""

    async def totals() -> object:
        return SimpleNamespace(stopped=stopped)

    rows = cast(Any, SimpleNamespace(past=_past, without_account=_nobody))
    return FeeKeeping(
        use_cases=cast(Any, SimpleNamespace(payers=SimpleNamespace(totals=totals))),
        payouts=rows,
        pool_payments=rows,
        marks=cast(Any, marks),
        treasury=cast(Any, SimpleNamespace(is_open=True)),
    )


async def test_a_reward_that_comes_between_the_reads_is_counted_later() -> None:
    marks = Marks()
    await keeping(marks).step()
    assert marks.saved.until_block == 4
    await keeping(marks).step()
    assert marks.saved.accrued == Fees(pooler=100)
    assert marks.saved.counts(5)


@pytest.mark.parametrize("hours", [None, 23, 25])
async def test_marks_go_to_blocks_that_wallet_itself_saw_open_a_day_ago(hours: int | None) -> None:
    marks = Marks()
    marks.reads, marks.opened_at = 2, {}
    if hours is not None:
        marks.opened_at[5] = datetime.now(UTC) - timedelta(hours=hours)
    await keeping(marks).step()
    # That the chain has forgotten a block only rows say that nobody sealed.
    assert marks.saved.until_block == (5 if hours == 25 else -1)


async def test_nothing_is_summed_up_while_a_payer_is_stopped() -> None:
    marks = Marks()
    assert not await keeping(marks, stopped=1).step()
    assert marks.reads == 0
