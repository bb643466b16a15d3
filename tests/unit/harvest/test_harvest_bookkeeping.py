"""What wallet's movements come to in the ledger."""

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.common.ids import FarmerId, PoolerId, new_id
from services.harvest.domain.bookkeeping import ASKED, FAILED, SUCCEEDED, Movement, bookings_of
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


@pytest.mark.parametrize(
    ("now", "seconds"), [("02:59:30", 30), ("03:00:00", 86_400), ("03:00:01", 86_399)]
)
def test_the_night_is_waited_for(now: str, seconds: float) -> None:
    moment = datetime.fromisoformat(f"2026-05-01T{now}+00:00")
    assert seconds_until(3, moment) == seconds
