"""Statements of poolers and miners: credits of blocks and payments, line by line, and proven."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from kalepool.harvest.v1 import statement_pb2
from stellar_sdk import Keypair, MuxedAccount

from libs.common import errors
from libs.common.grpc.client import call
from libs.common.ids import PoolerId, new_id
from libs.kale.statements.checking import check
from libs.kale.statements.document import File
from libs.kale.statements.lines import NO_HISTORY
from libs.kale.statements.owners import OwnerKind
from libs.kale.statements.roots import day_text, month_of
from libs.kale.statements.tables import lines_csv, tax_csv
from services.harvest.domain.credits import miner_id
from services.harvest.store.statements import StatementStore
from tests.support.database import DatabaseAccess
from tests.support.ledger_world import open_ledger
from tests.support.statement_world import BLOCK, Chain, Service, World, leave, pay, running

#: Where two miners are paid: the second one's is an account for several.
ONE = Keypair.random().public_key
TWO = MuxedAccount(Keypair.random().public_key, 7).account_muxed
assert TWO is not None
PAID = "ab" * 32


@pytest.fixture
async def world(database: DatabaseAccess) -> AsyncIterator[World]:
    """A ledger in which nothing is booked yet."""
    async with open_ledger(database) as pool:
        yield World(pool=pool, store=StatementStore(pool.database), chain=Chain())


@pytest.fixture
async def service(world: World, database: DatabaseAccess) -> AsyncIterator[Service]:
    """A running service."""
    async with running(world, database) as opened:
        yield opened


def pooler_of(world: World, address: str | None = None) -> Mapping[str, Any]:
    """The fields that name the pooler, or the miner of it who is paid at an address."""
    named = {"pooler_id": str(world.pool.pooler)}
    return named if address is None else {**named, "miner_address": address}


async def mine(world: World, block: int = BLOCK, *, own: int = 0) -> None:
    """Have two farmers harvest a block, and two miners be credited for it.

    Each harvest leaves 80 to the pooler, 20 to its miners, and 50 to the operator.
    """
    await world.pool.agree(1000, 500, 2000)
    for _ in range(2):
        await world.farm(await world.pool.person(), block)
    await world.pool.credit({ONE: 3, str(TWO): 1}, own=own, block=block)


async def close(service: Service) -> None:
    """Close the running day."""
    await call(service.stub.CloseDay, statement_pb2.CloseDayRequest(), timeout=10)


async def sound(service: Service, address: str | None = None, **how: Any) -> File:
    """The statement of the pooler, or of a miner, of the running month or another; it is sound."""
    month = how.pop("month", month_of(await service.world.today()))
    verdict = check(await service.file(pooler_of(service.world, address), month, **how))
    assert verdict.findings == []
    assert verdict.file is not None
    return verdict.file


def told(file: File) -> list[tuple[str, dict[str, int]]]:
    """The kind and the amounts of each line."""
    return [(line.texts[1], dict(line.amounts)) for line in file.lines]


async def test_a_miners_statement_has_credits_of_blocks_and_payments(service: Service) -> None:
    world = service.world
    await mine(world)
    await pay(world, 25, ONE, is_miner=True, transaction=PAID)
    await close(service)
    file = await sound(service, ONE)
    assert told(file) == [
        ("miner_credit", {"miner:earned": 30, "others": -30}),
        ("pool_payment", {"chain:out": 25, "miner:earned": -25}),
    ]
    assert [line.texts[3] for line in file.lines] == [str(BLOCK), ""]
    assert [line.texts[5] for line in file.lines] == ["", PAID]
    statement = file.statement
    assert statement.owner.kind is OwnerKind.MINER
    assert statement.owner.id == miner_id(PoolerId(world.pool.pooler), ONE)
    assert (statement.address, dict(statement.closing.amounts)) == (ONE, {"miner:earned": 5})
    assert [(total.kind, total.lines) for total in statement.totals] == [
        ("miner_credit", 1),
        ("pool_payment", 1),
    ]
    muxed = await sound(service, str(TWO))
    assert (muxed.statement.address, dict(muxed.statement.closing.amounts)) == (
        TWO,
        {"miner:earned": 10},
    )
    rows = [row.split(",")[1:3] for row in tax_csv(file).splitlines()[1:]]
    assert rows == [["income", "0.0000030"], ["paid out", "-0.0000025"]]
    assert (
        lines_csv(file)
        .splitlines()[0]
        .startswith("date,kind,block,ledger,transaction,earned,out,other,earned_after")
    )
    assert lines_csv(file).splitlines()[2].split(",")[5:9] == [
        *("-0.0000025", "0.0000025", "", "0.0000005")
    ]


async def test_a_poolers_statement_has_fees_what_its_miners_got_and_payments(
    service: Service,
) -> None:
    world = service.world
    person = await world.pool.person()
    await mine(world, own=4)
    await world.farm(person, BLOCK + 1)
    await leave(world, person, pooler=80, miners=20, operator=50, transaction=PAID)
    await pay(world, 30, ONE, is_miner=True)
    await pay(world, 70, Keypair.random().public_key, is_miner=False, transaction=PAID)
    await close(service)
    file = await sound(service)
    assert told(file) == [
        ("harvest", {"miner:earned": 20, "others": -100, "pooler:fee": 80}),
        ("harvest", {"miner:earned": 20, "others": -100, "pooler:fee": 80}),
        # Half of the hashes were its own.
        ("miner_credit", {"miner:earned": -40, "others": 20, "pooler:fee": 20}),
        ("harvest", {"miner:earned": 20, "others": -100, "pooler:fee": 80}),
        ("fee_payout", {"others": -100, "pooler:held": 100}),
        ("pool_payment", {"chain:out": 30, "pooler:held": -30}),
        ("pool_payment", {"chain:out": 70, "others": 70, "pooler:fee": -70, "pooler:held": -70}),
    ]
    assert file.statement.owner.kind is OwnerKind.POOLER
    assert dict(file.statement.closing.amounts) == {
        "miner:earned": 20,
        "pooler:fee": 3 * 80 + 20 - 70,
    }
    rows = [row.split(",")[1:3] for row in tax_csv(file).splitlines()[1:]]
    assert rows == [
        *[["income", "0.0000080"]] * 2,
        ["income", "0.0000020"],
        ["income", "0.0000080"],
        ["paid out", "-0.0000070"],
    ]
    header, *lines = (row.split(",") for row in lines_csv(file).splitlines())
    assert header[5:12] == [
        *("fee", "miners", "in_account", "out", "other", "fee_after", "miners_after")
    ]
    assert lines[2][5:10] == ["0.0000020", "-0.0000040", "", "", "0.0000020"]
    assert lines[2][10:12] == ["0.0000180", "0.0000000"]


async def test_a_harvest_that_was_none_is_taken_back(service: Service) -> None:
    world = service.world
    await world.pool.agree(1000, 500, 0)
    denied = await world.pool.harvested(await world.pool.person(), reward_amount=1000)
    await world.pool.deny(str(denied))
    await close(service)
    file = await sound(service)
    assert told(file) == [
        ("harvest", {"others": -100, "pooler:fee": 100}),
        ("denial", {"others": 100, "pooler:fee": -100}),
    ]
    assert [row.split(",")[1] for row in tax_csv(file).splitlines()[1:]] == [
        *("income", "income taken back")
    ]
    assert file.statement.closing.amounts == ()


async def test_what_a_poolers_account_has_is_at_its_address(service: Service) -> None:
    world = service.world
    await mine(world)
    await world.pool.admin.execute(
        "INSERT INTO wallet.wallets (id, kind, pooler_id, address, created_at, mac) "
        "SELECT gen_random_uuid(), 'pooler', $1, $2, now(), mac FROM wallet.wallets LIMIT 1",
        world.pool.pooler,
        ONE,
    )
    await close(service)
    assert (await sound(service)).statement.address == ONE


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_pages_together_are_one_statement(service: Service, size: int) -> None:
    world, today = service.world, await service.world.today()
    for place in (3, 2, 1):
        await mine(world, BLOCK + place)
        await pay(world, 5, ONE, is_miner=True)
        await world.store.close(today - place)
    await world.closer.step(86_400.0)
    for place in (3, 2, 1):
        day = day_text(today - place)
        assert len((await sound(service, month=day, size=size)).lines) == 4
        assert len((await sound(service, ONE, month=day, size=size)).lines) == 2
    month = month_of(today - 1)
    file = await sound(service, ONE, month=month, size=size)
    assert sum(line.texts[1] == "pool_payment" for line in file.lines) == sum(
        month_of(today - place) == month for place in (3, 2, 1)
    )


async def test_a_changed_byte_is_named(service: Service) -> None:
    world = service.world
    await mine(world)
    await pay(world, 25, ONE, is_miner=True, transaction=PAID)
    await close(service)
    month = month_of(await world.today())
    text = await service.file(pooler_of(world, ONE), month)
    for before, after, where in (
        ('"amount":"25"', '"amount":"26"', "totals[1].amounts"),
        (PAID, "cd" * 32, "lines[1].transactionHash"),
        (ONE, Keypair.random().public_key, "address"),
        (f'"blockIndex":{BLOCK}', '"blockIndex":9', "lines[0].blockIndex"),
    ):
        assert before in text
        assert check(text.replace(before, after)).findings[0].where.startswith(where)
    # Another one's statement it cannot be.
    changed = text.replace('"poolerId":""', f'"poolerId":"{world.pool.pooler}"')
    assert [one.where for one in check(changed).findings] == ["minerId"]
    miner = str(miner_id(PoolerId(world.pool.pooler), ONE))
    swapped = text.replace(f'"minerId":"{miner}"', '"minerId":""')
    assert [one.where for one in check(swapped).findings] == ["farmerId"]
    swapped = swapped.replace('"poolerId":""', f'"poolerId":"{miner}"')
    assert [one.where for one in check(swapped).findings] == ["poolerId"]


async def test_miners_prove_their_leaves(service: Service) -> None:
    world = service.world
    await mine(world)
    await close(service)
    day = day_text(await world.today())
    request = statement_pb2.GetProofRequest(day=day, **pooler_of(world, ONE))
    found = await call(service.stub.GetProof, request, timeout=10)
    assert (found.address, found.leaf.total) == (ONE, "30")
    assert found.owner_id == str(miner_id(PoolerId(world.pool.pooler), ONE))
    # The operator's leaf has no lines.
    found = await call(service.stub.GetProof, statement_pb2.GetProofRequest(day=day), timeout=10)
    assert (found.balances.history, found.address) == (NO_HISTORY.hex(), "")


async def test_what_names_nobody_is_refused(service: Service) -> None:
    world = service.world
    await mine(world)
    await close(service)
    month = month_of(await world.today())
    wrong: list[tuple[Mapping[str, Any], str]] = [
        ({}, "farmer_id"),
        ({"farmer_id": str(new_id()), **pooler_of(world)}, "pooler_id"),
        ({"miner_address": ONE}, "miner_address"),
        ({"farmer_id": str(new_id()), "miner_address": ONE}, "miner_address"),
    ]
    for named, field in wrong:
        request = statement_pb2.GetStatementRequest(month=month, **named)
        with pytest.raises(errors.InvalidArgumentError) as refused:
            await call(service.stub.GetStatement, request, timeout=10)
        assert [one.field for one in refused.value.violations] == [field]
    missed: list[tuple[Mapping[str, Any], str]] = [
        (pooler_of(world, Keypair.random().public_key), "MINER_UNKNOWN"),
        ({"pooler_id": str(new_id())}, "STATEMENT_NOT_READY"),
    ]
    for named, reason in missed:
        request = statement_pb2.GetStatementRequest(month=month, **named)
        with pytest.raises(errors.NotFoundError) as missing:
            await call(service.stub.GetStatement, request, timeout=10)
        assert missing.value.reason == reason


async def test_days_of_before_poolers_had_histories_have_no_statement(service: Service) -> None:
    world, today = service.world, await service.world.today()
    await mine(world)
    await world.store.close(today - 1)
    await world.pool.admin.execute("ALTER TABLE harvest.closings DISABLE TRIGGER USER")
    await world.pool.admin.execute("UPDATE harvest.closings SET covers_all = false")
    await world.closer.step(86_400.0)
    assert await world.store.all_covered_since() is None
    request = statement_pb2.GetStatementRequest(month=day_text(today - 1), **pooler_of(world))
    with pytest.raises(errors.NotFoundError) as early:
        await call(service.stub.GetStatement, request, timeout=10)
    assert early.value.reason == "STATEMENT_NOT_READY"
    await mine(world, BLOCK + 1)
    await close(service)
    assert await world.store.all_covered_since() == today
    with pytest.raises(errors.NotFoundError) as early:
        await call(service.stub.GetStatement, request, timeout=10)
    assert day_text(today) in str(early.value)
    # The days after it have one.
    assert len((await sound(service, month=day_text(today))).lines) == 3
    assert len((await sound(service, ONE, month=day_text(today))).lines) == 1


async def test_lines_have_kale_of_the_owner_and_what_left_the_pool_alone(world: World) -> None:
    await mine(world)
    await pay(world, 25, ONE, is_miner=True)
    owners = [world.pool.pooler, miner_id(PoolerId(world.pool.pooler), ONE)]
    before = [await both_of(world, owner) for owner in owners]
    admin = world.pool.admin
    # What no journal books: the look has to leave it out all the same.
    await admin.execute("SET session_replication_role = replica")
    for owner, role, asset in (
        *((one, "miner:earned", "xlm") for one in owners),
        (new_id(), "miner:earned", "kale"),
        (new_id(), "chain:out", "kale"),
        (UUID(int=0), "chain:out", "xlm"),
        (UUID(int=0), "chain:burn", "kale"),
    ):
        await admin.execute(
            "WITH made AS (INSERT INTO harvest.accounts (owner_id, role, asset) "
            "VALUES ($1, $2::text::harvest.account_role, $3::text::harvest.asset) RETURNING id) "
            "INSERT INTO harvest.entries (journal_id, account_id, amount) "
            "SELECT j.id, m.id, 7 FROM harvest.journals AS j CROSS JOIN made AS m",
            owner,
            role,
            asset,
        )
    assert [await both_of(world, owner) for owner in owners] == before


async def both_of(world: World, owner: UUID) -> tuple[Any, Any]:
    """The lines of an owner and their sums, which agree."""
    lines = await world.store.lines(owner, is_farmer=False, after=0, until=2**60, limit=100)
    totals = await world.store.totals(owner, is_farmer=False, after=0, until=2**60)
    assert sum(total.lines for total in totals) == len(lines)
    assert [line.number for line in lines] == sorted({line.number for line in lines})
    for total in totals:
        found = Counter[str]()
        for line in lines:
            if line.kind == total.kind:
                found.update(dict(line.amounts))
        assert dict(total.amounts) == {role: amount for role, amount in found.items() if amount}
    return lines, totals


async def test_lines_after_one_journal_up_to_another_are_told(world: World) -> None:
    for block in range(3):
        await mine(world, BLOCK + block)
    owner = world.pool.pooler
    every, _ = await both_of(world, owner)
    numbers = [line.number for line in every]
    bounds = {"after": numbers[1], "until": numbers[-2]}
    some = await world.store.lines(owner, is_farmer=False, limit=100, **bounds)
    assert [line.number for line in some] == numbers[2:-1]
    totals = await world.store.totals(owner, is_farmer=False, **bounds)
    assert sum(total.lines for total in totals) == len(some)
    first = await world.store.lines(owner, is_farmer=False, limit=2, **bounds)
    assert first == some[:2]
