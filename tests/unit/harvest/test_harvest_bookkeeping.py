"""What wallet's movements come to in the ledger."""

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.common.ids import FarmerId, PoolerId, new_id
from services.harvest.domain.bookkeeping import (
    ASKED,
    FAILED,
    SUCCEEDED,
    Movement,
    PayoutParts,
    PoolPayment,
    bookings_of,
)
from services.harvest.domain.credits import miner_id
from services.harvest.loops import seconds_until


def movement(kind: str, end: str, **values: Any) -> Movement:
    """A movement of 7 stroops that cost 5."""
    told: dict[str, Any] = {
        "operation_id": new_id(),
        "farmer_id": FarmerId(new_id()),
        "pooler_id": PoolerId(new_id()),
        "block_index": 3,
        "ledger": 9,
        "transaction_hash": "",
        "at": datetime.now(UTC),
        "amount": 7,
        "withdrawn_kale": 30 if kind == "withdraw" else 0,
        "fee": 5,
    }
    return Movement(kind=kind, end=end, **told | values)


@pytest.mark.parametrize(
    ("kind", "end", "booked"),
    [
        ("plant", SUCCEEDED, [("plant", 7, 3), ("cost", 5, 3)]),
        ("plant", FAILED, [("cost", 5, 3)]),
        ("work", SUCCEEDED, [("cost", 5, 3)]),
        ("work", FAILED, [("cost", 5, 3)]),
        # With its event.
        ("harvest", SUCCEEDED, []),
        ("harvest", FAILED, []),
        ("withdraw", ASKED, [("withdrawal", 30, None)]),
        (
            "withdraw",
            SUCCEEDED,
            [("withdrawal", 30, None), ("payout", 30, None), ("cost", 5, None)],
        ),
        (
            "withdraw",
            FAILED,
            [("withdrawal", 30, None), ("withdrawal_return", 30, None), ("cost", 5, None)],
        ),
        ("onboard", SUCCEEDED, [("cost", 5, None)]),
    ],
)
def test_each_end_has_its_journals(
    kind: str, end: str, booked: list[tuple[str, int, int | None]]
) -> None:
    one = movement(kind, end)
    found = bookings_of([one])
    told = [(item.kind, item.amount, item.block_index) for item in found.transfers]
    assert told == booked
    is_denied = end == FAILED and kind in {"plant", "harvest"}
    assert found.denials == ((one.operation_id,) if is_denied else ())


def test_what_is_told_twice_and_what_is_nothing_is_not_booked() -> None:
    one = movement("withdraw", ASKED)
    same = movement("withdraw", SUCCEEDED, operation_id=one.operation_id, fee=0)
    nothing = movement("plant", SUCCEEDED, amount=0, fee=0)
    xlm = movement("withdraw", SUCCEEDED, withdrawn_kale=0)
    found = bookings_of([one, same, nothing, xlm]).transfers
    assert [item.kind for item in found] == ["withdrawal", "payout", "cost"]


def test_a_payout_takes_the_farmers_own_and_moves_its_fees_on() -> None:
    parts = PayoutParts(amount=40, pooler=3, miners=2, operator=1)
    one = movement("payout", ASKED, payout=parts, amount=0)
    found = bookings_of([one])
    assert [(item.kind, item.amount) for item in found.transfers] == [("withdrawal", 40)]
    assert found.payments == ()
    (paid,) = bookings_of([movement("payout", SUCCEEDED, payout=parts)]).payments
    assert (paid.kind, paid.pooler, paid.miners, paid.operator) == ("fee_payout", 3, 2, 1)
    failed = bookings_of([movement("payout", FAILED, payout=parts, fee=0)])
    assert [item.kind for item in failed.transfers] == ["withdrawal", "withdrawal_return"]
    assert failed.payments == ()
    own = bookings_of(
        [
            movement(
                "payout",
                SUCCEEDED,
                fee=0,
                payout=PayoutParts(amount=40, pooler=0, miners=0, operator=0),
            ),
            movement(
                "payout",
                SUCCEEDED,
                fee=0,
                payout=PayoutParts(amount=0, pooler=1, miners=0, operator=0),
            ),
        ]
    )
    assert [item.kind for item in own.transfers] == ["withdrawal", "payout"]
    assert [item.pooler for item in own.payments] == [1]


def test_what_leaves_a_poolers_account_is_its_own_or_its_miners() -> None:
    payment = PoolPayment(amount=9, destination="GMINER", is_miner=True)
    one = movement("pool_payment", SUCCEEDED, pool_payment=payment)
    assert one.pooler_id is not None
    (paid,) = bookings_of([one]).payments
    assert (paid.owner_id, paid.pooler, paid.miners) == (miner_id(one.pooler_id, "GMINER"), 0, 9)
    own = PoolPayment(amount=9, destination="GPOOLER", is_miner=False)
    other = movement("pool_payment", SUCCEEDED, pool_payment=own)
    (paid,) = bookings_of([other]).payments
    assert (paid.owner_id, paid.pooler, paid.miners) == (other.pooler_id, 9, 0)
    assert bookings_of([movement("pool_payment", FAILED, pool_payment=own)]).payments == ()


@pytest.mark.parametrize(
    ("now", "seconds"), [("02:59:30", 30), ("03:00:00", 86_400), ("03:00:01", 86_399)]
)
def test_the_night_is_waited_for(now: str, seconds: float) -> None:
    moment = datetime.fromisoformat(f"2026-05-01T{now}+00:00")
    assert seconds_until(3, moment) == seconds
