"""The queries that take up operations: which, in which order, how many, and by one process."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId, PoolerId
from services.wallet.domain.model import OperationKind
from services.wallet.store.operations import OperationStore, Wanted
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago

#: Plants up to block 5, works up to block 4, harvests up to block 2.
WANTED = Wanted(ledger=LEDGER, plant_until=5, work_until=4, harvest_before=3)
TREASURY = "G" * 56


def idle() -> list[tuple[str, int, dict[str, Any]]]:
    """What may be done for nobody from now on: kind, block, and other columns."""
    return [
        ("onboard", 0, {}),
        ("plant", 6, {}),
        ("work", 5, {}),
        ("harvest", 3, {}),
        ("plant", 5, {"due_at": ago(-110)}),
        ("plant", 5, {"due_ledger": LEDGER + 1}),
        ("plant", 5, {"unproven": 2}),
        ("plant", 4, {"unproven": 2}),
        ("harvest", 2, {"unproven": 2}),
        ("plant", 5, {"state": "failed"}),
        ("plant", 5, {"state": "succeeded"}),
    ]


async def claim(pool: Database, limit: int = 99) -> set[OperationId]:
    """What is taken up."""
    found = await OperationStore(pool, ORDERS).claim(WANTED, limit=limit, lease=60)
    return {operation.id for operation in found}


async def write(
    rows: WalletRows, names: Sequence[UUID], *wishes: tuple[WalletRow, str, int]
) -> None:
    """Operations in the order of their ids, as rows that stand in another one."""
    for name, (owner, kind, block) in mixed(list(zip(names, wishes, strict=True))):
        await rows.operation(owner, kind, block=block, id=name)


# Whose -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "block"), [("plant", 5), ("work", 4), ("harvest", 2)])
async def test_what_can_be_done_now_is_taken_up_and_nothing_else(
    rows: WalletRows, kind: str, block: int
) -> None:
    for idle_kind, idle_block, values in idle():
        await rows.operation(await rows.wallet(), idle_kind, block=idle_block, **values)
    owner = await rows.wallet()
    wanted = await rows.operation(
        owner, kind, block=block, amount=7, attempts=3, pack_limit=2, unproven=1, due_ledger=LEDGER
    )
    (found,) = await OperationStore(rows.pool, ORDERS).claim(WANTED, limit=99, lease=60)
    assert (found.id, found.wallet_id, found.address) == (wanted, owner.id, owner.address)
    assert (found.kind, found.block_index, found.amount) == (OperationKind(kind), block, 7)
    assert (found.attempts, found.pack_limit) == (3, 2)
    assert await claim(rows.pool) == set()


async def test_each_operation_comes_with_its_own_address(rows: WalletRows) -> None:
    owners = [await rows.wallet() for _ in range(3)]
    for owner in owners:
        await rows.operation(owner)
    found = await OperationStore(rows.pool, ORDERS).claim(WANTED, limit=99, lease=60)
    addresses = {operation.wallet_id: operation.address for operation in found}
    assert addresses == {owner.id: owner.address for owner in owners}


async def test_of_what_is_paused_only_that_is_taken_up_whose_block_is_over(
    rows: WalletRows,
) -> None:
    await rows.operation(await rows.wallet(), block=6)
    paused = [await rows.wallet() for _ in range(6)]
    await rows.pause(*paused)
    wishes = (("plant", 3), ("work", 3), ("plant", 4), ("work", 4), ("harvest", 2), ("harvest", 1))
    made = [
        await rows.operation(owner, kind, block=block)
        for owner, (kind, block) in zip(paused, wishes, strict=True)
    ]
    assert await claim(rows.pool) == set(made[:2])


async def test_nothing_is_taken_up_for_an_account_with_something_in_flight(
    rows: WalletRows,
) -> None:
    for state in ("signed", "sent"):
        busy = await rows.wallet()
        await rows.transaction(busy.address, state)
        await rows.operation(busy)
    free = await rows.wallet()
    await rows.transaction(free.address, "excluded")
    wanted = await rows.operation(free)
    assert await claim(rows.pool) == {wanted}


async def test_what_is_not_to_be_taken_up_hides_nothing_of_the_same_farmer(
    rows: WalletRows,
) -> None:
    expected = set()
    hidden: list[dict[str, Any]] = [
        {"state": "succeeded"},
        {"due_at": ago(-110)},
        {"due_ledger": LEDGER + 1},
    ]
    for values in hidden:
        owner = await rows.wallet()
        await rows.operation(owner, **values)
        expected.add(await rows.operation(owner, "harvest", block=2))
    assert await claim(rows.pool) == expected


# Which first -----------------------------------------------------------------------------------


async def test_a_farmers_plant_goes_before_works_and_these_before_harvests(
    rows: WalletRows,
) -> None:
    owner, names = await rows.wallet(), new_ids(3)
    await write(rows, names, (owner, "plant", 5), (owner, "work", 4), (owner, "harvest", 2))
    other, later = await rows.wallet(), new_ids(3)
    await write(rows, later, (other, "harvest", 2), (other, "work", 4), (other, "plant", 5))
    assert await claim(rows.pool) == {names[0], later[2]}


async def test_a_farmers_oldest_harvest_goes_first(rows: WalletRows) -> None:
    owner, names = await rows.wallet(), new_ids(3)
    await write(rows, names, (owner, "harvest", 2), (owner, "harvest", 0), (owner, "harvest", 1))
    assert await claim(rows.pool) == {names[1]}


@pytest.mark.parametrize(("zeros", "best"), [((5, 7, 6), 1), ((5, 5, 5), 0)])
async def test_a_farmers_best_work_goes_first_and_of_the_best_the_first(
    rows: WalletRows, zeros: tuple[int, int, int], best: int
) -> None:
    owner, names = await rows.wallet(), new_ids(3)
    for name, count in mixed(list(zip(names, zeros, strict=True))):
        await rows.operation(owner, "work", block=4, id=name, zeros=count)
    assert await claim(rows.pool) == {names[best]}


@pytest.mark.parametrize(
    ("wishes", "first"),
    [
        ((("harvest", 1), ("plant", 5), ("work", 4)), 1),
        ((("harvest", 2), ("harvest", 1), ("harvest", 2)), 1),
        ((("harvest", 2), ("harvest", 2), ("harvest", 2)), 0),
    ],
)
async def test_the_most_urgent_of_all_are_taken_up_and_no_more_than_asked_for(
    rows: WalletRows, wishes: list[tuple[str, int]], first: int
) -> None:
    owners = [await rows.wallet() for _ in wishes]
    # Neither wallets nor rows begin or end with what is expected.
    names = new_ids(len(wishes))
    order = mixed([first, *(place for place in range(3) if place != first)])
    for owner, place in zip(owners, order, strict=True):
        kind, block = wishes[place]
        await rows.operation(owner, kind, block=block, id=names[place])
    assert await claim(rows.pool, limit=1) == {names[first]}


# A farmer's harvests ---------------------------------------------------------------------------


async def claim_harvests(
    pool: Database, harvests: int, *, gathered: float = 0.0, limit: int = 99
) -> list[OperationId]:
    """What is taken up where harvests of a farmer may share a transaction, in that order."""
    found = await OperationStore(pool, ORDERS).claim(
        WANTED, limit=limit, lease=60, harvests=harvests, gathered=gathered
    )
    return [operation.id for operation in found]


@pytest.mark.parametrize(("harvests", "taken"), [(1, 1), (2, 2), (3, 3), (4, 3)])
async def test_a_farmers_harvests_come_together_oldest_first_and_no_more_than_asked_for(
    rows: WalletRows, harvests: int, taken: int
) -> None:
    owner, names = await rows.wallet(), new_ids(4)
    wishes = [(owner, "harvest", block) for block in (2, 0, 3, 1)]  # block 3 is not closed
    await write(rows, names, *wishes)
    expected = [names[1], names[3], names[0]]
    assert await claim_harvests(rows.pool, harvests) == expected[:taken]


async def test_other_kinds_come_one_by_one_and_no_harvest_comes_with_them(
    rows: WalletRows,
) -> None:
    planter, worker, names = await rows.wallet(), await rows.wallet(), new_ids(6)
    await write(
        rows,
        names,
        *((planter, "plant", 5), (planter, "plant", 4), (planter, "harvest", 1)),
        *((worker, "work", 4), (worker, "work", 3), (worker, "harvest", 2)),
    )
    assert await claim_harvests(rows.pool, 9) == [names[1], names[4]]


async def test_a_farmers_harvests_stand_together_behind_those_with_an_older_one(
    rows: WalletRows,
) -> None:
    one, other, names = await rows.wallet(), await rows.wallet(), new_ids(5)
    await write(
        rows,
        names,
        *((one, "harvest", 2), (one, "harvest", 1)),
        *((other, "harvest", 0), (other, "harvest", 2), (other, "harvest", 1)),
    )
    expected = [names[2], names[4], names[3], names[1], names[0]]
    assert await claim_harvests(rows.pool, 9) == expected


async def test_when_not_all_are_taken_up_no_farmer_waits_for_anothers_second(
    rows: WalletRows,
) -> None:
    """All of a farmer's before the next farmer's, and each pooler's first farmer first."""
    pooler, names = PoolerId(new_ids(1)[0]), new_ids(6)
    mine = [await rows.wallet(pooler=pooler) for _ in range(2)]
    other = await rows.wallet()
    wishes = [(owner, "harvest", block) for owner in (*mine, other) for block in (1, 2)]
    await write(rows, names, *wishes)
    assert set(await claim_harvests(rows.pool, 9, limit=4)) == {*names[:2], *names[4:]}


