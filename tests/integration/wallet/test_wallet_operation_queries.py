"""The queries of operations: what a batch joins, what is listed, and what a settlement changes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId, new_id
from services.wallet.domain.model import (
    Closing,
    FailureReason,
    NewOperation,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
    TransactionEvent,
)
from services.wallet.store.custody import CustodyStore
from services.wallet.store.operations import OperationStore
from services.wallet.store.transactions import TransactionStore
from tests.integration.wallet.test_wallet_store import accept
from tests.support.orders import ORDERS
from tests.support.table_rows import mixed, new_ids
from tests.support.wallet_rows import BLOCK, LEDGER, WalletRow, WalletRows, ago

# Batches ---------------------------------------------------------------------------------------


def wanted(owner: WalletRow, nonce: int | None = None) -> NewOperation:
    """A plant to be, or a work when it has a nonce."""
    return NewOperation(
        id=OperationId(new_id()),
        wallet_id=owner.id,
        amount=0,
        nonce=nonce,
        hash=None if nonce is None else bytes(32),
        zeros=None if nonce is None else 4,
    )


async def record(
    pool: Database, *wishes: NewOperation, name: str = "one", mark: int = 0
) -> list[OperationId] | None:
    """A batch in block 5, and its operations; none when the name is taken."""
    store = OperationStore(pool, ORDERS)
    recorded = await store.record_batch(
        name,
        bytes([mark] * 32),
        kind=OperationKind.PLANT if wishes[0].nonce is None else OperationKind.WORK,
        block_index=BLOCK,
        operations=wishes,
        check=accept,
    )
    if recorded is not None:
        assert sorted(await store.batch_ids(name)) == sorted(recorded)
    return recorded


async def test_a_batch_has_a_name_of_its_own(rows: WalletRows) -> None:
    store, owners = OperationStore(rows.pool, ORDERS), [await rows.wallet() for _ in range(2)]
    for mark, owner in enumerate(owners):
        wish = wanted(owner)
        assert await record(rows.pool, wish, name=f"batch {mark}", mark=mark) == [wish.id]
    assert await record(rows.pool, wanted(owners[0]), name="batch 1") is None
    found = [await store.batch_arguments(f"batch {mark}") for mark in range(3)]
    assert found == [bytes(32), bytes([1] * 32), None]


@pytest.mark.parametrize("nonce", [None, 7])
async def test_a_wish_is_answered_by_its_own_operation(rows: WalletRows, nonce: int | None) -> None:
    owner, other = [await rows.wallet() for _ in range(2)]
    kind, number = ("plant", {}) if nonce is None else ("work", {"nonce": nonce})
    values: dict[str, Any] = dict(number)
    await rows.operation(other, kind, block=BLOCK, **values)
    await rows.operation(owner, kind, block=BLOCK + 1, **values)
    await rows.operation(owner, "harvest", block=BLOCK)
    for state in ("failed", "expired"):
        await rows.operation(owner, kind, state, block=BLOCK, **values)
    await rows.operation(owner, "work", block=BLOCK, nonce=8)
    first, again = [wanted(owner, nonce) for _ in range(2)]
    assert await record(rows.pool, first, name="first") == [first.id]
    assert await record(rows.pool, again, name="again") == [first.id]


@pytest.mark.parametrize("nonces", [(None, None), (1, 2)])
async def test_a_batch_waits_for_another_one_before_it_takes_what_comes_later(
    rows: WalletRows, nonces: tuple[int | None, int | None]
) -> None:
    """In the order of wallets and nonces, so that two batches never wait crosswise."""
    first = await rows.wallet()
    second = first if nonces[0] else await rows.wallet()
    wishes = [wanted(first, nonces[0]), wanted(second, nonces[1])]
    kind = "work" if nonces[0] else "plant"
    async with rows.other() as other:
        taken = await other.operation(first, kind, block=BLOCK, **nonce_of(nonces[0]))
        recording = asyncio.create_task(record(rows.pool, *reversed(wishes)))
        await rows.until_somebody_waits()
        left = await other.operation(second, kind, block=BLOCK, **nonce_of(nonces[1]))
    assert set(await recording or ()) == {taken, left}


def nonce_of(nonce: int | None) -> dict[str, Any]:
    return {} if nonce is None else {"nonce": nonce}


# Listed ----------------------------------------------------------------------------------------


async def test_settled_ones_are_told_in_the_order_of_their_settling(rows: WalletRows) -> None:
    owner, names, then = await rows.wallet(), new_ids(4), ago(60)
    moments = [then, then, then, then - timedelta(seconds=1)]
    for block, (name, moment) in enumerate(mixed(list(zip(names, moments, strict=True)))):
        await rows.operation(owner, block=block, state="succeeded", id=name, settled_at=moment)
    waiting = await rows.operation(owner, block=8)
    await rows.operation(owner, block=9, state="succeeded")
    asked = [OperationId(name) for name in (*names, waiting)]
    found = await OperationStore(rows.pool, ORDERS).settled_among(asked)
    assert [operation.id for operation in found] == [names[3], *names[:3]]


async def test_an_operation_is_found_by_its_id(rows: WalletRows) -> None:
    owner, store = await rows.wallet(), OperationStore(rows.pool, ORDERS)
    for block in range(3):
        name = await rows.operation(owner, block=block)
        found = await store.by_id(name)
        assert found is not None
        assert (found.id, found.block_index) == (name, block)
    assert await store.by_id(OperationId(new_id())) is None


async def test_operations_are_listed_newest_first_by_farmer_state_and_kind(
    rows: WalletRows,
) -> None:
    owners, names = [await rows.wallet() for _ in range(2)], new_ids(8)
    kinds, states = ("plant", "harvest"), ("queued", "failed")
    wishes = [(owner, kind, state) for owner in owners for kind in kinds for state in states]
    for name, (owner, kind, state) in mixed(list(zip(names, wishes, strict=True))):
        await rows.operation(owner, kind, state, block=BLOCK, id=name)

    async def page(**changes: Any) -> list[int]:
        chosen: dict[str, Any] = {
            **dict.fromkeys(("farmer_id", "state", "kind", "before")),
            "limit": 99,
            **changes,
        }
        return [
            names.index(one.id) for one in await OperationStore(rows.pool, ORDERS).page(**chosen)
        ]

    assert await page() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert await page(farmer_id=owners[0].farmer_id) == [3, 2, 1, 0]
    assert await page(kind=OperationKind.HARVEST) == [7, 6, 3, 2]
    assert await page(state=OperationState.FAILED) == [7, 5, 3, 1]
    assert await page(before=names[3]) == [2, 1, 0]
    assert await page(limit=2) == [7, 6]


# Settled ---------------------------------------------------------------------------------------

COLUMNS = (
    "state::text, amount, gap, ledger, fee_charged, reason, error_message, pack_limit, unproven, "
    "transaction_id IS NOT NULL AS is_carried, settled_at IS NOT NULL AS is_settled, "
    "due_at > now() + interval '50 seconds' AS is_paused, due_ledger"
)


async def columns(rows: WalletRows, operation_id: OperationId) -> dict[str, object]:
    """What a settlement may change."""
    query = f"SELECT {COLUMNS} FROM wallet.operations WHERE id = $1"  # noqa: S608  (ours)
    row = await rows.connection.fetchrow(query, operation_id)
    assert row is not None
    return dict(row)


def ending(operation_id: OperationId, event: OperationEvent, **values: Any) -> Settlement:
    reason = FailureReason.REFUSED if event is OperationEvent.FAIL else None
    return Settlement(operation_id=operation_id, event=event, reason=reason, **values)


async def close(rows: WalletRows, settlement: Settlement) -> None:
    """The end of the transaction that carries the operation."""
    carrier = (await rows.operations("transaction_id"))[settlement.operation_id]
    closing = Closing(
        transaction_id=carrier,  # type: ignore[arg-type]
        event=TransactionEvent.FAIL,
        settlements=(settlement,),
        ledger=LEDGER,
    )
    assert await TransactionStore(rows.pool, ORDERS).close([closing]) == 1


#: What an operation has before it is settled.
BEFORE: dict[str, Any] = {
    "amount": 11,
    "gap": 12,
    "fee_charged": 13,
    "pack_limit": 14,
    "unproven": 1,
}


async def test_a_settlement_leaves_what_it_does_not_name(rows: WalletRows) -> None:
    name = await rows.carried(await rows.wallet(), **BEFORE)
    await close(rows, ending(name, OperationEvent.FAIL))
    assert await columns(rows, name) == {
        **BEFORE,
        "state": "failed",
        "ledger": None,
        "reason": "REFUSED",
        "error_message": "",
        "is_carried": True,
        "is_settled": True,
        "is_paused": False,
        "due_ledger": 0,
    }


async def test_another_attempt_has_no_transaction_and_waits(rows: WalletRows) -> None:
    name = await rows.carried(await rows.wallet(), **BEFORE)
    settlement = ending(
        name,
        OperationEvent.RETRY,
        ledger=1,
        fee=7,
        message="in words",
        due_ledger=23,
        pause=60.0,
        pack_limit=24,
        is_unproven=True,
    )
    await close(rows, settlement)
    assert await columns(rows, name) == {
        "state": "queued",
        "amount": 11,
        "gap": 12,
        "ledger": 1,
        "fee_charged": 20,
        "reason": None,
        "error_message": "in words",
        "pack_limit": 24,
        "unproven": 2,
        "is_carried": False,
        "is_settled": False,
        "is_paused": True,
        "due_ledger": 23,
    }


async def test_only_what_is_named_and_still_waits_is_settled(rows: WalletRows) -> None:
    owner = await rows.wallet()
    named, other = [await rows.operation(owner, block=block) for block in range(2)]
    settled = await rows.operation(owner, block=2, state="expired")
    endings = [ending(name, OperationEvent.SUCCEED) for name in (named, settled)]
    assert await OperationStore(rows.pool, ORDERS).settle_queued(endings) == 1
    assert await rows.operations("state::text") == {
        named: "succeeded",
        other: "queued",
        settled: "expired",
    }


async def test_a_transaction_settles_nothing_that_another_one_carries_now(rows: WalletRows) -> None:
    name = await rows.carried(await rows.wallet())
    earlier = await rows.transaction(carries=[name])
    closing = Closing(
        transaction_id=earlier,
        event=TransactionEvent.SUCCEED,
        settlements=(ending(name, OperationEvent.SUCCEED),),
        ledger=LEDGER,
    )
    assert await TransactionStore(rows.pool, ORDERS).close([closing]) == 1
    assert await rows.operations("state::text") == {name: "signed"}


# Held ------------------------------------------------------------------------------------------


async def test_released_is_the_one_that_waits_for_a_person(rows: WalletRows) -> None:
    owner, store = await rows.wallet(), CustodyStore(rows.pool, ORDERS)
    held, other, proven = [
        await rows.operation(owner, block=block, unproven=unproven, due_at=ago(-60))
        for block, unproven in enumerate((2, 2, 1))
    ]
    signed = await rows.carried(owner, block=3, unproven=2, due_at=ago(-60))
    for name in (held, proven, signed):
        assert await store.release(name, actor="me") is (name == held)
    assert await rows.operations("unproven") == {held: 0, other: 2, proven: 1, signed: 2}
    assert await rows.operations("due_at <= now()") == {
        held: True,
        other: False,
        proven: False,
        signed: False,
    }
