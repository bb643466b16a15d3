"""work over real gRPC and PostgreSQL, with a wallet that settles at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
from kalepool.common.v1 import common_pb2
from kalepool.work.v1 import work_pb2, work_pb2_grpc
from pydantic import SecretStr

from libs.common import errors, failpoints
from libs.common.db.queries import load_queries
from libs.common.grpc.client import call, open_channel
from libs.common.ids import new_id
from libs.kale.address import raw_key
from libs.kale.hash import leading_zeros, work_hash
from services.work.app import open_app
from services.work.config import WorkSettings
from services.work.store.store import QUERIES
from tests.support.database import DatabaseAccess, connect
from tests.support.fake_wallet import GAP, FakeWallet, fake_wallet
from tests.support.pool_world import ENTROPY, Person, PoolWorld

BLOCK = 41
MAX_NONCE = 2**64 - 1


def zeros_of(person: Person, nonce: int) -> int:
    """Leading zeros of a farmer's nonce in the block."""
    key = raw_key(person.address)
    return leading_zeros(work_hash(index=BLOCK, nonce=nonce, entropy=ENTROPY, farmer_key=key))


def nonce_with(person: Person, zeros: int, *, after: int = 0) -> int:
    """A nonce with just so many zeros."""
    nonce = after
    while zeros_of(person, nonce) != zeros:
        nonce += 1
    return nonce


@dataclass(frozen=True, kw_only=True)
class Work:
    """A running work service and what is around it."""

    stub: "work_pb2_grpc.WorkServiceAsyncStub"
    world: PoolWorld
    wallet: FakeWallet
    pooler: UUID
    database: DatabaseAccess

    async def submit(
        self, *nonces: tuple[UUID, int], request_id: str = "", timestamp: int = 0
    ) -> work_pb2.SubmitWorkResponse:
        """Calls SubmitWork."""
        request = work_pb2.SubmitWorkRequest(
            block_index=BLOCK,
            pooler_id=str(self.pooler),
            request_id=request_id,
            submissions=[
                work_pb2.Submission(farmer_id=str(farmer), nonce=nonce, timestamp=timestamp)
                for farmer, nonce in nonces
            ],
        )
        return await call(self.stub.SubmitWork, request, timeout=20)

    async def planter(self) -> Person:
        """A farmer who has planted."""
        person = await self.world.farmer(self.pooler)
        await self.world.planted(self.pooler, person, BLOCK)
        return person


@pytest.fixture
async def work(database: DatabaseAccess) -> AsyncIterator[Work]:
    """work in block 41."""
    async with (
        connect(database.admin_dsn) as connection,
        fake_wallet(database.admin_dsn) as (wallet, target),
    ):
        world = PoolWorld(connection)
        settings = WorkSettings(
            transport="plaintext",
            port=0,
            database_url=SecretStr(database.dsn("work")),
            wallet_target=target,
            max_batch_size=2,
            api_rate_limit=0,
            shutdown_grace_ms=100,
            recovery_seconds=0.3,
        )
        async with (
            open_app(settings) as running,
            open_channel(f"127.0.0.1:{running.port}") as channel,
        ):
            await world.head(current=BLOCK)
            yield Work(
                stub=work_pb2_grpc.WorkServiceStub(channel),
                world=world,
                wallet=wallet,
                pooler=await world.pooler(),
                database=database,
            )


def reasons(answer: work_pb2.SubmitWorkResponse) -> list[str]:
    """The reason of each verdict, without its prefix."""
    return [
        common_pb2.FailureReason.Name(verdict.reason).removeprefix("FAILURE_REASON_")
        for verdict in answer.verdicts
    ]


async def test_the_best_nonce_of_each_farmer_is_sent(work: Work) -> None:
    one, two = await work.planter(), await work.planter()
    weak, strong = nonce_with(one, 0), nonce_with(one, 2)
    answer = await work.submit(
        (one.farmer_id, weak), (one.farmer_id, strong), (two.farmer_id, MAX_NONCE)
    )
    assert [verdict.status for verdict in answer.verdicts] == [
        work_pb2.VERDICT_STATUS_SURPASSED,
        work_pb2.VERDICT_STATUS_WORKED,
        work_pb2.VERDICT_STATUS_WORKED,
    ]
    assert (answer.total_submissions, answer.valid_nonces, answer.submitted_work) == (3, 3, 2)
    best = answer.verdicts[1]
    assert (best.zeros, best.gap) == (2, GAP)
    assert best.hash == work_hash(
        index=BLOCK, nonce=strong, entropy=ENTROPY, farmer_key=raw_key(one.address)
    )
    assert answer.total_rewards == sum(verdict.estimated_reward for verdict in answer.verdicts)
    assert 0 < answer.total_rewards <= 25_050_000_000
    assert await work.world.count("work.works", "nonce = 18446744073709551615") == 1


async def test_no_zeros_are_a_legal_work(work: Work) -> None:
    person = await work.planter()
    answer = await work.submit((person.farmer_id, nonce_with(person, 0)))
    assert answer.submitted_work == 1
    assert answer.verdicts[0].zeros == 0


