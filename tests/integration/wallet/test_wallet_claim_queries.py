"""The queries that take up operations: which, in which order, how many, and by one process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId
from services.wallet.domain.model import OperationKind
from services.wallet.store.operations import OperationStore, Wanted
from tests.support.database import DatabaseAccess
from tests.support.wallet_rows_operations import LEDGER, Owner, Rows, ago, ids, mixed, open_rows

#: Plants up to block 5, works up to block 4, harvests up to block 2.
WANTED = Wanted(ledger=LEDGER, plant_until=5, work_until=4, harvest_before=3)
TREASURY = "G" * 56
#: What may be done for nobody: kind, block, and other columns.
IDLE: list[tuple[str, int, dict[str, Any]]] = [
    ("onboard", 0, {}),
    ("plant", 6, {}),
    ("work", 5, {}),
    ("harvest", 3, {}),
    ("plant", 5, {"due_at": ago(-60)}),
    ("plant", 5, {"due_ledger": LEDGER + 1}),
    ("plant", 5, {"unproven": 2}),
    ("plant", 4, {"unproven": 2}),
    ("harvest", 2, {"unproven": 2}),
    ("plant", 5, {"state": "failed"}),
    ("plant", 5, {"state": "succeeded"}),
]


@pytest.fixture
async def rows(database: DatabaseAccess) -> AsyncIterator[Rows]:
    async with open_rows(database) as opened:
        yield opened


async def claim(pool: Database, limit: int = 99) -> set[OperationId]:
    """What is taken up."""
    found = await OperationStore(pool).claim(WANTED, limit=limit, lease=60)
    return {operation.id for operation in found}


async def write(rows: Rows, names: Sequence[UUID], *wishes: tuple[Owner, str, int]) -> None:
    """Operations in the order of their ids, as rows that stand in another one."""
    for name, (owner, kind, block) in mixed(list(zip(names, wishes, strict=True))):
        await rows.operation(owner, kind, block, operation_id=name)


# Whose -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "block"), [("plant", 5), ("work", 4), ("harvest", 2)])
async def test_what_can_be_done_now_is_taken_up_and_nothing_else(
    rows: Rows, pool: Database, kind: str, block: int
) -> None:
    for idle_kind, idle_block, values in IDLE:
        await rows.operation(await rows.wallet(), idle_kind, idle_block, **values)
    owner = await rows.wallet()
    wanted = await rows.operation(
        owner, kind, block, amount=7, attempts=3, pack_limit=2, unproven=1, due_ledger=LEDGER
    )
    (found,) = await OperationStore(pool).claim(WANTED, limit=99, lease=60)
    assert (found.id, found.wallet_id, found.address) == (wanted, owner.wallet_id, owner.address)
    assert (found.kind, found.block_index, found.amount) == (OperationKind(kind), block, 7)
    assert (found.attempts, found.pack_limit) == (3, 2)
    assert await claim(pool) == set()


async def test_each_operation_comes_with_its_own_address(rows: Rows, pool: Database) -> None:
    owners = [await rows.wallet() for _ in range(3)]
    for owner in owners:
        await rows.operation(owner)
    found = await OperationStore(pool).claim(WANTED, limit=99, lease=60)
    addresses = {operation.wallet_id: operation.address for operation in found}
    assert addresses == {owner.wallet_id: owner.address for owner in owners}


async def test_of_what_is_paused_only_that_is_taken_up_whose_block_is_over(
    rows: Rows, pool: Database
) -> None:
    await rows.operation(await rows.wallet(), block=6)
    paused = [await rows.wallet() for _ in range(6)]
    await rows.pause(*paused)
    wishes = (("plant", 3), ("work", 3), ("plant", 4), ("work", 4), ("harvest", 2), ("harvest", 1))
    made = [
        await rows.operation(owner, kind, block)
        for owner, (kind, block) in zip(paused, wishes, strict=True)
    ]
    assert await claim(pool) == set(made[:2])


async def test_nothing_is_taken_up_for_an_account_with_something_in_flight(
    rows: Rows, pool: Database
) -> None:
    for state in ("signed", "sent"):
        busy = await rows.wallet()
        await rows.transaction(busy.address, state)
        await rows.operation(busy)
    free = await rows.wallet()
    await rows.transaction(free.address, "excluded")
    wanted = await rows.operation(free)
    assert await claim(pool) == {wanted}


async def test_what_is_not_to_be_taken_up_hides_nothing_of_the_same_farmer(
    rows: Rows, pool: Database
) -> None:
    expected = set()
    hidden: list[dict[str, Any]] = [
        {"state": "succeeded"},
        {"due_at": ago(-60)},
        {"due_ledger": LEDGER + 1},
    ]
    for values in hidden:
        owner = await rows.wallet()
        await rows.operation(owner, **values)
        expected.add(await rows.operation(owner, "harvest", 2))
    assert await claim(pool) == expected


# Which first -----------------------------------------------------------------------------------


async def test_a_farmers_plant_goes_before_works_and_these_before_harvests(
    rows: Rows, pool: Database
) -> None:
    owner, names = await rows.wallet(), ids(3)
    await write(rows, names, (owner, "plant", 5), (owner, "work", 4), (owner, "harvest", 2))
    other, later = await rows.wallet(), ids(3)
    await write(rows, later, (other, "harvest", 2), (other, "work", 4), (other, "plant", 5))
    assert await claim(pool) == {names[0], later[2]}


async def test_a_farmers_oldest_harvest_goes_first(rows: Rows, pool: Database) -> None:
    owner, names = await rows.wallet(), ids(3)
    await write(rows, names, (owner, "harvest", 2), (owner, "harvest", 0), (owner, "harvest", 1))
    assert await claim(pool) == {names[1]}


@pytest.mark.parametrize(("zeros", "best"), [((5, 7, 6), 1), ((5, 5, 5), 0)])
async def test_a_farmers_best_work_goes_first_and_of_the_best_the_first(
    rows: Rows, pool: Database, zeros: tuple[int, int, int], best: int
) -> None:
    owner, names = await rows.wallet(), ids(3)
    for name, count in mixed(list(zip(names, zeros, strict=True))):
        await rows.operation(owner, "work", 4, operation_id=name, zeros=count)
    assert await claim(pool) == {names[best]}


@pytest.mark.parametrize(
    ("wishes", "first"),
    [
        ((("harvest", 1), ("plant", 5), ("work", 4)), 1),
        ((("harvest", 2), ("harvest", 1), ("harvest", 2)), 1),
        ((("harvest", 2), ("harvest", 2), ("harvest", 2)), 0),
    ],
)
async def test_the_most_urgent_of_all_are_taken_up_and_no_more_than_asked_for(
    rows: Rows, pool: Database, wishes: list[tuple[str, int]], first: int
) -> None:
    owners = [await rows.wallet() for _ in wishes]
    # Neither wallets nor rows begin or end with what is expected.
    names = ids(len(wishes))
    order = mixed([first, *(place for place in range(3) if place != first)])
    for owner, place in zip(owners, order, strict=True):
        await rows.operation(owner, *wishes[place], operation_id=names[place])
    assert await claim(pool, limit=1) == {names[first]}


# By one ----------------------------------------------------------------------------------------


async def test_what_another_process_is_taking_up_is_passed_over(rows: Rows, pool: Database) -> None:
    one, two = [await rows.operation(await rows.wallet()) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        assert await claim(pool) == {two}


@pytest.mark.parametrize(
    "change", ["state = 'failed', reason = '', settled_at = now()", "due_at = now() + '1 minute'"]
)
async def test_what_another_process_has_taken_up_meanwhile_is_left_to_it(
    rows: Rows, pool: Database, change: str
) -> None:
    """The statement has seen it as it was, and waits before it takes it."""
    taken, left = [await rows.operation(await rows.wallet()) for _ in range(2)]
    async with rows.other() as other:
        await other.connection.execute("LOCK TABLE wallet.pauses")
        claiming = asyncio.create_task(claim(pool))
        await rows.until_somebody_waits()
        query = f"UPDATE wallet.operations SET {change} WHERE id = $1"  # noqa: S608  (ours)
        await rows.connection.execute(query, taken)
    assert await claiming == {left}


# For the treasury ------------------------------------------------------------------------------


async def claim_onboardings(pool: Database, limit: int = 99) -> list[OperationId]:
    """What the treasury takes up, in order."""
    found = await OperationStore(pool).claim_for_treasury(
        OperationKind.ONBOARD, limit=limit, lease=60, ledger=LEDGER, treasury=TREASURY
    )
    return sorted(operation.id for operation in found)


async def test_the_treasury_takes_up_what_it_may_of_one_kind(rows: Rows, pool: Database) -> None:
    idle: list[dict[str, Any]] = [
        {"kind": "open_channel"},
        {"state": "failed"},
        {"unproven": 2},
        {"due_at": ago(-60)},
        {"due_ledger": LEDGER + 1},
    ]
    for values in idle:
        columns: dict[str, Any] = {"kind": "onboard", "block": 0, **values}
        await rows.operation(await rows.wallet(), **columns)
    paused = await rows.wallet()
    await rows.pause(paused)
    await rows.operation(paused, "onboard", 0)
    owners = [await rows.wallet() for _ in range(2)]
    wanted = [
        await rows.operation(owner, "onboard", 0, unproven=1, due_ledger=LEDGER) for owner in owners
    ]
    await rows.transaction(TREASURY, "succeeded")
    await rows.transaction()
    found = await OperationStore(pool).claim_for_treasury(
        OperationKind.ONBOARD, limit=99, lease=60, ledger=LEDGER, treasury=TREASURY
    )
    assert {(one.id, one.wallet_id, one.address) for one in found} == {
        (name, owner.wallet_id, owner.address) for name, owner in zip(wanted, owners, strict=True)
    }
    assert await claim_onboardings(pool) == []


@pytest.mark.parametrize("state", ["signed", "sent"])
async def test_the_treasury_takes_up_nothing_while_it_has_something_in_flight(
    rows: Rows, pool: Database, state: str
) -> None:
    await rows.operation(await rows.wallet(), "onboard", 0)
    await rows.transaction(TREASURY, state)
    assert await claim_onboardings(pool) == []


async def test_the_treasury_takes_up_the_oldest_and_no_more_than_asked_for(
    rows: Rows, pool: Database
) -> None:
    names = ids(3)
    for name in mixed(names):
        await rows.operation(await rows.wallet(), "onboard", 0, operation_id=name)
    assert await claim_onboardings(pool, limit=1) == names[:1]


async def test_the_treasury_passes_over_what_another_process_is_taking_up(
    rows: Rows, pool: Database
) -> None:
    one, two = [await rows.operation(await rows.wallet(), "onboard", 0) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        assert await claim_onboardings(pool) == [two]


# Given back ------------------------------------------------------------------------------------


async def test_given_back_is_what_is_named_and_waits(rows: Rows, pool: Database) -> None:
    owner = await rows.wallet()
    taken, kept = [await rows.operation(owner, block=block, due_at=ago(-60)) for block in (4, 5)]
    signed = await rows.carried(owner, block=6, due_at=ago(-60))
    await OperationStore(pool).release([taken, signed])
    assert await rows.operations("due_at <= now()") == {taken: True, kept: False, signed: False}


# Urgent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "block", "state", "values", "is_urgent"),
    [
        ("plant", 5, "queued", {}, True),
        ("plant", 5, "queued", {"unproven": 1}, True),
        ("plant", 6, "queued", {}, False),
        ("plant", 5, "queued", {"unproven": 2}, False),
        ("plant", 5, "succeeded", {}, False),
        ("plant", 5, "signed", {"unproven": 2}, True),
        ("plant", 5, "sent", {"unproven": 2}, True),
        ("work", 4, "queued", {}, True),
        ("work", 5, "queued", {}, False),
        ("harvest", 2, "queued", {}, False),
        ("harvest", 2, "sent", {}, False),
    ],
)
async def test_urgent_are_plants_and_works_of_these_blocks(
    rows: Rows, pool: Database, *, kind: str, block: int, state: str, values: Any, is_urgent: bool
) -> None:
    owner = await rows.wallet()
    write_one = rows.carried if state in {"signed", "sent"} else rows.operation
    await write_one(owner, kind=kind, block=block, state=state, **values)
    assert await OperationStore(pool).has_urgent(WANTED) is is_urgent


@pytest.mark.parametrize("state", ["queued", "signed"])
async def test_of_what_is_paused_only_what_is_in_flight_is_urgent(
    rows: Rows, pool: Database, state: str
) -> None:
    owner = await rows.wallet()
    await rows.wallet()
    await rows.pause(owner)
    await (rows.operation(owner) if state == "queued" else rows.carried(owner))
    assert await OperationStore(pool).has_urgent(WANTED) is (state == "signed")
