"""What a run of payouts under attack is judged by: everybody who was due is paid once."""

from dataclasses import replace

import pytest

from trials.faults.checker import Findings
from trials.faults.payouts import Item, compare
from trials.payments import SeenPayment

ONE, TWO = ("farmer", "1"), ("miner", "2")
PAID = [Item(payee=one, state="paid", reason="") for one in (ONE, TWO)]
MADE = [
    SeenPayment(source="GA", destination="GX", amount=5),
    SeenPayment(source="GA", destination="GP", amount=2),
    SeenPayment(source="GP", destination="GM", amount=1),
]
GOOD = Findings(asked=2, done=2)


def test_who_was_due_and_is_paid_once_is_right() -> None:
    assert compare([ONE, TWO], PAID, MADE, MADE) == GOOD
    assert GOOD.is_clean


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (compare([ONE, TWO], PAID[:1], MADE, MADE), replace(GOOD, done=1, lost=1)),
        (compare([ONE, TWO], PAID, MADE, MADE[1:]), replace(GOOD, lost=1)),
        (compare([ONE, TWO], PAID, MADE[1:], MADE), replace(GOOD, doubled=1, overpaid=5)),
        (
            compare([ONE, TWO], PAID, MADE, [*MADE, MADE[1], MADE[1]]),
            replace(GOOD, doubled=2, overpaid=4),
        ),
        (
            compare([ONE, TWO], [PAID[0], replace(PAID[1], state="open")], MADE, MADE),
            replace(GOOD, done=1, left_open=1),
        ),
        *(
            (
                compare([ONE, TWO], [PAID[0], replace(PAID[1], state=end, reason="X")], MADE, MADE),
                replace(GOOD, done=1, given_up={"X": 1}),
            )
            for end in ("failed", "refused")
        ),
        (compare([], [], [], []), Findings(asked=0, done=0, lost=1)),
    ],
)
def test_each_fault_is_counted(found: Findings, expected: Findings) -> None:
    assert replace(found, notes=[]) == expected
    assert not found.is_clean
    assert found.notes or found.given_up
