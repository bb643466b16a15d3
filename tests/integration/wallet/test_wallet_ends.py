"""How operations ended: what wallet wrote is told, what somebody else wrote is tampered."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.common.db.pool import Database
from libs.common.ids import OperationId, new_id
from services.wallet.domain.chain_facts import PailState
from services.wallet.domain.foreign_harvests import ForeignHarvest, PaidHarvest
from services.wallet.domain.model import (
    CarriedOperation,
    ChainHead,
    Closing,
    FailureReason,
    OpenTransaction,
    Operation,
    OperationEvent,
    OperationKind,
    OperationState,
    Settlement,
    TransactionEvent,
)
from services.wallet.domain.reconciling import Difference, Finding, Kept
from services.wallet.domain.settling import succeeded
from services.wallet.store.operations import OperationStore
from services.wallet.store.reconcile import ReconcileStore
from services.wallet.store.transactions import Draft, TransactionStore
from services.wallet.store.turning import TurningStore
from services.wallet.usecases.wallet import UseCases
from tests.support.database import DatabaseAccess, connect
from tests.support.orders import ORDERS
from tests.support.told_wallet import envelope
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago

BLOCK = 5
REWARD, STAKE = 500, 250
LOOT = 9 * 10**17


async def told(pool: Database, operation_id: UUID) -> Operation:
    """How wallet says that an operation ended."""
    (found,) = await OperationStore(pool, ORDERS).settled_among([OperationId(operation_id)])
    return found


async def is_tampered(pool: Database, operation_id: UUID) -> bool:
    """Whether wallet says that somebody else wrote how an operation ended."""
    found = await told(pool, operation_id)
    if found.reason is not FailureReason.TAMPERED:
        return False
    assert (found.state, found.amount, found.gap) == (OperationState.FAILED, 0, None)
    assert (found.ledger, found.transaction_hash) == (0, "")
    return True


async def signed(rows: WalletRows, kind: str, owner: WalletRow, **values: Any) -> OpenTransaction:
    """A transaction in flight, as wallet reads it again, with one operation."""
    await rows.wallet("treasury", xlm_stroops=10**9)
    name = await rows.operation(owner, kind, block=BLOCK, **values)
    store = TransactionStore(rows.pool, ORDERS)
    draft = Draft(envelope=envelope(owner.address), operation_ids=(name,), stakes_returned=(STAKE,))
    committed = await store.commit_signed([draft], ledger=LEDGER)
    (found,) = await store.open([item.id for item in committed.recorded])
    return found


async def close(
    pool: Database, transaction: OpenTransaction, *settlements: Settlement, is_forged: bool = False
) -> None:
    """A ledger has the transaction, and it worked."""
    closing = Closing(
        transaction_id=transaction.id,
        event=TransactionEvent.SUCCEED,
        settlements=settlements,
        ledger=LEDGER,
    )
    forged = {transaction.id} if is_forged else set()
    await TransactionStore(pool, ORDERS).close([closing], forged=forged)


def worked(operation: CarriedOperation, value: int | None = None) -> Settlement:
    return succeeded(operation, value=value, ledger=LEDGER, fee=1)


async def test_services_are_told_of_plants_works_and_harvests_alone(rows: WalletRows) -> None:
    parts: dict[str, Any] = dict.fromkeys(UseCases.__dataclass_fields__)
    use_cases = UseCases(**parts | {"operations": OperationStore(rows.pool, ORDERS)})
    names = []
    for kind in OperationKind:
        owner = await rows.wallet()
        names.append(await rows.operation(owner, kind.value, state="succeeded"))
    found = await use_cases.judged(names)
    assert {item.kind.value for item in found} == {"plant", "work", "harvest"}
    assert {item.reason for item in found} == {None}


# What wallet wrote -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("plant", None, (77, 0, None)),
        ("work", 7, (0, 0, 7)),
        ("harvest", REWARD, (REWARD, STAKE, None)),
        ("harvest", None, (0, STAKE, None)),
    ],
)
async def test_what_a_ledger_did_is_told(
    rows: WalletRows, kind: str, value: int | None, expected: tuple[int, int, int | None]
) -> None:
    values = {"amount": 77} if kind == "plant" else {}
    transaction = await signed(rows, kind, await rows.wallet(), **values)
    (operation,) = transaction.operations
    settlement = worked(operation, value)
    if kind != "harvest":
        settlement = replace(settlement, stake_returned=0)
    await close(rows.pool, transaction, settlement)
    found = await told(rows.pool, operation.id)
    assert (found.state, found.ledger) == (OperationState.SUCCEEDED, LEDGER)
    stake = (await rows.operations("stake_returned"))[operation.id]
    assert (found.amount, stake, found.gap) == expected


@pytest.mark.parametrize("event", [OperationEvent.FAIL, OperationEvent.EXPIRE])
async def test_what_was_given_up_is_told(rows: WalletRows, event: OperationEvent) -> None:
    store = OperationStore(rows.pool, ORDERS)
    name = await rows.operation(await rows.wallet(), "plant", amount=77)
    end = Settlement(operation_id=name, event=event, reason=FailureReason.FEE_CAP, ledger=3)
    assert await store.settle_queued([end]) == 1
    found = await told(rows.pool, name)
    assert (found.reason, found.ledger) == (FailureReason.FEE_CAP, 3)


async def test_what_goes_on_has_no_end(rows: WalletRows) -> None:
    name = await rows.operation(await rows.wallet())
    later = Settlement(operation_id=name, event=OperationEvent.RETRY)
    await OperationStore(rows.pool, ORDERS).settle_queued([later])
    assert (await rows.operations("end_mac"))[name] is None
    assert await OperationStore(rows.pool, ORDERS).settled_among([name]) == []


async def test_what_was_found_on_the_chain_is_told(rows: WalletRows) -> None:
    store, owner = ReconcileStore(rows.pool, ORDERS), await rows.wallet()
    kept = Kept(
        wallet_id=owner.id,
        address=owner.address,
        block_index=BLOCK,
        stake=None,
        zeros=None,
        is_harvested=False,
        is_moving=False,
        ledger=0,
    )
    pail = PailState(sequence=80, stake=STAKE, gap=9, zeros=6, live_until=10**6)
    harvest = ForeignHarvest(
        address=owner.address, minted=(), pails={}, ledger=LEDGER, transaction_hash="ab"
    )
    paid = PaidHarvest(block_index=BLOCK, reward=REWARD, stake=STAKE)
    await store.insert_plant(kept, pail)
    await store.insert_work(kept, pail)
    assert await store.insert_harvest(owner.id, BLOCK, paid, harvest)
    names = await rows.operations("kind")
    ends = {names[name]: await told(rows.pool, name) for name in names}
    assert {kind: (end.amount, end.gap, end.ledger) for kind, end in ends.items()} == {
        "plant": (STAKE, None, 80),
        "work": (0, 9, 89),
        "harvest": (REWARD, None, LEDGER),
    }


async def test_what_reconciliation_denies_has_failed_by_wallets_word(rows: WalletRows) -> None:
    store, owner = ReconcileStore(rows.pool, ORDERS), await rows.wallet()
    plant = await rows.operation(owner, state="succeeded", amount=5, ledger=LEDGER)
    finding = Finding(
        kind=Difference.RECORD_WITHOUT_PLANT,
        wallet_id=owner.id,
        block_index=BLOCK,
        recorded="5",
        on_chain="nothing",
    )
    await store.note([finding], ledger=LEDGER)
    denied = await store.denied(BLOCK, [finding], {})
    assert [(item.id, item.ledger) for item in denied] == [(plant, LEDGER)]
    assert await store.deny(denied) == 1
    found = await told(rows.pool, plant)
    assert (found.state, found.reason) == (OperationState.FAILED, FailureReason.REFUSED)
    assert found.ledger == LEDGER


async def test_what_is_turned_back_with_a_head_that_was_a_lie_stays_told(rows: WalletRows) -> None:
    await rows.insert(
        "chain.head",
        ledger=5000,
        close_time=ago(60),
        current_block=6,
        plantable_block=6,
        paused=False,
        block_seconds=300,
        updated_at=ago(3600),
    )
    owner = await rows.wallet()
    genuine = await rows.operation(owner, state="succeeded", amount=5, ledger=4000)
    forged = await rows.operation(owner, "work", "succeeded", ledger=4000, end_mac=bytes(34))
    bare = await rows.operation(owner, "harvest", "succeeded", ledger=4000, end_mac=None)
    head = ChainHead(
        ledger=LEDGER,
        close_time=ago(1),
        current_block=6,
        plantable_block=6,
        paused=False,
        block_seconds=300,
    )
    assert await TurningStore(rows.pool, ORDERS).turn_back(head, unseen_for=60)
    assert set((await rows.operations("ledger")).values()) == {LEDGER}
    assert (await told(rows.pool, genuine)).ledger == LEDGER
    assert [await is_tampered(rows.pool, name) for name in (genuine, forged, bare)] == [
        False,
        True,
        True,
    ]


# What somebody else wrote, who has wallet's password -------------------------------------------

DONE = """
UPDATE wallet.operations
SET state = 'succeeded', amount = $2, ledger = 100, settled_at = now() WHERE id = $1
"""
FOUND = """
INSERT INTO wallet.operations (
    id, kind, wallet_id, block_index, state, amount, ledger, found_hash, settled_at, is_found,
    end_mac
)
VALUES ($1, 'harvest', $2, 9, 'succeeded', $3, 9, 'ab', now(), true, $4)
"""
DIFFERENCE = """
INSERT INTO wallet.differences (id, kind, wallet_id, block_index, recorded, on_chain, ledger)
VALUES ($1, 'record_without_plant', $2, 5, '', '', 1)
"""
DENIED = """
UPDATE wallet.operations
SET state = 'failed', reason = 'REFUSED', error_message = '', settled_at = now() WHERE id = $1
"""


@pytest.mark.parametrize("state", ["queued", "signed"])
async def test_a_harvest_that_is_said_to_have_paid_is_tampered(
    rows: WalletRows, database: DatabaseAccess, state: str
) -> None:
    name = await rows.operation(await rows.wallet(), "harvest", state)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(DONE, name, LOOT)
    assert await is_tampered(rows.pool, name)
    # It stays so: nobody writes another end over it.
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.RaiseError, match="never changes"):
            await thief.execute("UPDATE wallet.operations SET amount = 1 WHERE id = $1", name)


@pytest.mark.parametrize("copies", [False, True], ids=["without", "with a copied authenticator"])
async def test_a_found_harvest_that_somebody_invented_is_tampered(
    rows: WalletRows, database: DatabaseAccess, copies: bool
) -> None:
    owner = await rows.wallet()
    genuine = await rows.operation(owner, "harvest", "succeeded", amount=LOOT, ledger=9)
    assert (await told(rows.pool, genuine)).amount == LOOT
    mac = (await rows.operations("end_mac"))[genuine] if copies else None
    invented = new_id()
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(FOUND, invented, owner.id, LOOT, mac)
    assert await is_tampered(rows.pool, invented)


async def test_a_call_that_a_difference_of_ones_own_denies_is_tampered(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    owner = await rows.wallet()
    plant = await rows.operation(owner, state="succeeded", amount=5, ledger=LEDGER)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(DIFFERENCE, new_id(), owner.id)
        await thief.execute(DENIED, plant)
    assert await is_tampered(rows.pool, plant)


async def test_a_ledger_that_a_head_of_ones_own_turns_back_is_tampered(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    plant = await rows.operation(await rows.wallet(), state="succeeded", amount=5, ledger=LEDGER)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(
            "INSERT INTO chain.head (ledger, close_time, plantable_block, paused, block_seconds) "
            "VALUES (3, now(), 1, false, 300)"
        )
        await thief.execute("UPDATE wallet.operations SET ledger = 3 WHERE id = $1", plant)
    assert await is_tampered(rows.pool, plant)


async def test_a_stake_that_is_written_while_a_harvest_is_in_flight_is_not_told(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    transaction = await signed(rows, "harvest", await rows.wallet())
    (operation,) = transaction.operations
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute("UPDATE wallet.operations SET stake_returned = 9 * 10^17")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute("UPDATE wallet.transaction_operations SET stake_returned = 9")
    (again,) = await TransactionStore(rows.pool, ORDERS).open([transaction.id])
    await close(rows.pool, again, worked(again.operations[0], REWARD))
    assert (await told(rows.pool, operation.id)).amount == REWARD
    assert (await rows.operations("stake_returned"))[operation.id] == STAKE


async def test_what_a_transaction_that_wallet_did_not_write_carried_is_tampered(
    rows: WalletRows, database: DatabaseAccess
) -> None:
    transaction = await signed(rows, "harvest", await rows.wallet())
    own = await rows.operation(await rows.wallet(), "harvest", block=BLOCK)
    async with connect(database.dsn("wallet")) as thief:
        await thief.execute(
            "UPDATE wallet.operations SET state = 'sent', transaction_id = $2 WHERE id = $1",
            own,
            transaction.id,
        )
        link = "INSERT INTO wallet.transaction_operations VALUES ($1, 2, $2)"
        await thief.execute(link, transaction.id, own)
    store = TransactionStore(rows.pool, ORDERS)
    (again,) = await store.open([transaction.id])
    assert not store.is_genuine(again)
    ends = [worked(operation, REWARD) for operation in again.operations]
    assert len(ends) == 2
    await close(rows.pool, again, *ends, is_forged=True)
    assert await is_tampered(rows.pool, own)


#: What makes an operation, or binds a transaction to its source's number.
FIXED = {
    "operations": (
        "kind = 'top_up'",
        "wallet_id = (SELECT id FROM wallet.wallets WHERE kind = 'treasury')",
        "block_index = 7",
        "nonce = 7",
        "hash = decode(repeat('00', 32), 'hex')",
        "zeros = 64",
        "is_found = true",
        "found_hash = 'ab'",
        "created_at = now()",
    ),
    "transactions": (
        "source = 'G'",
        "sequence = 7",
        "bump_to = NULL",
        "lookup_hash = 'ab'",
        "max_time = 9",
        "is_rent = true",
        "created_at = now()",
        "ledger_share = 0",
    ),
}


@pytest.mark.parametrize(
    ("table", "change"),
    [(table, change) for table, changes in FIXED.items() for change in changes],
)
async def test_wallets_role_changes_nothing_that_makes_an_order(
    database: DatabaseAccess, table: str, change: str
) -> None:
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await thief.execute(f"UPDATE wallet.{table} SET {change}")  # noqa: S608  (ours)


@pytest.mark.parametrize("state", ["queued", "sent"])
@pytest.mark.parametrize(
    "change",
    ["amount = 6", "gap = 6", "amount = 6, state = 'failed', reason = '', settled_at = now()"],
)
async def test_what_an_operation_moves_changes_by_its_success_alone(
    rows: WalletRows, database: DatabaseAccess, state: str, change: str
) -> None:
    await rows.operation(await rows.wallet(), state=state, amount=5)
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.CheckViolationError, match="by its success alone"):
            await thief.execute(f"UPDATE wallet.operations SET {change}")  # noqa: S608  (ours)


async def test_a_payments_amount_never_changes(rows: WalletRows, database: DatabaseAccess) -> None:
    payment = await rows.payment(await rows.wallet(), None, state="sent")
    async with connect(database.dsn("wallet")) as thief:
        with pytest.raises(asyncpg.CheckViolationError, match="by its success alone"):
            await thief.execute(DONE, payment, LOOT)
