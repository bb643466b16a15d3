"""What a farmer that leaves waits for, in its order, and whose word counts."""

import pytest

from libs.common.grpc.identity import Caller, CallerKind
from services.registry.domain.leaving import Waits, Word, may_leave_from, waits_for
from services.registry.domain.status import FarmerStatus
from services.registry.messages import word_of


@pytest.mark.parametrize(
    ("left", "reason", "message"),
    [
        ({"farmers": 2, "unharvested": 1}, "FARMERS", "2 farmers have not left yet"),
        ({"unharvested": 3, "payouts": 1}, "UNHARVESTED", "3 blocks are not harvested yet"),
        ({"payouts": 1, "fees": 5}, "ON_ITS_WAY", "1 payouts are on their way"),
        (
            {"farmer:pending_out": 4, "farmer:available": 9},
            "ON_ITS_WAY",
            "4 stroops of KALE are on their way",
        ),
        (
            {"farmer:available": -9, "fees": 5},
            "UNPAID",
            "-9 stroops of KALE are to be paid out (kalepool payout pending tells why they wait)",
        ),
        (
            {"fees": 5},
            "FEES_UNPAID",
            "5 stroops of KALE are owed as fees, and lie in its account",
        ),
        (
            {"pooler:fee": 5, "miner:earned": 6},
            "UNPAID",
            "5 stroops of KALE are to be paid to the pooler",
        ),
        (
            {"miner:earned": 6, "miners": 7},
            "NOT_DIVIDED",
            "6 stroops of KALE are not divided among miners",
        ),
        (
            {"miners": 7, "funds": 8},
            "MINERS_UNPAID",
            "7 stroops of KALE are to be paid to miners",
        ),
        ({"funds": 8}, "UNPAID", "8 stroops of KALE lie in its custodial account"),
        # What a newer harvest knows.
        ({"new": 1, "other": 2, "none": 0}, "UNPAID", "left: new, other"),
    ],
)
def test_what_is_left_goes_in_this_order(left: dict[str, int], reason: str, message: str) -> None:
    assert waits_for(left) == Waits(reason=reason, message=message)


@pytest.mark.parametrize("left", [{}, {"farmers": 0, "unheard": 0}])
def test_who_has_nothing_waits_for_nothing(left: dict[str, int]) -> None:
    assert waits_for(left) is None


@pytest.mark.parametrize("kind", CallerKind)
def test_a_pooler_has_the_weakest_word(kind: CallerKind) -> None:
    expected = Word.POOLER if kind is CallerKind.POOLER else Word.OPERATOR
    assert word_of(Caller(kind=kind, name="one", identity="one")) is expected


def test_an_operators_word_alone_takes_a_farmer_out_of_its_suspension() -> None:
    assert set(may_leave_from(Word.OPERATOR)) == {
        FarmerStatus.ACTIVE,
        FarmerStatus.SUSPENDED,
        FarmerStatus.LEAVING,
    }
    for word in (Word.POOLER, Word.OWNER):
        assert set(may_leave_from(word)) == {FarmerStatus.ACTIVE, FarmerStatus.LEAVING}
