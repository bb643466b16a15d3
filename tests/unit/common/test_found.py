"""What reconciliation recorded is looked for everywhere once, then where it may still come."""

import pytest
import structlog

from libs.batches.found import NEAR, FoundRecorder
from libs.batches.model import ChainHead
from libs.common.errors import UnavailableError


class FakeStore:
    """Notes where was looked."""

    def __init__(self) -> None:
        self.current: int | None = 5_000
        self.looks: list[int] = []
        self.is_away = False
        self.events = 1

    async def head(self) -> ChainHead:
        return ChainHead(current_block=self.current, plantable_block=0, ledger=1)

    async def record_found(self, first_block: int) -> int:
        if self.is_away:
            raise UnavailableError("away")
        self.looks.append(first_block)
        return self.events


async def test_the_first_look_is_at_everything() -> None:
    store = FakeStore()
    found = FoundRecorder("plant", store)
    store.is_away = True
    with pytest.raises(UnavailableError):
        await found.step()
    store.is_away = False
    assert [await found.step() for _ in range(3)] == [1, 1, 1]
    assert store.looks == [0, 5_000 - NEAR, 5_000 - NEAR]
    for _ in range(120):
        await found.step()
    # Every 60th goes back two days, which are less than 600 blocks.
    wide = [place for place, first in enumerate(store.looks) if first == 5_000 - 600]
    assert wide == [60, 120]
    assert store.looks.count(5_000 - NEAR) == 120


@pytest.mark.parametrize("current", [None, 0, NEAR])
async def test_a_young_farm_has_no_earlier_blocks(current: int | None) -> None:
    store = FakeStore()
    store.current = current
    found = FoundRecorder("plant", store)
    await found.step()
    await found.step()
    assert store.looks == [0, 0]


async def test_what_was_found_is_told_and_that_nothing_was_is_not() -> None:
    store = FakeStore()
    found = FoundRecorder("plant", store)
    with structlog.testing.capture_logs() as lines:
        for store.events in (0, 3, 0):
            assert await found.step() == store.events
    told = [(one["event"], one["service_batch"], one["events"]) for one in lines]
    assert told == [("found recorded", "plant", 3)]
