"""Days are closed once, whoever dies meanwhile; statements of them are sound, to the stroop."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from uuid import UUID

import asyncpg
import pytest
from kalepool.harvest.v1 import ledger_pb2, statement_pb2

from libs.common import errors, failpoints
from libs.common.db.queries import load_queries
from libs.common.grpc.client import call
from libs.kale.statements.checking import check
from libs.kale.statements.lines import moved
from libs.kale.statements.roots import NO_RECORD, broken_at, day_text, days_of, month_of
from services.harvest.domain.errors import NothingBookedError
from services.harvest.domain.statements import ClosingState
from services.harvest.store.statements import QUERIES, StatementStore
from tests.support.database import DatabaseAccess
from tests.support.fake_wallet import LEDGER
from tests.support.ledger_world import book, open_ledger
from tests.support.statement_world import BLOCK, Chain, Service, World, leave, running

FAILPOINTS = [
    "harvest.closing.closed",
    "harvest.closing.history",
    "harvest.closing.histories",
    "harvest.closing.rooted",
    "harvest.closing.published",
]


@pytest.fixture
async def world(database: DatabaseAccess) -> AsyncIterator[World]:
    """A ledger in which nothing is booked yet."""
    async with open_ledger(database) as pool:
        yield World(pool=pool, store=StatementStore(pool.database), chain=Chain())


@pytest.mark.parametrize(
    ("state", "due"),
    [
        (ClosingState(today=100, seconds=59, closed=98, has_past=True), None),
        (ClosingState(today=100, seconds=60, closed=98, has_past=True), 99),
        (ClosingState(today=100, seconds=60, closed=99, has_past=True), None),
        (ClosingState(today=100, seconds=60, closed=100, has_past=True), None),
        (ClosingState(today=100, seconds=60, closed=None, has_past=True), 99),
        (ClosingState(today=100, seconds=60, closed=None, has_past=False), None),
        (ClosingState(today=100, seconds=60, closed=None, has_past=None), None),
        (ClosingState(today=100, seconds=60, closed=90, has_past=True), 99),
    ],
)
def test_a_day_is_closed_soon_after_its_end(state: ClosingState, due: int | None) -> None:
    assert state.due(60.0) == due


async def test_the_tree_of_a_day_has_what_everybody_has(world: World) -> None:
    await world.pool.agree(1000, 500, 2000)
    people = [await world.pool.person() for _ in range(3)]
    for person in people:
        await world.farm(person)
    today = await world.today()
    closed = await world.closer.close_now()
    root = closed.root
    # Three farmers, their pooler (its fee, and its miners' part), the operator.
    assert (root.day, root.leaves, root.refused, root.previous) == (today, 5, 0, NO_RECORD)
    assert root.node.total == 3 * (100 + 1000)
    assert (closed.transaction_hash, closed.ledger) == (root.record.hex(), 9)
    assert world.chain.roots == {today: root.record}
    claims = {claim.owner: claim for claim in await world.store.claims(today)}
    assert dict(claims[people[0].farmer_id].balances) == {"farmer:available": 100 + 850}
    assert claims[people[0].farmer_id].address == people[0].address
    assert dict(claims[world.pool.pooler].balances) == {"miner:earned": 60, "pooler:fee": 240}
    assert dict(claims[UUID(int=0)].balances) == {"operator:fee": 150}
    assert len({claim.salt for claim in claims.values()}) == 5
    # Once more is nothing more.
    assert await world.closer.close_now() == closed
    await world.closer.step(0.0)
    assert len(await world.store.roots()) == 1


async def test_what_lies_in_a_poolers_account_is_owed_once(world: World) -> None:
    await world.pool.agree(1000, 500, 2000)
    person, today = await world.pool.person(), await world.today()
    await world.farm(person)
    await leave(world, person, pooler=80, miners=20, operator=50)
    root = (await world.closer.close_now()).root
    # The operator has its part, and an empty leaf.
    assert (root.leaves, root.node.total) == (3, 100 + 1000 - 50)
    claims = {claim.owner: dict(claim.balances) for claim in await world.store.claims(today)}
    assert claims[world.pool.pooler] == {"miner:earned": 20, "pooler:fee": 80}
    lines = await world.store.lines(
        person.farmer_id, is_farmer=True, after=0, until=root.last_journal, limit=10
    )
    assert (lines[-1].kind, moved(lines[-1].amounts)) == ("fee_payout", -150)
    # What the lines moved is what the account on the chain has.
    assert sum(moved(line.amounts) for line in lines) == 100 + 1000 - 150


async def test_what_is_booked_after_a_closing_belongs_to_the_next_one(world: World) -> None:
    person, today = await world.pool.person(), await world.today()
    await world.farm(person)
    assert await world.store.close(today - 1)
    assert not await world.store.close(today - 1)
    assert not await world.store.close(today - 2)
    assert not await world.store.close(today + 1)
    await world.farm(person, BLOCK + 1)
    await world.closer.close_now()
    newest, first = await world.store.roots()
    assert broken_at([first.root, newest.root]) is None
    assert newest.root.node.total == 2 * first.root.node.total == 2200
    # The root of the day before is on the chain by that of the day after.
    assert world.chain.roots.keys() == {today}
    owner = person.farmer_id
    early = await world.store.lines(
        owner, is_farmer=True, after=0, until=first.root.last_journal, limit=9
    )
    late = await world.store.lines(
        owner,
        is_farmer=True,
        after=first.root.last_journal,
        until=newest.root.last_journal,
        limit=9,
    )
    assert [line.kind for line in early] == [line.kind for line in late]
    assert [line.kind for line in early] == ["deposit", "plant", "harvest"]


async def test_a_closing_waits_for_who_is_booking_and_covers_nothing_half(world: World) -> None:
    people = [await world.pool.person() for _ in range(3)]
    today = await world.today()
    await world.pool.book("deposit", people[1], 7)
    booking = world.pool.admin.transaction()
    await booking.start()
    await book(world.pool.admin, [("deposit", people[0], 5, "early", None)])
    closing = asyncio.create_task(world.closer.close_now())
    await asyncio.sleep(0.3)
    assert not closing.done()
    late = asyncio.create_task(world.pool.book("deposit", people[2], 9))
    await asyncio.sleep(0.2)
    assert not late.done()
    await booking.commit()
    root = (await closing).root
    await late
    assert root.node.total == 12
    assert (await world.store.claim(today, people[2].farmer_id)) is None


@pytest.mark.parametrize("name", FAILPOINTS)
async def test_who_dies_is_followed_by_who_finds_everything_done_once(
    world: World, name: str
) -> None:
    people = [await world.pool.person() for _ in range(2)]
    for person in people:
        await world.farm(person)
    failpoints.arm(f"{name}@1=raise")
    with pytest.raises(failpoints.FailpointError):
        await world.closer.close_now()
    failpoints.arm("")
    await world.farm(people[0], BLOCK + 1)
    closed = await world.closer.close_now()
    # What was booked in between is in no closing yet.
    assert closed.root.node.total == 2200
    assert (closed.ledger, len(await world.store.roots())) == (9, 1)


async def test_two_processes_make_one_root(world: World) -> None:
    people = [await world.pool.person() for _ in range(5)]
    for person in people:
        await world.farm(person)
    one, other = await asyncio.gather(world.closer.close_now(), world.closer.close_now())
    assert one.root == other.root
    assert [found.root for found in await world.store.roots()] == [one.root]
    # Both had it written before either knew of the other.
    await world.store.insert_root(one.root)
    assert len(await world.store.roots()) == 1


async def test_a_root_is_asked_for_until_a_ledger_has_it(world: World) -> None:
    await world.farm(await world.pool.person())
    world.chain.is_slow = True
    assert (await world.closer.close_now()).ledger == 0
    await world.closer.step(0.0)
    assert (await world.store.roots())[0].ledger == 0
    world.chain.is_slow = False
    await world.closer.step(0.0)
    assert (await world.store.roots())[0].ledger == 9


async def test_a_balance_below_zero_is_left_out_and_told(world: World) -> None:
    sound, below = [await world.pool.person() for _ in range(2)]
    await world.farm(sound)
    # KALE from outside that was staked, booked nowhere, and lost.
    await world.pool.book("plant", below, 30, block=BLOCK)
    await world.pool.lose(BLOCK + 1)
    closer = world.closer
    root = (await closer.close_now()).root
    assert (root.leaves, root.refused, root.node.total) == (1, 1, 1100)
    assert closer.warnings == ["1 balances are below zero, and in no tree: kalepool ledger check"]


#: Half a second before a day is over, in SQL.
LATE = "timestamptz '2026-01-31 23:59:59.7+00'"


async def test_a_day_runs_until_it_is_over(world: World) -> None:
    query = load_queries(QUERIES)["closing_state"]
    admin = world.pool.admin
    found = await admin.fetchrow(query.sql.replace("now()", LATE))
    assert found is not None
    assert (day_text(found["today"]), found["seconds"]) == ("2026-01-31", 86_399)
    await world.farm(await world.pool.person())
    async with admin.transaction():
        source = await admin.fetchval(
            "SELECT pg_get_functiondef('harvest.close_day(int)'::regprocedure)"
        )
        await admin.execute(source.replace("now()", LATE))
        closed = [
            await admin.fetchval("SELECT harvest.close_day($1)", found["today"] + later)
            for later in (1, 0)
        ]
        assert closed == [False, True]


async def test_nothing_is_closed_before_anything_is_booked(world: World) -> None:
    with pytest.raises(NothingBookedError):
        await world.closer.close_now()
    await world.closer.step(0.0)
    assert await world.store.roots() == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO harvest.closings (day, last_journal, closed_at) VALUES (1, 1, now())",
        "UPDATE harvest.closings SET last_journal = 0",
        "DELETE FROM harvest.leaves",
        "UPDATE harvest.leaves SET amounts = '{}'",
        "UPDATE harvest.leaves SET history = salt",
        "INSERT INTO harvest.leaves (day, owner_id, address, roles, amounts, salt) "
        "SELECT day, gen_random_uuid(), '', '{}', '{}', salt FROM harvest.leaves",
        "UPDATE harvest.roots SET record = tree_hash",
        "UPDATE harvest.roots SET ledger = 10",
        "DELETE FROM harvest.roots",
    ],
)
async def test_what_is_closed_stays_whoever_asks(world: World, statement: str) -> None:
    await world.farm(await world.pool.person())
    await world.closer.close_now()
    async with world.pool.database.session() as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.connection.execute(statement)


async def test_a_root_has_to_follow(world: World) -> None:
    await world.farm(await world.pool.person())
    await world.closer.close_now()
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.admin.execute(
            "INSERT INTO harvest.roots (day, leaves, refused, tree_hash, total, account, previous, "
            "record) SELECT day - 1, 0, 0, tree_hash, 0, '', previous, record FROM harvest.roots"
        )


# By RPC -----------------------------------------------------------------------------------------


@pytest.fixture
async def service(world: World, database: DatabaseAccess) -> AsyncIterator[Service]:
    """A running service."""
    async with running(world, database) as opened:
        yield opened


async def test_statements_are_sound_files(service: Service) -> None:
    world = service.world
    await world.pool.agree(1000, 500, 2000)
    people = one, two = [await world.pool.person() for _ in range(2)]
    today = await world.today()
    for place in (40, 1):
        for person in people:
            for block in range(3):
                await world.farm(person, BLOCK + 10 * place + block)
        await world.pool.book("withdrawal", one, 50, key=f"w{place}")
        await world.pool.book("payout", one, 50, key=f"w{place}")
        assert await world.store.close(today - place)
    closed = await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)
    assert closed.root.ledger == LEDGER
    assert service.wallet.data_entry.roots == {today: bytes.fromhex(closed.root.root.record)}
    for month in {month_of(today - 40), month_of(today - 1)}:
        for person in people:
            text = await service.file(person, month)
            verdict = check(text)
            assert verdict.findings == [], (month, verdict.findings)
            assert verdict.file is not None
            assert verdict.file.statement.address == person.address
    text = await service.file(one, month_of(today), size=1000)
    assert check(text).findings == []
    assert check(text.replace(str(one.farmer_id), str(two.farmer_id))).findings


async def test_pages_of_a_statement_are_of_one_closing(service: Service) -> None:
    world = service.world
    person = await world.pool.person()
    # Days of a month that is over, so that all of them are in it.
    day = days_of(month_of(await world.today() - 40))[0]
    blocks = count(BLOCK)

    async def farm_and_close() -> None:
        nonlocal day
        day += 1
        for _ in range(2):
            await world.farm(person, next(blocks))
        assert await world.store.close(day)
        await world.closer.step(86_400.0)  # makes its root, and closes no other day

    await farm_and_close()
    for size in (4, 5):
        verdict = check(
            await service.file(person, month_of(day), size=size, between=farm_and_close)
        )
        assert verdict.findings == []
    assert verdict.file is not None
    assert len(verdict.file.lines) % 6 == 0


async def test_roots_are_listed_newest_first_in_pages(service: Service) -> None:
    world, today = service.world, await service.world.today()
    for place in (3, 2, 1):
        await world.farm(await world.pool.person(), BLOCK + place)
        await world.store.close(today - place)
    await world.closer.step(0.0)
    days: list[str] = []
    token = ""
    while True:
        request = statement_pb2.ListRootsRequest(page_size=2, page_token=token)
        reply = await call(service.stub.ListRoots, request, timeout=10)
        days += [one.root.day for one in reply.roots]
        token = reply.next_page_token
        if not token:
            break
    assert days == [day_text(today - place) for place in (1, 2, 3)]


async def test_proofs_are_each_owners(service: Service) -> None:
    world = service.world
    await world.pool.agree(1000, 500, 0)
    person = await world.pool.person()
    await world.farm(person)
    await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)
    day = day_text(await world.today())
    whose = [{"farmer_id": str(person.farmer_id)}, {"pooler_id": str(world.pool.pooler)}, {}]
    totals = []
    for named in whose:
        request = statement_pb2.GetProofRequest(day=day, **named)
        reply = await call(service.stub.GetProof, request, timeout=10)
        totals.append(int(reply.leaf.total))
    assert totals == [950, 100, 50]
    for odd in ({"day": "2026-1-1x"}, {"day": day, "farmer_id": whose[0]["farmer_id"], **whose[1]}):
        with pytest.raises(errors.InvalidArgumentError):
            await call(service.stub.GetProof, statement_pb2.GetProofRequest(**odd), timeout=10)


async def test_what_is_not_ready_is_not_found(service: Service) -> None:
    world, today = service.world, await service.world.today()
    person, other = [await world.pool.person() for _ in range(2)]
    month = month_of(today)
    request = statement_pb2.GetStatementRequest(farmer_id=str(person.farmer_id), month=month)
    with pytest.raises(errors.NotFoundError) as caught:
        await call(service.stub.GetStatement, request, timeout=10)
    assert caught.value.reason == "STATEMENT_NOT_READY"
    with pytest.raises(errors.FailedPreconditionError) as refused:
        await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)
    assert refused.value.reason == "NOTHING_BOOKED"
    await world.farm(person)
    await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)
    assert check(await service.file(person, month)).findings == []
    for farmer, reason in ((other.farmer_id, "STATEMENT_NOT_READY"), (UUID(int=5), "NOT_FOUND")):
        request.farmer_id = str(farmer)
        with pytest.raises(errors.NotFoundError) as caught:
            await call(service.stub.GetStatement, request, timeout=10)
        assert caught.value.reason in {reason, "FARMER_NOT_FOUND"}
    for request.month in ("2026-13", "9999-12"):
        with pytest.raises(errors.InvalidArgumentError):
            await call(service.stub.GetStatement, request, timeout=10)


async def test_a_statement_of_a_balance_below_zero_says_so(service: Service) -> None:
    world = service.world
    person = await world.pool.person()
    await world.pool.book("plant", person, 30, block=BLOCK)
    await world.pool.lose(BLOCK + 1)
    await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)
    verdict = check(await service.file(person, month_of(await world.today())))
    assert [finding.where for finding in verdict.findings] == ["leaf"]
    status = await call(
        service.ledger.GetLedgerStatus, ledger_pb2.GetLedgerStatusRequest(), timeout=10
    )
    assert "below zero" in status.warnings[0]
