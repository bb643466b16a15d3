"""The queries of channel accounts at their limits: ends of sums, pages, a day of top-ups."""

from datetime import datetime, timedelta

from libs.common.db.queries import load_queries
from libs.kale.constants import MAX_I64
from services.wallet.store import QUERIES
from services.wallet.store.channels import ChannelStore
from tests.integration.wallet.test_wallet_audit_queries import record
from tests.integration.wallet.test_wallet_channel_queries import POOR, channel
from tests.support.orders import ORDERS
from tests.support.wallet_rows import WalletRows, ago

DAY, TICK = timedelta(hours=24), timedelta(microseconds=1)


async def top_up(rows: WalletRows, at: datetime, stroops: int, action: str = "top_up") -> None:
    """A record of a top-up that was asked for."""
    await record(rows, at, action, details=f"{stroops} stroops of XLM, x")


async def test_what_channels_have_ends_where_numbers_do(rows: WalletRows) -> None:
    for _ in range(2):
        await channel(rows, MAX_I64)
    assert (await ChannelStore(rows.pool, ORDERS).totals(low=POOR)).xlm == MAX_I64


async def test_no_more_channels_are_poor_than_are_asked_for(rows: WalletRows) -> None:
    channels = [await channel(rows, xlm) for xlm in (3, 1, 2)]
    poor = await ChannelStore(rows.pool, ORDERS).poor(below=POOR, limit=2)
    assert list(poor) == [channels[1].id, channels[2].id]


async def test_top_ups_of_a_day_are_added_up_and_no_other_acts(rows: WalletRows) -> None:
    await top_up(rows, ago(hours=23), 1)
    await top_up(rows, ago(), 2)
    await top_up(rows, ago(hours=25), 4)
    await top_up(rows, ago(), 8, "withdraw")
    assert await ChannelStore(rows.pool, ORDERS).topped_up() == 3


async def test_a_top_up_of_exactly_a_day_ago_does_not_count(rows: WalletRows) -> None:
    sql = load_queries(*QUERIES)["topped_up_lately"].sql
    # In one transaction, in which now is one moment.
    async with rows.connection.transaction():
        now = await rows.connection.fetchval("SELECT now()")
        await top_up(rows, now - DAY, 1)
        await top_up(rows, now - DAY + TICK, 2)
        assert await rows.connection.fetchval(sql) == 2


async def test_top_ups_of_a_day_end_where_numbers_do(rows: WalletRows) -> None:
    for _ in range(10):
        await top_up(rows, ago(), 10**18 - 1)
    assert await ChannelStore(rows.pool, ORDERS).topped_up() == MAX_I64