@pytest.mark.parametrize(
    ("age", "is_taken"), [(0.0, False), (9.0, False), (11.0, True), (-60.0, True)]
)
async def test_harvests_wait_until_no_further_one_of_their_farmer_was_recorded(
    rows: WalletRows, age: float, is_taken: bool
) -> None:
    """A time that is still to come is a clock that was put back: nothing waits for it."""
    owner, busy = await rows.wallet(), await rows.wallet()
    old = await rows.operation(owner, "harvest", block=1, created_at=ago(100))
    new = await rows.operation(owner, "harvest", block=2, created_at=ago(age))
    plant = await rows.operation(busy, "plant", block=5, created_at=ago(0))
    await rows.operation(busy, "harvest", block=1, created_at=ago(0))
    taken = await claim_harvests(rows.pool, 9, gathered=10)
    assert taken == ([plant, old, new] if is_taken else [plant])


async def test_a_farmers_young_harvest_keeps_no_other_farmer_waiting(rows: WalletRows) -> None:
    await rows.operation(await rows.wallet(), "harvest", block=1, created_at=ago(0))
    old = await rows.operation(await rows.wallet(), "harvest", block=1, created_at=ago(11))
    assert await claim_harvests(rows.pool, 9, gathered=10) == [old]


# By one ----------------------------------------------------------------------------------------


