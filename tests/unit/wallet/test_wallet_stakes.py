"""What a plant may stake: the part of the balance that was agreed, and not a stroop more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kale.amounts import stake_amount
from services.wallet.domain.chain_facts import AccountState
from services.wallet.domain.model import FailureReason, OperationKind, QueuedOperation
from services.wallet.domain.screening import Advice, barrier
from tests.support.signing import operation


def reason(stake: int, kale: int, *, bps: int = 5000, withdrawn: int = 0) -> FailureReason | None:
    """Return why a plant is refused by what an account shows."""
    plant = operation(OperationKind.PLANT, amount=stake)
    fields = vars(plant) | {"stake_bps": bps, "withdrawn": withdrawn}
    account = AccountState(address=plant.address, exists=True, has_trustline=True, kale=kale)
    found = barrier(QueuedOperation(**fields), account, pail=None)
    if found.settlement is None:
        assert found.advice is Advice.SEND
        return None
    return found.settlement.reason


@pytest.mark.parametrize(
    ("stake", "kale", "bps", "withdrawn", "is_refused"),
    [
        (50, 100, 5000, 0, False),
        (51, 100, 5000, 0, True),
        (0, 100, 0, 0, False),
        (1, 100, 0, 0, True),
        (99, 100, 9999, 0, False),
        (100, 100, 9999, 0, True),
        (100, 100, 10_000, 0, False),
        # What was withdrawn since the stake was reckoned counts as if it were still there.
        (60, 100, 5000, 20, False),
        (61, 100, 5000, 20, True),
        # What is not there at all is for the network to refuse, with its own reason.
        (101, 100, 5000, 0, False),
        (101, 100, 10_000, 0, False),
    ],
)
def test_a_plant_stakes_what_was_agreed_at_most(
    stake: int, kale: int, bps: int, withdrawn: int, is_refused: bool
) -> None:
    expected = FailureReason.STAKE_NOT_AGREED if is_refused else None
    assert reason(stake, kale, bps=bps, withdrawn=withdrawn) is expected


@given(
    kale=st.integers(0, 10**15),
    bps=st.integers(0, 10_000),
    agreed=st.integers(0, 10_000),
)
def test_what_plant_reckons_by_an_agreed_part_is_never_refused(
    kale: int, bps: int, agreed: int
) -> None:
    stake = stake_amount(kale, bps)
    found = reason(stake, kale, bps=agreed)
    if bps <= agreed:
        assert found is None
    elif stake > stake_amount(kale, agreed):
        assert found is FailureReason.STAKE_NOT_AGREED


def test_the_words_name_the_agreement() -> None:
    plant = operation(OperationKind.PLANT, amount=2)
    account = AccountState(address=plant.address, exists=True, has_trustline=True, kale=2)
    limited = QueuedOperation(**(vars(plant) | {"stake_bps": 1}))
    settlement = barrier(limited, account, pail=None).settlement
    assert settlement is not None
    assert "agreed" in settlement.message