async def test_why_nonces_are_rejected(work: Work) -> None:
    person = await work.planter()
    idle = await work.world.farmer(work.pooler)
    other = await work.world.farmer(await work.world.pooler())
    nonce = nonce_with(person, 1)
    answer = await work.submit(
        (person.farmer_id, nonce),
        (person.farmer_id, nonce),
        (idle.farmer_id, 1),
        (other.farmer_id, 1),
        (new_id(), 1),
    )
    assert reasons(answer) == [
        "UNSPECIFIED",
        "REPEATED_NONCE",
        "NOT_PLANTED",
        "UNKNOWN_FARMER",
        "UNKNOWN_FARMER",
    ]
    assert (answer.valid_nonces, answer.submitted_work) == (1, 1)


async def test_only_better_nonces_follow(work: Work) -> None:
    person = await work.planter()
    first = nonce_with(person, 1)
    assert (await work.submit((person.farmer_id, first))).submitted_work == 1
    equal = nonce_with(person, 1, after=first + 1)
    answer = await work.submit((person.farmer_id, equal), (person.farmer_id, first))
    assert reasons(answer) == ["ZEROS_TOO_LOW", "REPEATED_NONCE"]
    better = await work.submit((person.farmer_id, nonce_with(person, 2)))
    assert better.submitted_work == 1
    assert await work.world.count("work.works", "status = 'success'") == 2


async def test_a_refusal_that_stands_is_one_event_however_often_it_is_asked(work: Work) -> None:
    person = await work.planter()
    nonce = nonce_with(person, 1)
    work.wallet.faults.failing[person.farmer_id] = "FEE_CAP"
    work.wallet.faults.lasting = True
    for number in range(20):
        answer = await work.submit((person.farmer_id, nonce), request_id=f"try {number}")
        assert reasons(answer) == ["FEE_CAP"]
    assert await work.world.count("work.works") == 1


async def test_a_failed_work_may_be_sent_again(work: Work) -> None:
    person = await work.planter()
    nonce = nonce_with(person, 1)
    work.wallet.faults.failing[person.farmer_id] = "EXPIRED"
    answer = await work.submit((person.farmer_id, nonce))
    assert answer.verdicts[0].status == work_pb2.VERDICT_STATUS_FAILED
    assert reasons(answer) == ["EXPIRED"]
    work.wallet.faults.failing.clear()
    again = await work.submit((person.farmer_id, nonce), request_id="again")
    assert again.submitted_work == 1


@pytest.mark.parametrize(
    ("offset_ms", "reason"), [(-600_000, "TIMESTAMP"), (600_000, "TIMESTAMP"), (0, "UNSPECIFIED")]
)
async def test_a_nonce_is_of_its_block(work: Work, offset_ms: int, reason: str) -> None:
    person = await work.planter()
    found_at = int(time.time() * 1000) + offset_ms
    answer = await work.submit((person.farmer_id, 5), timestamp=found_at)
    assert reasons(answer) == [reason]


async def test_the_same_call_works_once(work: Work) -> None:
    people = [await work.planter() for _ in range(3)]
    nonces = [(person.farmer_id, 7) for person in people]
    answers = await asyncio.gather(*(work.submit(*nonces) for _ in range(4)))
    assert all(answer.verdicts == answers[0].verdicts for answer in answers)
    assert await work.world.count("wallet.operations") == 3
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await work.submit((people[0].farmer_id, 1), request_id="mine")
        await work.submit((people[0].farmer_id, 2), request_id="mine")
    assert caught.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("point", ["planned", "settled", "recorded"])
async def test_a_cut_off_batch_is_completed(work: Work, point: str) -> None:
    person = await work.planter()
    failpoints.arm(f"work.batch.{point}@1=raise")
    try:
        with pytest.raises(errors.InternalError):
            await work.submit((person.farmer_id, 7))
        for _ in range(50):
            if await work.world.count("work.batches", "completed_at IS NOT NULL"):
                break
            await asyncio.sleep(0.1)
    finally:
        failpoints.arm("")
    assert (await work.submit((person.farmer_id, 7))).submitted_work == 1
    assert await work.world.count("work.works") == 1


async def test_a_current_block_of_which_wallet_has_no_row_cannot_be_worked(work: Work) -> None:
    person = await work.world.farmer(work.pooler)
    await work.world.connection.execute("DELETE FROM chain.blocks WHERE index = $1", BLOCK)
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await work.submit((person.farmer_id, 7))
    assert caught.value.reason == "WRONG_BLOCK"


async def test_the_wrong_block_is_told_with_the_right_one(work: Work) -> None:
    person = await work.planter()
    await work.world.head(current=BLOCK + 1)
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await work.submit((person.farmer_id, 7))
    assert caught.value.reason == "WRONG_BLOCK"
    assert caught.value.metadata["current_block"] == str(BLOCK + 1)


