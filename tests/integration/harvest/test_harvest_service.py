"""harvest over real gRPC and PostgreSQL, with a wallet that settles at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from kalepool.harvest.v1 import (
    harvest_pb2,
    harvest_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    miner_pb2,
    miner_pb2_grpc,
)
from kalepool.wallet.v1 import wallet_pb2
from pydantic import SecretStr

from libs.common import errors, failpoints
from libs.common.grpc.client import call, open_channel
from libs.common.ids import new_id
from services.harvest.app import open_app
from services.harvest.config import HarvestSettings
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_pool import new_address
from tests.support.fake_wallet import REWARD, STAKE_RETURNED, FakeWallet, fake_wallet
from tests.support.ledger_world import LedgerWorld
from tests.support.pool_world import Person, PoolWorld, eventually

BLOCK = 41


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """A running harvest service and what is around it."""

    stub: "harvest_pb2_grpc.HarvestServiceAsyncStub"
    ledger: "ledger_pb2_grpc.LedgerServiceAsyncStub"
    miners: "miner_pb2_grpc.MinerCreditServiceAsyncStub"
    world: PoolWorld
    wallet: FakeWallet
    pooler: UUID
    database: DatabaseAccess

    async def harvest(
        self, *, request_id: str = "", block: int = BLOCK
    ) -> harvest_pb2.HarvestResponse:
        """Calls Harvest."""
        request = harvest_pb2.HarvestRequest(
            block_index=block, pooler_id=str(self.pooler), request_id=request_id
        )
        return await call(self.stub.Harvest, request, timeout=20)

    async def worker(self, block: int = BLOCK) -> Person:
        """A farmer who has worked."""
        person = await self.world.farmer(self.pooler)
        await self.world.worked(self.pooler, person, block)
        return person

    async def balance(self, person: Person) -> harvest_pb2.GetBalanceResponse:
        """Calls GetBalance."""
        request = harvest_pb2.GetBalanceRequest(farmer_id=str(person.farmer_id))
        return await call(self.stub.GetBalance, request, timeout=5)


@asynccontextmanager
async def running_harvest(
    database: DatabaseAccess, *, sweep: float, patience: float
) -> AsyncIterator[Harvest]:
    """harvest with block 41 closed, sweeping every so many seconds."""
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
            max_batch_size=2,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            recovery_seconds=0.3,
            bookkeeping_seconds=0.1,
            deposit_seconds=0.1,
            deposit_settle_seconds=0.2,
            harvest_sweep_seconds=sweep,
            harvest_patience_seconds=patience,
        )
        async with (
            open_app(settings) as running,
            open_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            await world.head(current=BLOCK + 1)
            yield Harvest(
                stub=harvest_pb2_grpc.HarvestServiceStub(channel),
                ledger=ledger_pb2_grpc.LedgerServiceStub(channel),
                miners=miner_pb2_grpc.MinerCreditServiceStub(channel),
                world=world,
                wallet=wallet,
                pooler=await world.pooler(),
                database=database,
            )


@pytest.fixture
async def harvest(database: DatabaseAccess) -> AsyncIterator[Harvest]:
    """harvest whose sweep is left to HarvestPending."""
    async with running_harvest(database, sweep=0, patience=20) as running:
        yield running


@pytest.fixture
async def sweeping(database: DatabaseAccess) -> AsyncIterator[Harvest]:
    """harvest that sweeps by itself."""
    async with running_harvest(database, sweep=0.2, patience=1) as running:
        yield running


async def test_a_refusal_that_stands_is_one_event_and_sweeps_wait_ever_longer(
    sweeping: Harvest,
) -> None:
    # The sweep takes up who has worked at once, so they are refused from the start.
    people = [await sweeping.world.farmer(sweeping.pooler) for _ in range(2)]
    sweeping.wallet.faults.failing = {one.farmer_id: "FEE_CAP" for one in people}
    sweeping.wallet.faults.lasting = True
    for one in people:
        await sweeping.world.worked(sweeping.pooler, one, BLOCK)
    for number in range(5):
        answer = await sweeping.harvest(request_id=f"try {number}")
        assert (answer.successful_harvests, answer.failed_harvests) == (0, 2)
    assert await sweeping.world.count("harvest.harvests") == 2
    # Each try counts, by whomever, so that the next sweep of it is 32 pauses away.
    assert await sweeping.world.count("harvest.pending", "failures >= 5") == 2
    assert await sweeping.world.count("harvest.batches") < 20


async def test_who_worked_is_paid_and_booked(harvest: Harvest) -> None:
    people = [await harvest.worker() for _ in range(3)]
    idle = await harvest.world.farmer(harvest.pooler)
    answer = await harvest.harvest()
    assert (answer.total_eligible, answer.successful_harvests) == (3, 3)
    assert answer.total_rewards == 3 * REWARD
    assert {one.stake_returned for one in answer.harvests} == {STAKE_RETURNED}
    for person in people:
        balance = await harvest.balance(person)
        assert (balance.current_balance, balance.total_rewards, balance.harvests) == (
            REWARD,
            REWARD,
            1,
        )
    assert (await harvest.balance(idle)).current_balance == 0


async def test_the_same_call_pays_once(harvest: Harvest) -> None:
    person = await harvest.worker()
    answers = await asyncio.gather(*(harvest.harvest() for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    # Another request for the same block finds nothing left.
    assert (await harvest.harvest(request_id="other")).total_eligible == 0
    assert (await harvest.balance(person)).current_balance == REWARD
    assert await harvest.world.count("wallet.operations") == 1


async def test_two_requests_at_once_join_one_operation(harvest: Harvest) -> None:
    person = await harvest.worker()
    harvest.wallet.faults.unavailable = 1
    answers = await asyncio.gather(
        *(harvest.harvest(request_id=f"r{number}") for number in range(3))
    )
    assert {answer.successful_harvests for answer in answers} <= {0, 1}
    assert max(answer.successful_harvests for answer in answers) == 1
    assert (await harvest.balance(person)).current_balance == REWARD
    assert await harvest.world.count("harvest.harvests") == 1


@pytest.mark.parametrize("point", ["planned", "settled", "recorded"])
async def test_a_cut_off_batch_is_completed(harvest: Harvest, point: str) -> None:
    person = await harvest.worker()
    failpoints.arm(f"harvest.batch.{point}@1=raise")
    try:
        with pytest.raises(errors.InternalError):
            await harvest.harvest()
        for _ in range(50):
            if await harvest.world.count("harvest.batches", "completed_at IS NOT NULL"):
                break
            await asyncio.sleep(0.1)
    finally:
        failpoints.arm("")
    assert (await harvest.harvest()).successful_harvests == 1
    assert (await harvest.balance(person)).current_balance == REWARD


async def test_a_block_must_be_closed(harvest: Harvest) -> None:
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await harvest.harvest(block=BLOCK + 1)
    assert caught.value.reason == "BLOCK_NOT_CLOSED"
    assert caught.value.metadata["current_block"] == str(BLOCK + 1)


async def test_nothing_is_harvested_before_a_block_was_opened(harvest: Harvest) -> None:
    await harvest.worker(0)
    await harvest.world.connection.execute("UPDATE chain.head SET current_block = NULL")
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await harvest.harvest(block=0)
    assert caught.value.reason == "BLOCK_NOT_CLOSED"
    assert caught.value.metadata["current_block"] == ""
    request = harvest_pb2.HarvestPendingRequest(pooler_id=str(harvest.pooler))
    answer = await call(harvest.stub.HarvestPending, request, timeout=10)
    assert answer == harvest_pb2.HarvestPendingResponse()


async def test_pending_sweeps_the_earliest_first_and_tries_failures_again(
    harvest: Harvest,
) -> None:
    late = await harvest.worker(BLOCK)
    early = await harvest.worker(BLOCK - 3)
    unlucky = await harvest.worker(BLOCK - 1)
    harvest.wallet.faults.failing[unlucky.farmer_id] = "EXPIRED"
    request = harvest_pb2.HarvestPendingRequest(pooler_id=str(harvest.pooler))
    answer = await call(harvest.stub.HarvestPending, request, timeout=20)
    assert [block.block_index for block in answer.blocks] == [BLOCK - 3, BLOCK - 1, BLOCK]
    assert (answer.total_rewards, answer.still_pending) == (2 * REWARD, 1)
    harvest.wallet.faults.failing.clear()
    answer = await call(harvest.stub.HarvestPending, request, timeout=20)
    assert [block.block_index for block in answer.blocks] == [BLOCK - 1]
    assert answer.still_pending == 0
    for person in (late, early, unlucky):
        assert (await harvest.balance(person)).current_balance == REWARD


@pytest.mark.parametrize("reason", ["NOT_PLANTED", "NOT_WORKED", "BLOCK_EXPIRED"])
async def test_what_is_in_vain_is_tried_once(harvest: Harvest, reason: str) -> None:
    person = await harvest.worker()
    harvest.wallet.faults.failing[person.farmer_id] = reason
    request = harvest_pb2.HarvestPendingRequest()
    answer = await call(harvest.stub.HarvestPending, request, timeout=20)
    assert (answer.blocks[0].failed_harvests, answer.still_pending) == (1, 0)
    answer = await call(harvest.stub.HarvestPending, request, timeout=20)
    assert not answer.blocks


async def test_bad_fields_and_unknown_ids(harvest: Harvest) -> None:
    bad = harvest_pb2.HarvestRequest(block_index=2**31, pooler_id="x", request_id="\n")
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(harvest.stub.Harvest, bad, timeout=5)
    fields = [one.field for one in caught.value.violations]
    assert fields == ["block_index", "pooler_id", "request_id"]
    with pytest.raises(errors.InvalidArgumentError, match="block_index is required"):
        forgotten = harvest_pb2.HarvestRequest(pooler_id=str(harvest.pooler))
        await call(harvest.stub.Harvest, forgotten, timeout=5)
    unknown = str(new_id())
    with pytest.raises(errors.NotFoundError):
        request = harvest_pb2.HarvestRequest(block_index=1, pooler_id=unknown)
        await call(harvest.stub.Harvest, request, timeout=5)
    with pytest.raises(errors.NotFoundError):
        sweep = harvest_pb2.HarvestPendingRequest(pooler_id=unknown)
        await call(harvest.stub.HarvestPending, sweep, timeout=5)
    with pytest.raises(errors.NotFoundError):
        await call(
            harvest.stub.GetBalance,
            harvest_pb2.GetBalanceRequest(farmer_id=unknown),
            timeout=5,
        )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        sweep = harvest_pb2.HarvestPendingRequest(max_blocks=1001)
        await call(harvest.stub.HarvestPending, sweep, timeout=5)
    assert caught.value.violations[0].field == "max_blocks"


async def test_pages_of_harvests_hold_each_once(harvest: Harvest) -> None:
    for block in (BLOCK - 1, BLOCK):
        for _ in range(3):
            await harvest.worker(block)
        await harvest.harvest(block=block)
    seen: list[tuple[int, str]] = []
    token = ""
    while True:
        request = harvest_pb2.ListHarvestsRequest(
            pooler_id=str(harvest.pooler), page_size=4, page_token=token
        )
        page = await call(harvest.stub.ListHarvests, request, timeout=5)
        seen += [(one.block_index, one.farmer_id) for one in page.harvests]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 6


async def test_harvests_are_append_only(harvest: Harvest) -> None:
    await harvest.worker()
    await harvest.harvest()
    async with connect(harvest.database.dsn("harvest")) as own:
        for statement in (
            "UPDATE harvest.harvests SET reward_amount = 1",
            "DELETE FROM harvest.harvests",
            "DELETE FROM harvest.balances",
            "UPDATE plant.plantings SET stake_amount = 1",
            "SELECT 1 FROM wallet.sealed_keys",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await harvest.world.connection.execute("DELETE FROM harvest.harvests")


async def test_the_ledger_is_kept_shown_and_adds_up(harvest: Harvest) -> None:
    people = person, _ = [await harvest.worker() for _ in range(2)]
    for one in people:
        await harvest.world.settled(one, BLOCK, "plant", amount=STAKE_RETURNED, fee_charged=3)
    await harvest.harvest()
    # A harvest, a plant and its cost for each.

    async def is_booked() -> bool:
        return await harvest.world.count("harvest.journals") == 6

    await eventually(is_booked)
    request = ledger_pb2.ListJournalsRequest(farmer_id=str(person.farmer_id), page_size=1)
    kinds = []
    while True:
        page = await call(harvest.ledger.ListJournals, request, timeout=5)
        kinds += [one.kind for one in page.journals]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(kinds) == [ledger_pb2.JOURNAL_KIND_HARVEST, ledger_pb2.JOURNAL_KIND_PLANT]
    have = {one.role: (one.asset, one.amount) for one in page.accounts}
    assert have == {
        "farmer:available": (ledger_pb2.LEDGER_ASSET_KALE, REWARD),
        "farmer:staked": (ledger_pb2.LEDGER_ASSET_KALE, 0),
    }
    checked = await call(harvest.ledger.CheckLedger, ledger_pb2.CheckLedgerRequest(), timeout=5)
    assert (checked.journals, list(checked.differences), list(checked.overdrawn)) == (6, [], [])
    status = await call(
        harvest.ledger.GetLedgerStatus, ledger_pb2.GetLedgerStatusRequest(), timeout=5
    )
    assert (list(status.warnings), status.HasField("checked_at")) == ([], False)
    request = ledger_pb2.ListJournalsRequest(farmer_id=str(new_id()))
    with pytest.raises(errors.NotFoundError):
        await call(harvest.ledger.ListJournals, request, timeout=5)


async def test_it_sweeps_by_itself_and_a_defect_does_not_end_that(sweeping: Harvest) -> None:
    failpoints.arm("harvest.batch.planned@1=raise")
    try:
        await sweeping.worker(BLOCK - 1)
        await eventually(lambda: sweeping.world.count("harvest.harvests"))
    finally:
        failpoints.arm("")
    later = await sweeping.worker(BLOCK)
    await eventually(lambda: sweeping.world.count("harvest.harvests", f"block_index = {BLOCK}"))
    assert (await sweeping.balance(later)).current_balance == REWARD


async def test_a_harvest_that_does_not_end_keeps_no_other_waiting(sweeping: Harvest) -> None:
    stuck = await sweeping.world.farmer(sweeping.pooler)
    sweeping.wallet.faults.stuck.add(stuck.farmer_id)
    await sweeping.world.worked(sweeping.pooler, stuck, BLOCK - 1)
    other = await sweeping.worker(BLOCK)
    await eventually(lambda: sweeping.world.count("harvest.harvests", f"block_index = {BLOCK}"))
    assert (await sweeping.balance(other)).current_balance == REWARD
    await asyncio.sleep(2)
    # It is on the way, so no sweep asks for it again; yet it is still open.
    assert await sweeping.world.count("harvest.batches", "completed_at IS NULL") == 1
    request = harvest_pb2.HarvestPendingRequest(pooler_id=str(sweeping.pooler))
    answer = await call(sweeping.stub.HarvestPending, request, timeout=10)
    assert (len(answer.blocks), answer.still_pending) == (0, 1)
    sweeping.wallet.faults.stuck.clear()
    await eventually(lambda: sweeping.world.count("harvest.harvests", f"block_index = {BLOCK - 1}"))
    assert (await sweeping.balance(stuck)).current_balance == REWARD


async def test_a_harvest_that_takes_too_long_is_left_out_of_the_answer(
    database: DatabaseAccess,
) -> None:
    async with running_harvest(database, sweep=0, patience=1) as harvest:
        stuck, paid = await harvest.worker(BLOCK - 1), await harvest.worker(BLOCK)
        harvest.wallet.faults.stuck.add(stuck.farmer_id)
        request = harvest_pb2.HarvestPendingRequest(pooler_id=str(harvest.pooler))
        answer = await call(harvest.stub.HarvestPending, request, timeout=10)
        assert [block.block_index for block in answer.blocks] == [BLOCK]
        assert (answer.total_rewards, answer.still_pending) == (REWARD, 1)
        assert (await harvest.balance(paid)).current_balance == REWARD


async def test_still_pending_counts_what_a_short_sweep_has_left(harvest: Harvest) -> None:
    for block in (BLOCK - 2, BLOCK - 1, BLOCK):
        await harvest.worker(block)
    request = harvest_pb2.HarvestPendingRequest(max_blocks=1)
    answer = await call(harvest.stub.HarvestPending, request, timeout=10)
    assert ([block.block_index for block in answer.blocks], answer.still_pending) == (
        [BLOCK - 2],
        2,
    )


async def test_two_first_harvests_make_one_partition(harvest: Harvest) -> None:
    """Held up until both want it: with the table read before, each would wait for the other."""
    await harvest.worker(BLOCK - 1)
    await harvest.worker(BLOCK)
    async with harvest.world.connection.transaction():
        lock = "LOCK TABLE harvest.harvests IN SHARE UPDATE EXCLUSIVE MODE"
        await harvest.world.connection.execute(lock)
        answers = asyncio.gather(*(harvest.harvest(block=block) for block in (BLOCK - 1, BLOCK)))
        waiting = "mode = 'ShareUpdateExclusiveLock' AND NOT granted"
        await eventually(lambda: both(harvest.world.count("pg_locks", waiting)))
    assert [answer.successful_harvests for answer in await answers] == [1, 1]


async def both(count: Awaitable[int]) -> bool:
    """Whether two are counted."""
    return await count == 2


async def test_one_request_id_for_many_blocks_at_once_stands_for_one(harvest: Harvest) -> None:
    answers = await asyncio.gather(
        *(harvest.harvest(block=block, request_id="mine") for block in range(30, BLOCK)),
        return_exceptions=True,
    )
    refused = [one.reason for one in answers if isinstance(one, errors.PoolError)]
    assert refused == ["REQUEST_ID_REUSED"] * (len(answers) - 1)


async def test_lists_of_nobody(harvest: Harvest) -> None:
    unknown = str(new_id())
    for request in (
        harvest_pb2.ListHarvestsRequest(pooler_id=unknown),
        harvest_pb2.ListHarvestsRequest(pooler_id=str(harvest.pooler), farmer_id=unknown),
    ):
        with pytest.raises(errors.NotFoundError):
            await call(harvest.stub.ListHarvests, request, timeout=5)


def told(harvest: Harvest, block: int = BLOCK, **points: int) -> miner_pb2.CreditMinersRequest:
    """Make a request that tells of some miners."""
    return miner_pb2.CreditMinersRequest(
        pooler_id=str(harvest.pooler),
        block_index=block,
        miners=[miner_pb2.MinerPoints(address=one, points=part) for one, part in points.items()],
    )


async def test_miners_are_credited_also_what_is_harvested_later(harvest: Harvest) -> None:
    await LedgerWorld(world=harvest.world, database=cast(Any, None), pooler=harvest.pooler).agree(
        5000, 0, 5000
    )
    one, two = new_address(), new_address()
    await harvest.worker()
    request = told(harvest, **{one: 3, two: 1})
    answer = await call(harvest.miners.CreditMiners, request, timeout=5)
    assert (answer.is_complete, answer.pot, answer.divided) == (True, 0, 0)
    await harvest.harvest()

    async def credits_of(address: str) -> miner_pb2.GetMinerCreditsResponse:
        asked = miner_pb2.GetMinerCreditsRequest(pooler_id=str(harvest.pooler), address=address)
        return await call(harvest.miners.GetMinerCredits, asked, timeout=5)

    async def is_divided() -> bool:
        return (await credits_of(one)).unpaid > 0

    await eventually(is_divided)
    pot = REWARD // 2 // 2
    found = await credits_of(two)
    (credit,) = found.credits
    assert (credit.block_index, credit.points, credit.block_points) == (BLOCK, 1, 4)
    assert (credit.pot, credit.amount, found.unpaid) == (pot, pot // 4, pot // 4)
    # To be told again changes nothing, and tells how far the block is.
    answer = await call(harvest.miners.CreditMiners, request, timeout=5)
    assert (answer.pot, answer.divided) == (pot, pot)
    with pytest.raises(errors.AlreadyExistsError) as other:
        await call(harvest.miners.CreditMiners, told(harvest, **{one: 4}), timeout=5)
    assert other.value.reason == "MINERS_TOLD"


async def test_of_which_blocks_miners_are_told(harvest: Harvest) -> None:
    address = new_address()
    for block, reason in ((BLOCK + 1, "BLOCK_NOT_CLOSED"), (BLOCK - 1, "BLOCK_NOT_FARMED")):
        with pytest.raises(errors.PoolError) as refused:
            await call(harvest.miners.CreditMiners, told(harvest, block, **{address: 1}), timeout=5)
        assert refused.value.reason == reason
    beyond = told(harvest, **{address: 1})
    beyond.chunk, beyond.chunks = 3, 2
    with pytest.raises(errors.InvalidArgumentError):
        await call(harvest.miners.CreditMiners, beyond, timeout=5)
    asked = miner_pb2.GetMinerCreditsRequest(pooler_id=str(harvest.pooler), address=address)
    with pytest.raises(errors.NotFoundError) as unknown:
        await call(harvest.miners.GetMinerCredits, asked, timeout=5)
    assert unknown.value.reason == "MINER_UNKNOWN"


async def test_what_came_from_outside_is_booked(harvest: Harvest) -> None:
    person = await harvest.world.farmer(harvest.pooler)
    held = wallet_pb2.Holding(
        farmer_id=str(person.farmer_id), pooler_id=str(harvest.pooler), kale=77, ledger=9
    )
    harvest.wallet.holdings = [held]

    async def is_booked() -> bool:
        return await harvest.world.count("harvest.journals", "kind = 'deposit'") == 1

    await eventually(is_booked)
    request = ledger_pb2.ListJournalsRequest(farmer_id=held.farmer_id)
    found = await call(harvest.ledger.ListJournals, request, timeout=5)
    assert [(one.role, one.amount) for one in found.accounts] == [("farmer:available", 77)]
    assert [one.kind for one in found.journals] == [ledger_pb2.JOURNAL_KIND_DEPOSIT]
