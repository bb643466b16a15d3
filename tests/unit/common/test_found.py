"""What reconciliation recorded is looked for everywhere once, then where it may still come."""

import pytest

from libs.batches.found import NEAR, WIDE_EVERY, FoundRecorder
from libs.batches.model import HORIZON, ChainHead
from libs.common.errors import UnavailableError


class FakeStore:
    """Notes where was looked."""

    def __init__(self) -> None:
        self.current: int | None = 5_000
        self.looks: list[int] = []
        self.is_away = False

    async def head(self) -> ChainHead:
        return ChainHead(current_block=self.current, plantable_block=0, ledger=1)

    async def record_found(self, first_block: int) -> int:
        if self.is_away:
            raise UnavailableError("away")
        self.looks.append(first_block)
        return 1


async def test_the_first_look_is_at_everything() -> None:
    store = FakeStore()
    found = FoundRecorder("plant", store)
    store.is_away = True
    with pytest.raises(UnavailableError):
        await found.step()
    store.is_away = False
    assert [await found.step() for _ in range(3)] == [1, 1, 1]
    assert store.looks == [0, 5_000 - NEAR, 5_000 - NEAR]
    for _ in range(WIDE_EVERY):
        await found.step()
    assert store.looks.count(5_000 - HORIZON) == 1


@pytest.mark.parametrize("current", [None, 0, NEAR])
async def test_a_young_farm_has_no_earlier_blocks(current: int | None) -> None:
    store = FakeStore()
    store.current = current
    found = FoundRecorder("plant", store)
    await found.step()
    await found.step()
    assert store.looks == [0, 0]
