"""Bounds of a plant's time, to the second."""

from datetime import UTC, datetime

import pytest

from services.wallet.domain.blocks import (
    Readiness,
    check_acceptable,
    plant_bound,
    plantable_block,
    readiness,
)
from services.wallet.domain.errors import BlockNotClosedError, WrongBlockError
from services.wallet.domain.model import ChainHead, OperationKind

HEAD = ChainHead(
    ledger=1000,
    close_time=datetime(2026, 1, 1, tzinfo=UTC),
    current_block=10,
    plantable_block=10,
    paused=False,
    block_seconds=300,
)


@pytest.mark.parametrize(
    ("now", "bound", "ahead"),
    [
        (1000, 1299, 1599),
        (1299, 1299, 1599),
        # The block may be opened now, and lasts a whole interval from then on.
        (1300, 1599, 1599),
        (1301, 1600, 1600),
    ],
)
def test_a_plant_is_bound_by_the_last_second_that_is_surely_in_its_block(
    now: int, bound: int, ahead: int
) -> None:
    for is_ahead, expected in ((False, bound), (True, ahead)):
        assert plant_bound(ahead=is_ahead, timestamp=1000, now=now, interval=300) == expected
    # One second later the next block may be open, and the plant would go there.
    opened = 1000 if now < 1300 else now
    for late, index in ((0, 7), (1, 8)):
        found = plantable_block(
            index=7, has_block=True, timestamp=opened, now=bound + late, interval=300
        )
        assert found == index


def test_a_plant_goes_ahead_for_the_block_that_the_next_ledger_opens() -> None:
    plant = OperationKind.PLANT
    assert readiness(plant, 11, HEAD, plantable_soon=11).readiness is Readiness.GO
    assert readiness(plant, 12, HEAD, plantable_soon=11).readiness is Readiness.WAIT
    # Nothing is sent ahead where nobody says that it may be.
    start = ChainHead(**{**vars(HEAD), "current_block": None, "plantable_block": 0})
    assert readiness(plant, 0, start).readiness is Readiness.GO
    assert readiness(plant, 1, start).readiness is Readiness.WAIT


def test_a_refusal_names_the_block_that_is_meant_and_the_one_that_can_be() -> None:
    with pytest.raises(WrongBlockError, match=r"^block 9 cannot be planted, block 10 can$"):
        check_acceptable(OperationKind.PLANT, 9, HEAD)
    with pytest.raises(WrongBlockError, match=r"^block 9 is not the current one, block 10 is$"):
        check_acceptable(OperationKind.WORK, 9, HEAD)
    with pytest.raises(BlockNotClosedError, match=r"^block 10 is not closed, .* at block 10$"):
        check_acceptable(OperationKind.HARVEST, 10, HEAD)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (OperationKind.WORK, r"^block 0 is not the current one, no block is$"),
        (OperationKind.HARVEST, r"^block 0 is not closed, the chain is at no block$"),
    ],
)
def test_a_refusal_tells_that_no_block_was_opened_yet(kind: OperationKind, words: str) -> None:
    start = ChainHead(**{**vars(HEAD), "current_block": None, "plantable_block": 0})
    with pytest.raises((WrongBlockError, BlockNotClosedError), match=words) as caught:
        check_acceptable(kind, 0, start)
    assert caught.value.metadata == {"current_block": "", "plantable_block": "0"}