async def test_what_another_process_is_taking_up_is_passed_over(rows: WalletRows) -> None:
    one, two = [await rows.operation(await rows.wallet()) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        assert await claim(rows.pool) == {two}


@pytest.mark.parametrize(
    "change", ["state = 'failed', reason = '', settled_at = now()", "due_at = now() + '1 minute'"]
)
async def test_what_another_process_has_taken_up_meanwhile_is_left_to_it(
    rows: WalletRows, change: str
) -> None:
    """The statement has seen it as it was, and waits before it takes it."""
    taken, left = [await rows.operation(await rows.wallet()) for _ in range(2)]
    async with rows.other() as other:
        await other.connection.execute("LOCK TABLE wallet.pauses")
        claiming = asyncio.create_task(claim(rows.pool))
        await rows.until_somebody_waits()
        query = f"UPDATE wallet.operations SET {change} WHERE id = $1"  # noqa: S608  (ours)
        await rows.connection.execute(query, taken)
    assert await claiming == {left}


# For the treasury ------------------------------------------------------------------------------


async def claim_onboardings(pool: Database, limit: int = 99) -> list[OperationId]:
    """What the treasury takes up, in order."""
    found = await OperationStore(pool, ORDERS).claim_for_treasury(
        OperationKind.ONBOARD, limit=limit, lease=60, ledger=LEDGER, treasury=TREASURY
    )
    return sorted(operation.id for operation in found)


async def test_the_treasury_takes_up_what_it_may_of_one_kind(rows: WalletRows) -> None:
    waiting: list[dict[str, Any]] = [
        {"kind": "open_channel"},
        {"state": "failed"},
        {"unproven": 2},
        {"due_at": ago(-110)},
        {"due_ledger": LEDGER + 1},
    ]
    for values in waiting:
        columns: dict[str, Any] = {"kind": "onboard", "block": 0, **values}
        await rows.operation(await rows.wallet(), **columns)
    paused = await rows.wallet()
    await rows.pause(paused)
    await rows.operation(paused, "onboard", block=0)
    owners = [await rows.wallet() for _ in range(2)]
    wanted = [
        await rows.operation(owner, "onboard", block=0, unproven=1, due_ledger=LEDGER)
        for owner in owners
    ]
    await rows.transaction(TREASURY, "succeeded")
    await rows.transaction()
    found = await OperationStore(rows.pool, ORDERS).claim_for_treasury(
        OperationKind.ONBOARD, limit=99, lease=60, ledger=LEDGER, treasury=TREASURY
    )
    assert {(one.id, one.wallet_id, one.address) for one in found} == {
        (name, owner.id, owner.address) for name, owner in zip(wanted, owners, strict=True)
    }
    assert await claim_onboardings(rows.pool) == []


@pytest.mark.parametrize("state", ["signed", "sent"])
async def test_the_treasury_takes_up_nothing_while_it_has_something_in_flight(
    rows: WalletRows, state: str
) -> None:
    await rows.operation(await rows.wallet(), "onboard", block=0)
    await rows.transaction(TREASURY, state)
    assert await claim_onboardings(rows.pool) == []


async def test_the_treasury_takes_up_the_oldest_and_no_more_than_asked_for(
    rows: WalletRows,
) -> None:
    names = new_ids(3)
    for name in mixed(names):
        await rows.operation(await rows.wallet(), "onboard", block=0, id=name)
    assert await claim_onboardings(rows.pool, limit=1) == names[:1]


async def test_the_treasury_passes_over_what_another_process_is_taking_up(rows: WalletRows) -> None:
    one, two = [await rows.operation(await rows.wallet(), "onboard", block=0) for _ in range(2)]
    async with rows.held("wallet.operations", one):
        assert await claim_onboardings(rows.pool) == [two]


# Given back ------------------------------------------------------------------------------------


async def test_given_back_is_what_is_named_and_waits(rows: WalletRows) -> None:
    owner = await rows.wallet()
    taken, kept = [await rows.operation(owner, block=block, due_at=ago(-110)) for block in (4, 5)]
    signed = await rows.carried(owner, block=6, due_at=ago(-110))
    await OperationStore(rows.pool, ORDERS).release([taken, signed])
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
    rows: WalletRows, *, kind: str, block: int, state: str, values: Any, is_urgent: bool
) -> None:
    owner = await rows.wallet()
    write_one = rows.carried if state in {"signed", "sent"} else rows.operation
    await write_one(owner, kind=kind, block=block, state=state, **values)
    assert await OperationStore(rows.pool, ORDERS).has_urgent(WANTED) is is_urgent


@pytest.mark.parametrize("state", ["queued", "signed"])
async def test_of_what_is_paused_only_what_is_in_flight_is_urgent(
    rows: WalletRows, state: str
) -> None:
    owner = await rows.wallet()
    await rows.wallet()
    await rows.pause(owner)
    await (rows.operation(owner) if state == "queued" else rows.carried(owner))
    assert await OperationStore(rows.pool, ORDERS).has_urgent(WANTED) is (state == "signed")
