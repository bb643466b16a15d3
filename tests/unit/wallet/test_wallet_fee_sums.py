"""Fees of a span: their sum, and what one KALE cost."""

from datetime import UTC, datetime

import pytest

from services.wallet.domain.fee_reports import Fee, FeeKind, Fees, in_order

MOST = 2**63 - 1


def fees(*stroops: int, rewards: int = 0) -> Fees:
    """Return what a span cost, one kind after the other."""
    kinds = [
        Fee(kind=kind, stroops=value, charges=1)
        for kind, value in zip(FeeKind, stroops, strict=False)
    ]
    return Fees(starts_at=datetime(2026, 1, 1, tzinfo=UTC), kinds=kinds, rewards=rewards)


@pytest.mark.parametrize(
    ("stroops", "total"), [((), 0), ((7,), 7), ((7, 5, 1), 13), ((MOST - 1, 2), MOST)]
)
def test_the_stroops_of_all_kinds_are_added_up_to_what_a_message_can_carry(
    stroops: tuple[int, ...], total: int
) -> None:
    assert fees(*stroops).stroops == total


@pytest.mark.parametrize(
    ("stroops", "rewards", "price"),
    [
        (100, 0, None),
        (100, -1, None),
        (100, 1, 1_000_000_000),
        (0, 1, 0),
        # One KALE has ten million stroops; what is not a whole stroop is dropped.
        (299, 20_000_000, 149),
        (1, 10_000_001, 0),
        (MOST // 2, 1, MOST),
    ],
)
def test_the_price_of_a_kale_is_rounded_down(stroops: int, rewards: int, price: int | None) -> None:
    assert fees(stroops, rewards=rewards).stroops_per_kale == price


def test_fees_stand_in_the_order_of_their_kinds() -> None:
    kinds = [FeeKind.OTHER, FeeKind.PLANT, FeeKind.RENT, FeeKind.ONBOARD]
    found = in_order([Fee(kind=kind, stroops=1, charges=1) for kind in kinds])
    assert [fee.kind for fee in found] == [
        FeeKind.ONBOARD, FeeKind.PLANT, FeeKind.RENT, FeeKind.OTHER
    ]  # fmt: skip
