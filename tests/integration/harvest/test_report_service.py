"""Reports of a running harvest: after real harvests, page by page, and for whom they are."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from kalepool.harvest.v1 import harvest_pb2, harvest_pb2_grpc
from kalepool.report.v1 import report_pb2, report_pb2_grpc
from pydantic import SecretStr

from libs.common import errors
from libs.common.grpc.client import call, open_channel
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.grpc.spans import timestamp
from libs.common.ids import FarmerId, new_id
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from services.harvest.store.reports import QUERIES, ReportStore
from services.harvest.usecases.reports import Reporter
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.fake_wallet import REWARD, STAKE_RETURNED, FakeWallet, fake_wallet
from tests.support.pool_world import Person, PoolWorld

BLOCK = 300
UNKNOWN = "0190a5f0-0000-7000-8000-000000000001"
#: A sound address that nobody of the pool has.
NOBODYS = "GDNSSYSCSSJ76FER5WEEXME5G4MTCUBKDRQSKOYP36KUKVDB2VCMERS6"


@dataclass(frozen=True, kw_only=True)
class Reports:
    """A running harvest service and what is around it."""

    stub: "report_pb2_grpc.ReportServiceAsyncStub"
    harvest_stub: "harvest_pb2_grpc.HarvestServiceAsyncStub"
    world: PoolWorld
    wallet: FakeWallet
    pooler: UUID

    async def farm(self, person: Person, block: int, *, stake: int = 250, zeros: int = 4) -> None:
        """Let a farmer plant, work and harvest."""
        await self.world.planted(self.pooler, person, block, stake)
        await self.world.worked(self.pooler, person, block, zeros)
        request = harvest_pb2.HarvestRequest(
            block_index=block, pooler_id=str(self.pooler), request_id=str(new_id())
        )
        await call(self.harvest_stub.Harvest, request, timeout=20)

    async def earnings(self, **request: object) -> tuple[list[tuple[datetime, int, int]], str]:
        """Earnings, newest first, and the token of the next page."""
        asked = report_pb2.ListEarningsRequest(**request)  # type: ignore[arg-type]
        reply = await call(self.stub.ListEarnings, asked, timeout=5)
        told = [
            (one.starts_at.ToDatetime(UTC), one.rewards, one.harvests) for one in reply.earnings
        ]
        return told, reply.next_page_token


@pytest.fixture
async def reports(database: DatabaseAccess) -> AsyncIterator[Reports]:
    """harvest with a block open, and one pooler."""
    async with (
        connect(database.admin_dsn) as connection,
        fake_wallet(database.admin_dsn) as (wallet, target),
    ):
        world = PoolWorld(connection)
        settings = HarvestSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("harvest")),
            wallet_target=target,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            recovery_seconds=0.3,
            harvest_sweep_seconds=0,
        )
        async with (
            open_app(settings) as running,
            open_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            await world.head(current=BLOCK + 1)
            yield Reports(
                stub=report_pb2_grpc.ReportServiceStub(channel),
                harvest_stub=harvest_pb2_grpc.HarvestServiceStub(channel),
                world=world,
                wallet=wallet,
                pooler=await world.pooler(),
            )


async def test_a_pool_that_has_done_nothing_says_so(reports: Reports) -> None:
    reply = await call(reports.stub.GetPoolSummary, report_pb2.GetPoolSummaryRequest(), timeout=5)
    summary = reply.summary
    assert (summary.active_poolers, summary.farmers, summary.rewards_all) == (1, 0, 0)
    assert summary.success == report_pb2.Success(blocks=288)
    assert (len(summary.days), len(summary.hours)) == (30, 48)
    blocks = await call(
        reports.stub.ListBlockReports, report_pb2.ListBlockReportsRequest(), timeout=5
    )
    assert blocks == report_pb2.ListBlockReportsResponse()


async def test_what_was_harvested_is_in_every_report(reports: Reports) -> None:
    one, two = [await reports.world.farmer(reports.pooler) for _ in range(2)]
    await reports.farm(one, BLOCK, stake=100, zeros=6)
    await reports.farm(two, BLOCK, stake=300, zeros=8)
    await reports.farm(one, BLOCK - 289)
    pool = await call(reports.stub.GetPoolSummary, report_pb2.GetPoolSummaryRequest(), timeout=5)
    request = report_pb2.GetPoolerSummaryRequest(pooler_id=str(reports.pooler))
    assert (await call(reports.stub.GetPoolerSummary, request, timeout=5)).summary == pool.summary
    summary = pool.summary
    assert (summary.active_farmers, summary.farmers) == (2, 2)
    assert {
        summary.rewards_today,
        summary.rewards_7_days,
        summary.rewards_30_days,
        summary.rewards_all,
    } == {3 * REWARD}
    assert summary.harvests_all == summary.days[0].harvests == 3
    assert summary.hours[0].rewards == 3 * REWARD
    # The third block is too long ago.
    assert summary.success == report_pb2.Success(blocks=288, planted=2, worked=2, harvested=2)
    farmer = await call(
        reports.stub.GetFarmerSummary,
        report_pb2.GetFarmerSummaryRequest(farmer_id=str(one.farmer_id)),
        timeout=5,
    )
    assert (farmer.address, farmer.rewards_all, farmer.harvests_all) == (
        one.address,
        2 * REWARD,
        2,
    )
    assert (farmer.rewards_today, len(farmer.days), len(farmer.hours)) == (2 * REWARD, 30, 48)
    assert farmer.success == report_pb2.Success(blocks=288, planted=1, worked=1, harvested=1)
    assert farmer.best_zeros == 6
    assert farmer.HasField("registered_at")
    by_address = await call(
        reports.stub.GetFarmerSummary,
        report_pb2.GetFarmerSummaryRequest(address=one.address),
        timeout=5,
    )
    assert by_address == farmer


async def test_a_block_is_told_with_its_extremes_and_farmers_by_zeros(reports: Reports) -> None:
    one, two = [await reports.world.farmer(reports.pooler) for _ in range(2)]
    await reports.farm(one, BLOCK, stake=100, zeros=1)
    await reports.farm(two, BLOCK, stake=300, zeros=3)
    request = report_pb2.GetBlockReportRequest(block_index=BLOCK)
    block = (await call(reports.stub.GetBlockReport, request, timeout=5)).block
    assert block == report_pb2.BlockReport(
        block_index=BLOCK,
        planted=2,
        staked=400,
        worked=2,
        total_zeros=4,
        total_gap=6,
        harvested=2,
        rewards=2 * REWARD,
        min_reward=REWARD,
        max_reward=REWARD,
        stake_returned=2 * STAKE_RETURNED,
        fees=block.fees,
        own=report_pb2.Extremes(
            min_stake=100, max_stake=300, min_zeros=1, max_zeros=3, min_gap=3, max_gap=3
        ),
        farmers_by_zeros=[0, 1, 0, 1],
    )
    # The running block is seen by wallet, and nobody has worked in it yet.
    await reports.world.planted(reports.pooler, one, BLOCK + 1)
    request = report_pb2.GetBlockReportRequest(block_index=BLOCK + 1)
    running = (await call(reports.stub.GetBlockReport, request, timeout=5)).block
    assert running.HasField("opened_at")
    assert running.own == report_pb2.Extremes(min_stake=250, max_stake=250)
    assert running.chain == report_pb2.Extremes(
        min_stake=0, max_stake=1000, min_zeros=0, max_zeros=8, min_gap=1, max_gap=40
    )
    for index in (BLOCK - 1, BLOCK + 2, 2**31 - 1):
        with pytest.raises(errors.NotFoundError) as caught:
            await call(
                reports.stub.GetBlockReport,
                report_pb2.GetBlockReportRequest(block_index=index),
                timeout=5,
            )
        assert caught.value.reason == "BLOCK_NOT_FARMED"


async def test_a_block_is_told_though_the_next_one_was_farmed_too(reports: Reports) -> None:
    person = await reports.world.farmer(reports.pooler)
    for block in (BLOCK - 1, BLOCK):
        await reports.farm(person, block)
    request = report_pb2.GetBlockReportRequest(block_index=BLOCK - 1)
    told = (await call(reports.stub.GetBlockReport, request, timeout=5)).block
    assert (told.block_index, told.planted) == (BLOCK - 1, 1)


async def test_pages_of_blocks_have_each_once(reports: Reports) -> None:
    person = await reports.world.farmer(reports.pooler)
    for block in range(BLOCK - 6, BLOCK + 1):
        await reports.world.planted(reports.pooler, person, block)
    idle = await reports.world.pooler()
    for pooler, expected in ((None, 7), (reports.pooler, 7), (idle, 0)):
        found: list[int] = []
        token = ""
        while True:
            if pooler is None:
                request = report_pb2.ListBlockReportsRequest(page_size=3, page_token=token)
                page = await call(reports.stub.ListBlockReports, request, timeout=5)
                token, blocks = page.next_page_token, page.blocks
            else:
                own = report_pb2.ListPoolerBlockReportsRequest(
                    pooler_id=str(pooler), page_size=3, page_token=token
                )
                of_pooler = await call(reports.stub.ListPoolerBlockReports, own, timeout=5)
                token, blocks = of_pooler.next_page_token, of_pooler.blocks
            assert len(blocks) <= 3
            found += [one.block_index for one in blocks]
            if not token:
                break
        assert found == list(range(BLOCK, BLOCK - expected, -1))


async def test_earnings_are_listed_back_to_the_registration(reports: Reports) -> None:
    person = await reports.world.farmer(reports.pooler)
    await reports.world.connection.execute(
        "UPDATE registry.farmers SET created_at = now() - interval '49 hours'"
    )
    await reports.farm(person, BLOCK)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    mine = {"farmer_id": str(person.farmer_id), "span": report_pb2.SPAN_HOUR}
    found, token = await reports.earnings(**mine)
    # The hour of the registration is the last one, whichever minute it is.
    assert (len(found), token) == (50, "")
    assert found[:2] == [(hour, REWARD, 1), (hour - timedelta(hours=1), 0, 0)]
    # The pooler was registered just now.
    found, token = await reports.earnings(pooler_id=str(reports.pooler), span=report_pb2.SPAN_DAY)
    assert (found, token) == ([(hour.replace(hour=0), REWARD, 1)], "")
    whole, _ = await reports.earnings(span=report_pb2.SPAN_MONTH)
    assert whole == [(hour.replace(hour=0, day=1), REWARD, 1)]


async def test_pages_of_earnings_go_on_where_the_last_one_ended(reports: Reports) -> None:
    person = await reports.world.farmer(reports.pooler)
    await reports.world.connection.execute(
        "UPDATE registry.farmers SET created_at = now() - interval '9 hours'"
    )
    request = {"farmer_id": str(person.farmer_id), "span": report_pb2.SPAN_HOUR}
    whole, _ = await reports.earnings(**request)
    first, token = await reports.earnings(**request, page_size=4)
    second, token = await reports.earnings(**request, page_size=4, page_token=token)
    third, token = await reports.earnings(**request, page_size=4, page_token=token)
    assert token == ""
    assert [*first, *second, *third] == whole
    some, _ = await reports.earnings(
        **request, start_time=timestamp(whole[5][0]), end_time=timestamp(whole[2][0])
    )
    assert some == whole[3:6]


async def test_bad_fields_are_named(reports: Reports) -> None:
    day = report_pb2.SPAN_DAY
    late = timestamp(datetime(2300, 1, 1, tzinfo=UTC))
    wrong: list[tuple[Any, Any, list[str]]] = [
        (
            reports.stub.ListEarnings,
            report_pb2.ListEarningsRequest(pooler_id="x", page_size=1001, page_token="!"),
            ["pooler_id", "span", "page_size", "page_token"],
        ),
        (
            reports.stub.ListEarnings,
            report_pb2.ListEarningsRequest(pooler_id=UNKNOWN, farmer_id=UNKNOWN, span=day),
            ["farmer_id"],
        ),
        (
            reports.stub.ListEarnings,
            report_pb2.ListEarningsRequest(span=day, start_time=late, end_time=late),
            ["start_time", "end_time"],
        ),
        (
            reports.stub.GetFarmerSummary,
            report_pb2.GetFarmerSummaryRequest(),
            ["farmer_id"],
        ),
        (
            reports.stub.GetFarmerSummary,
            report_pb2.GetFarmerSummaryRequest(farmer_id=UNKNOWN, address=NOBODYS),
            ["address"],
        ),
        (
            reports.stub.GetFarmerSummary,
            report_pb2.GetFarmerSummaryRequest(address="GX"),
            ["address"],
        ),
        (
            reports.stub.GetBlockReport,
            report_pb2.GetBlockReportRequest(block_index=2**31),
            ["block_index"],
        ),
        (reports.stub.GetBlockReport, report_pb2.GetBlockReportRequest(), ["block_index"]),
        (
            reports.stub.ListPoolerBlockReports,
            report_pb2.ListPoolerBlockReportsRequest(page_size=-1),
            ["pooler_id", "page_size"],
        ),
    ]
    for method, request, fields in wrong:
        with pytest.raises(errors.InvalidArgumentError) as caught:
            await call(method, request, timeout=5)
        assert [one.field for one in caught.value.violations] == fields


async def test_reports_of_nobody(reports: Reports) -> None:
    day = report_pb2.SPAN_DAY
    nobodys: list[tuple[Any, Any, str]] = [
        (
            reports.stub.GetPoolerSummary,
            report_pb2.GetPoolerSummaryRequest(pooler_id=UNKNOWN),
            "POOLER",
        ),
        (
            reports.stub.GetFarmerSummary,
            report_pb2.GetFarmerSummaryRequest(farmer_id=UNKNOWN),
            "FARMER",
        ),
        (
            reports.stub.GetFarmerSummary,
            report_pb2.GetFarmerSummaryRequest(address=NOBODYS),
            "FARMER",
        ),
        (
            reports.stub.ListPoolerBlockReports,
            report_pb2.ListPoolerBlockReportsRequest(pooler_id=UNKNOWN),
            "POOLER",
        ),
        (
            reports.stub.ListEarnings,
            report_pb2.ListEarningsRequest(pooler_id=UNKNOWN, span=day),
            "POOLER",
        ),
        (
            reports.stub.ListEarnings,
            report_pb2.ListEarningsRequest(farmer_id=UNKNOWN, span=day),
            "FARMER",
        ),
    ]
    for method, request, who in nobodys:
        with pytest.raises(errors.NotFoundError) as caught:
            await call(method, request, timeout=5)
        assert caught.value.reason == f"{who}_NOT_FOUND"


# Whom farmers' figures are shown to -------------------------------------------------------------


def viewer(kind: CallerKind, name: str) -> Caller:
    """Somebody who asks."""
    return Caller(kind=kind, name=name, identity=f"spiffe://kalepool/{kind.value}/{name}")


async def no_block() -> int | None:
    """No block was ever opened."""
    return None


#: The owner account of the farmers that have one.
ACCOUNT = "G" + "A" * 55


def account_of(farmers: set[str]) -> Callable[[Sequence[str]], Awaitable[set[str]]]:
    """Return what tells that an account speaks for these farmers."""

    async def accounts(ids: Sequence[str]) -> set[str]:
        return {ACCOUNT if one in farmers else "" for one in ids}

    return accounts


async def test_closed_figures_are_for_operators_the_farmers_pooler_and_its_owner(
    database: DatabaseAccess,
) -> None:
    async with (
        connect(database.admin_dsn) as connection,
        open_as(database, "harvest", QUERIES, pool_size=1) as opened,
    ):
        world = PoolWorld(connection)
        pooler, other = [await world.pooler() for _ in range(2)]
        farmer = FarmerId((await world.farmer(pooler)).farmer_id)
        closed = Reporter(
            store=ReportStore(opened),
            current_block=no_block,
            are_farmers_public=False,
            accounts_of_farmers=account_of({str(farmer)}),
        )
        insiders = [
            viewer(CallerKind.OPERATOR, "ann"),
            viewer(CallerKind.OWNER, ACCOUNT),
            viewer(CallerKind.POOLER, str(pooler)),
            viewer(CallerKind.UNKNOWN, "127.0.0.1"),
        ]
        # A service asks for whom it does not say; a pooler's id is no operator's name.
        outsiders = [
            viewer(CallerKind.POOLER, str(other)),
            viewer(CallerKind.OWNER, "another account"),
            viewer(CallerKind.OWNER, str(pooler)),
            viewer(CallerKind.SERVICE, "gateway"),
            viewer(CallerKind.SERVICE, str(pooler)),
        ]
        for insider in insiders:
            found = await closed.farmer(insider, farmer_id=farmer, address="")
            assert found.farmer.farmer_id == farmer
            assert found.blocks.count == 0
        for outsider in outsiders:
            opened_to = replace(closed, are_farmers_public=True)
            assert (await opened_to.farmer(outsider, farmer_id=farmer, address="")).blocks
            for asked in (farmer, FarmerId(new_id())):
                with pytest.raises(errors.PermissionDeniedError) as caught:
                    await closed.farmer(outsider, farmer_id=asked, address="")
                assert caught.value.reason == "FARMER_PAGES_CLOSED"
        with pytest.raises(errors.NotFoundError):
            await closed.farmer(insiders[0], farmer_id=FarmerId(new_id()), address="")
