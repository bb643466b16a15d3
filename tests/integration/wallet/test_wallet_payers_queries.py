"""The queries of what payers signed: whose envelopes, which of them, and what these paid."""

from typing import Any

import pytest

from libs.common.ids import new_id
from services.wallet.domain.model import TransactionId
from tests.integration.wallet.test_wallet_payer_queries import taken
from tests.support.table_rows import drop_indexes, new_ids
from tests.support.wallet_rows import LEDGER, WalletRow, WalletRows, ago


async def envelope(
    rows: WalletRows, payer: WalletRow, sequence: int, state: str = "failed", **values: Any
) -> TransactionId:
    """An envelope of a payer with the target 100 above its number, which carries two payments."""
    carried = [await rows.payment(await rows.wallet(), payer) for _ in range(2)]
    numbers: dict[str, Any] = {"sequence": sequence, "bump_to": sequence + 100}
    return await rows.transaction(payer.address, state, carried, **numbers | values)


async def carried_by(rows: WalletRows, name: TransactionId) -> set[object]:
    """The operations that a transaction carries."""
    found = await rows.connection.fetch(
        "SELECT operation_id FROM wallet.transaction_operations WHERE transaction_id = $1", name
    )
    return {row["operation_id"] for row in found}


async def test_envelopes_are_read_with_what_each_carries(rows: WalletRows) -> None:
    payer, other = await rows.wallet("payer"), await rows.wallet("payer")
    mine = [await envelope(rows, payer, number) for number in (1, 2, 3)]
    await envelope(rows, other, 1)
    row = await rows.pool.one("payer_transaction", mine[1])
    assert row is not None
    assert (row["id"], row["sequence"], row["bump_to"]) == (mine[1], 2, 102)
    assert set(row["operation_ids"]) == await carried_by(rows, mine[1])
    assert await rows.pool.one("payer_transaction", new_id()) is None


async def test_the_past_of_a_payer_comes_in_the_order_of_ids(rows: WalletRows) -> None:
    payer, other = await rows.wallet("payer"), await rows.wallet("payer")
    ids = [TransactionId(name) for name in new_ids(4)]
    for number, name in reversed(list(enumerate(ids))):
        await envelope(rows, payer, number, id=name)
    await envelope(rows, other, 1)
    # One of no payments.
    await rows.transaction(payer.address, "failed")
    await drop_indexes(rows.connection, "wallet.transactions")
    found = await rows.pool.many("payer_past", payer.address)
    assert [row["id"] for row in found] == ids
    for row in found:
        assert set(row["operation_ids"]) == await carried_by(rows, row["id"])
    for place, name in enumerate(ids):
        later = await rows.pool.many("payer_past_since", payer.address, name)
        assert [row["id"] for row in later] == ids[place:]
        for row in later:
            assert set(row["operation_ids"]) == await carried_by(rows, row["id"])


async def test_the_past_of_payers_is_counted_with_the_sum_of_targets(rows: WalletRows) -> None:
    one, two, other = [await rows.wallet("payer") for _ in range(3)]
    for payer, numbers in ((one, (1, 2)), (two, (4,)), (other, (8,))):
        for number in numbers:
            await envelope(rows, payer, number)
        await rows.transaction(payer.address, "failed")
    found = await rows.pool.many("payer_pasts", [one.address, two.address])
    assert {row["source"]: (row["count"], row["total"]) for row in found} == {
        one.address: (2, 203),
        two.address: (1, 104),
    }


@pytest.mark.parametrize(
    ("state", "following", "has_paid"),
    [
        pytest.param("succeeded", None, True, id="succeeded"),
        pytest.param("failed", None, False, id="failed"),
        pytest.param("failed", {"sequence": 102}, True, id="went on from its target"),
        pytest.param("failed", {"sequence": 101}, False, id="went on from before its target"),
        pytest.param("failed", {"sequence": 103}, False, id="went on from beyond its target"),
        pytest.param("failed", {"sequence": 102, "bump_to": None}, False, id="paid nothing then"),
        pytest.param("failed", {"sequence": 102, "source": "G"}, False, id="another one went on"),
    ],
)
async def test_an_envelope_has_paid_that_succeeded_or_from_whose_target_its_payer_went_on(
    rows: WalletRows, state: str, following: dict[str, object] | None, has_paid: bool
) -> None:
    payer = await rows.wallet("payer")
    name = await envelope(rows, payer, 1, state)
    if following is not None:
        values: dict[str, Any] = {"source": payer.address, "bump_to": 999}
        await rows.transaction(state="failed", **values | following)
    row, *_ = await rows.pool.many("payer_past_since", payer.address, name)
    assert (row["id"], row["has_paid"]) == (name, has_paid)