async def test_all_bad_fields_are_named_at_once(work: Work) -> None:
    request = work_pb2.SubmitWorkRequest(
        block_index=2**31,
        pooler_id="x",
        submissions=[work_pb2.Submission(farmer_id="y", nonce=1, timestamp=-1)],
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(work.stub.SubmitWork, request, timeout=5)
    assert [one.field for one in caught.value.violations] == [
        "block_index",
        "pooler_id",
        "submissions[0].farmer_id",
        "submissions[0].timestamp",
    ]
    empty = work_pb2.SubmitWorkRequest(block_index=1, pooler_id=str(work.pooler))
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(work.stub.SubmitWork, empty, timeout=5)
    assert caught.value.violations[0].field == "submissions"
    request = work_pb2.SubmitWorkRequest(
        block_index=BLOCK,
        pooler_id=str(new_id()),
        submissions=[work_pb2.Submission(farmer_id=str(new_id()), nonce=0)],
    )
    with pytest.raises(errors.NotFoundError):
        await call(work.stub.SubmitWork, request, timeout=5)


async def test_a_block_or_a_nonce_that_was_forgotten_is_not_0(work: Work) -> None:
    person = await work.planter()
    request = work_pb2.SubmitWorkRequest(
        pooler_id=str(work.pooler),
        submissions=[
            work_pb2.Submission(farmer_id=str(person.farmer_id), nonce=0),
            work_pb2.Submission(farmer_id=str(person.farmer_id)),
        ],
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(work.stub.SubmitWork, request, timeout=5)
    assert [(one.field, one.description) for one in caught.value.violations] == [
        ("block_index", "is required"),
        ("submissions[1].nonce", "is required"),
    ]
    # A nonce of 0 that is sent is one like any other.
    request.block_index = BLOCK
    del request.submissions[1]
    answer = await call(work.stub.SubmitWork, request, timeout=20)
    assert (answer.total_submissions, answer.valid_nonces) == (1, 1)
    assert answer.verdicts[0].nonce == 0


async def test_works_are_listed_and_append_only(work: Work) -> None:
    people = [await work.planter() for _ in range(3)]
    await work.submit(*((person.farmer_id, 7) for person in people))
    request = work_pb2.ListWorksRequest(pooler_id=str(work.pooler), page_size=2)
    page = await call(work.stub.ListWorks, request, timeout=5)
    request.page_token = page.next_page_token
    rest = await call(work.stub.ListWorks, request, timeout=5)
    seen = {one.farmer_id for one in (*page.works, *rest.works)}
    assert seen == {str(person.farmer_id) for person in people}
    assert not rest.next_page_token
    async with connect(work.database.dsn("work")) as own:
        for statement in ("UPDATE work.works SET zeros = 9", "DELETE FROM work.works"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await own.execute(statement)


@pytest.mark.parametrize("count", [1_000, 10_000])
async def test_many_bad_submissions_are_told_as_such(work: Work, count: int) -> None:
    request = work_pb2.SubmitWorkRequest(
        block_index=BLOCK,
        pooler_id=str(work.pooler),
        submissions=[work_pb2.Submission(farmer_id="x", nonce=0)] * count,
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(work.stub.SubmitWork, request, timeout=5)
    fields = [one.field for one in caught.value.violations]
    assert fields == [f"submissions[{number}].farmer_id" for number in range(len(fields))]
    assert len(fields) > 50
    assert f"and {count - len(fields)} more" in caught.value.violations[-1].description


async def test_more_submissions_than_one_call_may_have(work: Work) -> None:
    person = await work.planter()
    request = work_pb2.SubmitWorkRequest(
        block_index=BLOCK,
        pooler_id=str(work.pooler),
        submissions=[work_pb2.Submission(farmer_id=str(person.farmer_id), nonce=0)] * 10_001,
    )
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await call(work.stub.SubmitWork, request, timeout=5)
    assert [one.field for one in caught.value.violations] == ["submissions"]


async def test_lists_of_nobody(work: Work) -> None:
    unknown = str(new_id())
    for request in (
        work_pb2.ListWorksRequest(pooler_id=unknown),
        work_pb2.ListWorksRequest(pooler_id=str(work.pooler), farmer_id=unknown),
    ):
        with pytest.raises(errors.NotFoundError):
            await call(work.stub.ListWorks, request, timeout=5)


async def test_what_was_sent_is_found_without_reading_the_history(work: Work) -> None:
    connection = work.world.connection
    await connection.execute(
        "INSERT INTO work.batches (id, request_id, pooler_id, block_index, digest, completed_at) "
        "SELECT gen_random_uuid(), 'r' || b, $1, b, '', now() FROM generate_series(1000, 9999) b",
        work.pooler,
    )
    await connection.execute("ANALYZE work.batches")
    person = await work.planter()
    sql = load_queries(*QUERIES)["farmers"].sql
    plan = await connection.fetch(f"EXPLAIN {sql}", work.pooler, BLOCK, [person.farmer_id])
    assert [row for row in plan if "idx_batches_block_pooler" in row[0]], plan
