"""Differences, what they deny, and what reconciliation records: what its queries take, what not."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.common.ids import OperationId, WalletId, new_id
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest, PaidHarvest
from services.wallet.domain.reconciling import Difference, Finding, Kept
from services.wallet.store.reconcile import Denied, ReconcileStore
from tests.support.orders import ORDERS
from tests.support.table_rows import store_backwards
from tests.support.wallet_rows import BLOCK, LEDGER, WalletRow, WalletRows

ALL = 99
NO_PLANT = Difference.RECORD_WITHOUT_PLANT
NO_WORK = Difference.RECORD_WITHOUT_WORK
NO_HARVEST = Difference.RECORD_WITHOUT_HARVEST


def finding(wallet: WalletRow, kind: Difference, block: int = BLOCK) -> Finding:
    """A difference that is there."""
    return Finding(
        kind=kind, wallet_id=wallet.id, block_index=block, recorded="much", on_chain="little"
    )


async def note(rows: WalletRows, *findings: Finding) -> int:
    """How many of these are noted anew."""
    return await ReconcileStore(rows.pool, ORDERS).note(findings, ledger=LEDGER)


async def difference(
    rows: WalletRows, wallet: WalletRow, kind: Difference, *, block: int = BLOCK, settled: str = ""
) -> UUID:
    """A difference of an earlier run."""
    difference_id = new_id()
    await rows.insert(
        "wallet.differences",
        id=difference_id,
        kind=kind.value,
        wallet_id=wallet.id,
        block_index=block,
        recorded="",
        on_chain="",
        ledger=LEDGER,
        settled=settled,
        settled_at=datetime.now(UTC) if settled else None,
    )
    return difference_id


# Noting and settling ---------------------------------------------------------------------------


async def test_blocks_with_open_differences_are_told_the_oldest_first(rows: WalletRows) -> None:
    one, two = await rows.wallet(), await rows.wallet()
    for block in (9, 4, 0, 12, 3):
        await difference(rows, one, NO_PLANT, block=block)
    await difference(rows, two, NO_PLANT, block=4)
    await difference(rows, two, NO_WORK, block=5, settled="gone")
    store = ReconcileStore(rows.pool, ORDERS)
    assert await store.differing_blocks(first=4, before=12, limit=9) == [4, 9]
    assert await store.differing_blocks(first=-7, before=13, limit=9) == [3, 4, 9, 12]
    assert await store.differing_blocks(first=3, before=13, limit=2) == [3, 4]


async def test_what_is_open_is_not_noted_again(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    first = finding(wallet, NO_PLANT)
    assert await note(rows, first) == 1
    assert await note(rows, first, finding(wallet, NO_WORK)) == 1


async def test_what_is_not_found_any_more_is_settled(rows: WalletRows) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    gone = await difference(rows, wallet, NO_PLANT)
    for one, kind, block in (
        (wallet, NO_WORK, BLOCK),  # found again
        (wallet, NO_PLANT, BLOCK + 1),
        (other, NO_PLANT, BLOCK),
    ):
        await difference(rows, one, kind, block=block)
    before = await difference(rows, wallet, NO_HARVEST, settled="before")
    found = [finding(wallet, NO_WORK)]
    store = ReconcileStore(rows.pool, ORDERS)
    assert await store.settle_gone(BLOCK, [wallet.id], found, how="gone") == 1
    settled = await rows.connection.fetch(
        "SELECT id, settled FROM wallet.differences WHERE settled_at IS NOT NULL"
    )
    assert {row["id"]: row["settled"] for row in settled} == {gone: "gone", before: "before"}


async def test_differences_are_told_newest_first_a_page_at_a_time(rows: WalletRows) -> None:
    wallets = [await rows.wallet() for _ in range(4)]
    ids = [await difference(rows, wallet, NO_PLANT) for wallet in wallets]
    over = await difference(rows, wallets[0], NO_PLANT, settled="gone")
    # As they stand they are neither in this order nor in the other.
    await store_backwards(rows.connection, "wallet.differences", ids[:2])
    await store_backwards(rows.connection, "wallet.differences", ids[2:])
    owners = dict(zip([*ids, over], [*wallets, wallets[0]], strict=True))

    async def told(
        before: UUID | None = None, *, settled: bool = False, limit: int = ALL
    ) -> list[UUID]:
        found = await ReconcileStore(rows.pool, ORDERS).page(
            before=before, settled=settled, limit=limit
        )
        assert all(entry.farmer_id == owners[entry.id].farmer_id for entry in found)
        return [entry.id for entry in found]

    newest = ids[::-1]
    assert await told() == newest
    assert await told(settled=True) == [over, *newest]
    assert await told(newest[1]) == newest[2:]
    assert await told(limit=2) == newest[:2]


# Denying ---------------------------------------------------------------------------------------


async def done(
    rows: WalletRows,
    wallet: WalletRow,
    kind: str,
    state: str = "succeeded",
    *,
    block: int = BLOCK,
    **values: Any,
) -> Denied:
    """An operation with a transaction of its own, as it is told when it is denied."""
    source, sequence = f"G{new_id().hex}", new_id().int % 1000
    transaction = await rows.transaction(source, "succeeded", sequence=sequence)
    operation = await rows.operation(
        wallet, kind, state, block=block, transaction_id=transaction, **values
    )
    return Denied(id=operation, source=source, sequence=sequence, ledger=values.get("ledger", 0))


def pail(zeros: int | None = None) -> PailState:
    """A pail with a work of so many zeros."""
    return PailState(sequence=LEDGER, stake=250, gap=3, zeros=zeros, live_until=LEDGER * 2)


async def denied(
    rows: WalletRows, *findings: Finding, pails: dict[WalletId, PailState] | None = None
) -> set[Denied]:
    """What these findings deny."""
    found = await ReconcileStore(rows.pool, ORDERS).denied(BLOCK, findings, pails or {})
    assert len(found) == len(set(found))
    return set(found)


async def test_what_was_found_twice_is_denied_with_its_number(rows: WalletRows) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    expected = {
        await done(rows, wallet, "plant", ledger=LEDGER),
        await done(rows, wallet, "work"),
        await done(rows, wallet, "work"),
    }
    # Of another kind, another block, another farmer; and what is not recorded as done.
    await done(rows, wallet, "harvest")
    await done(rows, wallet, "plant", block=BLOCK + 1)
    await done(rows, other, "plant")
    await done(rows, wallet, "plant", "failed")
    await difference(rows, wallet, NO_PLANT)
    assert await denied(rows, finding(wallet, NO_PLANT)) == expected


async def test_what_only_a_pail_told_of_is_denied_without_a_number(rows: WalletRows) -> None:
    """It never had a transaction, or the transaction is not recorded to have done it."""
    wallet = await rows.wallet()
    found = await rows.operation(wallet, "plant", "succeeded", block=BLOCK)
    await difference(rows, wallet, NO_PLANT)
    for state in ("failed", "excluded"):
        transaction = await rows.transaction("GX", state=state)
        work = await rows.operation(
            wallet, "work", "succeeded", block=BLOCK, transaction_id=transaction
        )
        expected = {Denied(id=one, source=None, sequence=None, ledger=0) for one in (found, work)}
        assert await denied(rows, finding(wallet, NO_PLANT)) >= expected


async def test_what_was_found_once_is_not_denied(rows: WalletRows) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    for kind in ("plant", "work", "harvest"):
        await done(rows, wallet, kind)
        await done(rows, other, kind)
    # By an earlier run of another farmer, of another kind, of another block, and settled since.
    await difference(rows, other, NO_PLANT)
    await difference(rows, wallet, NO_WORK)
    await difference(rows, wallet, NO_PLANT, block=BLOCK + 1)
    await difference(rows, wallet, NO_PLANT, settled="gone")
    assert await denied(rows, finding(wallet, NO_PLANT)) == set()


async def test_works_that_show_more_than_the_pail_are_denied(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    works = {zeros: await done(rows, wallet, "work", zeros=zeros) for zeros in (4, 5, 6)}
    await difference(rows, wallet, NO_WORK)
    asked = finding(wallet, NO_WORK)
    assert await denied(rows, asked, pails={wallet.id: pail(5)}) == {works[6]}
    # A pail that nobody worked has none.
    assert await denied(rows, asked, pails={wallet.id: pail()}) == set(works.values())


async def test_a_harvest_is_denied_whatever_zeros_its_pail_has(rows: WalletRows) -> None:
    wallet = await rows.wallet()
    harvest = await done(rows, wallet, "harvest")
    await difference(rows, wallet, NO_HARVEST)
    asked = finding(wallet, NO_HARVEST)
    assert await denied(rows, asked, pails={wallet.id: pail(5)}) == {harvest}


async def test_what_is_denied_has_failed(rows: WalletRows) -> None:
    wallet, other = await rows.wallet(), await rows.wallet()
    for one in (wallet, other):
        await difference(rows, one, NO_PLANT)
    plant = await done(rows, wallet, "plant")
    waiting = await rows.operation(wallet, "work", "queued")
    work = Denied(id=waiting, source=None, sequence=None, ledger=0)
    for kind in ("plant", "work"):
        await done(rows, other, kind)
    assert await ReconcileStore(rows.pool, ORDERS).deny([plant, work]) == 1
    failed = await rows.connection.fetch(
        "SELECT id, state, reason, error_message FROM wallet.operations WHERE reason IS NOT NULL"
    )
    message = "nodes said that it worked, and the chain has no trace of it"
    assert [tuple(row) for row in failed] == [(plant.id, "failed", "REFUSED", message)]


# What the chain has and no record --------------------------------------------------------------


def unrecorded(wallet: WalletRow) -> Kept:
    """A farmer of whom nothing is recorded."""
    return Kept(
        wallet_id=wallet.id,
        address=wallet.address,
        block_index=BLOCK,
        stake=None,
        zeros=None,
        is_harvested=False,
        is_moving=False,
        ledger=0,
    )


async def operations(rows: WalletRows) -> list[tuple[object, ...]]:
    """All operations: kind, wallet, block, state, amount, zeros, gap, ledger, is_found."""
    found = await rows.connection.fetch(
        "SELECT kind, wallet_id, block_index, state, amount, zeros, gap, ledger, is_found, "
        "settled_at IS NOT NULL FROM wallet.operations"
    )
    return [tuple(row) for row in found]


async def test_a_plant_of_the_chain_is_recorded_once(rows: WalletRows) -> None:
    wallet, store = await rows.wallet(), ReconcileStore(rows.pool, ORDERS)
    for _ in range(2):
        await store.insert_plant(unrecorded(wallet), pail())
    assert await operations(rows) == [
        ("plant", wallet.id, BLOCK, "succeeded", 250, None, None, LEDGER, True, True)
    ]


async def test_a_work_of_the_chain_is_recorded_once(rows: WalletRows) -> None:
    wallet, store = await rows.wallet(), ReconcileStore(rows.pool, ORDERS)
    for _ in range(2):
        await store.insert_work(unrecorded(wallet), pail(6))
    assert await operations(rows) == [
        ("work", wallet.id, BLOCK, "succeeded", 0, 6, 3, LEDGER + 3, True, True)
    ]


async def test_a_harvest_that_is_due_is_queued_once(rows: WalletRows) -> None:
    wallet, store = await rows.wallet(), ReconcileStore(rows.pool, ORDERS)
    for _ in range(2):
        await store.queue_harvest(unrecorded(wallet))
    assert await operations(rows) == [
        ("harvest", wallet.id, BLOCK, "queued", 0, None, None, None, True, False)
    ]


async def test_a_harvest_of_somebody_else_is_recorded_once(rows: WalletRows) -> None:
    wallet, store = await rows.wallet(), ReconcileStore(rows.pool, ORDERS)
    paid = PaidHarvest(block_index=BLOCK, reward=70, stake=30)
    foreign_harvest = ForeignHarvest(
        address=wallet.address, minted=(100,), pails={}, ledger=LEDGER, transaction_hash="ab" * 32
    )
    assert await store.insert_harvest(wallet.id, BLOCK, paid, foreign_harvest)
    assert not await store.insert_harvest(wallet.id, BLOCK, paid, foreign_harvest)
    assert await operations(rows) == [
        ("harvest", wallet.id, BLOCK, "succeeded", 70, None, None, LEDGER, True, True)
    ]
    found = await rows.connection.fetchrow(
        "SELECT stake_returned, found_hash FROM wallet.operations"
    )
    assert found is not None
    assert tuple(found) == (30, "ab" * 32)


async def test_nothing_is_denied_of_nobody(rows: WalletRows) -> None:
    await difference(rows, await rows.wallet(), NO_PLANT)
    assert await denied(rows) == set()
    nobody = Denied(id=OperationId(new_id()), source=None, sequence=None, ledger=0)
    assert await ReconcileStore(rows.pool, ORDERS).deny([nobody]) == 0