async def test_shown_targets_come_by_payer_and_target(rows: WalletRows) -> None:
    second, first = [await rows.wallet("payer", id=name) for name in reversed(new_ids(2))]
    other = await rows.wallet("payer")
    await rows.shown(second, 300, 200)
    await rows.shown(other, 100)
    await rows.shown(first, 500, 400)
    await drop_indexes(rows.connection, "wallet.shown_targets")
    found = await rows.pool.many("shown_targets_of", [second.address, first.address])
    assert [(row["address"], row["target"]) for row in found] == [
        (first.address, 400),
        (first.address, 500),
        (second.address, 200),
        (second.address, 300),
    ]


async def test_orders_of_payments_come_with_their_own_wallets(rows: WalletRows) -> None:
    payer, owners = await rows.wallet("payer"), [await rows.wallet() for _ in range(3)]
    names = [await rows.payment(owner, payer) for owner in owners]
    found = await rows.pool.many("payment_orders", names[:2])
    assert len(found) == 2
    assert {(row["id"], row["wallet_id"], row["address"], row["farmer_id"]) for row in found} == {
        (name, owner.id, owner.address, owner.farmer_id)
        for name, owner in zip(names[:2], owners, strict=False)
    }


async def test_payments_that_are_nobodys_come_in_the_order_of_ids(rows: WalletRows) -> None:
    owner, payer = await rows.wallet(), await rows.wallet("payer")
    ids = new_ids(3)
    for name in reversed(ids):
        await rows.payment(owner, None, id=name)
    await rows.payment(owner, payer)
    await rows.payment(owner, None, "top_up")
    for state in ("signed", "failed"):
        await rows.payment(owner, None, state=state)
    found = await rows.pool.many("unassigned_payments", "withdraw")
    assert [row["id"] for row in found] == ids


# Who is suspect -------------------------------------------------------------------------------

REFUSED: dict[str, Any] = {"state": "failed", "attempts": 1}
ALONE: dict[str, Any] = {
    "state": "queued",
    "attempts": 1,
    "pack_limit": 1,
    "due_ledger": LEDGER + 9,
}


@pytest.mark.parametrize(
    ("values", "is_suspect"),
    [
        (REFUSED, True),
        (REFUSED | {"kind": "top_up"}, False),
        (REFUSED | {"state": "expired"}, False),
        (REFUSED | {"state": "succeeded"}, False),
        (REFUSED | {"attempts": 0}, False),
        (REFUSED | {"minutes": 59}, True),
        (REFUSED | {"minutes": 61}, False),
        (ALONE, True),
        (ALONE | {"kind": "top_up"}, False),
        (ALONE | {"state": "signed"}, False),
        (ALONE | {"attempts": 0}, False),
        (ALONE | {"pack_limit": 2}, False),
        (ALONE | {"pack_limit": None}, False),
    ],
    ids=str,
)
async def test_a_pooler_is_suspect_by_what_ledgers_refused_or_what_goes_alone(
    rows: WalletRows, values: dict[str, Any], is_suspect: bool
) -> None:
    payer, other = await rows.wallet("payer"), await rows.wallet("payer")
    owner = await rows.wallet()
    # Tests may run an hour after their import.
    given = {name: value for name, value in values.items() if name != "minutes"}
    if "minutes" in values:
        given["settled_at"] = ago(minutes=values["minutes"])
    await rows.payment(owner, other, **given)
    mine = await rows.payment(await rows.wallet(pooler=owner.pooler_id), payer)
    assert await taken(rows, payer) == {mine: is_suspect}


@pytest.mark.parametrize(
    ("kind", "state", "is_held"),
    [
        ("withdraw", "signed", True),
        ("withdraw", "sent", True),
        ("withdraw", "succeeded", False),
        ("top_up", "sent", False),
    ],
)
async def test_nothing_of_a_suspect_pooler_is_taken_up_while_it_has_a_withdrawal_in_flight(
    rows: WalletRows, kind: str, state: str, is_held: bool
) -> None:
    payer, other = await rows.wallet("payer"), await rows.wallet("payer")
    owner = await rows.wallet()
    await rows.payment(owner, other, **REFUSED)
    await rows.payment(owner, other, kind, state=state)
    mine = await rows.payment(owner, payer)
    assert await taken(rows, payer) == ({} if is_held else {mine: True})
