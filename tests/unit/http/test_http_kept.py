"""What is equal for all is made once, and kept for a moment."""

import asyncio

import pytest

from libs.http.kept import Kept


class Maker:
    """Counts how often something is made."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.made += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.made


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def kept(maker: Maker) -> Kept[int]:
    return Kept(2.0, clock=lambda: maker.now)


async def test_a_value_is_kept_until_its_time_is_over(kept: Kept[int], maker: Maker) -> None:
    assert [await kept.get("a", maker), await kept.get("a", maker)] == [1, 1]
    maker.now = 1.9
    assert await kept.get("a", maker) == 1
    maker.now = 2.0
    assert await kept.get("a", maker) == 2
    assert await kept.get("b", maker) == 3


async def test_a_thousand_who_wait_are_one_call(kept: Kept[int], maker: Maker) -> None:
    maker.go.clear()
    waiting = [asyncio.create_task(kept.get("a", maker)) for _ in range(1000)]
    await asyncio.sleep(0)
    # Whoever goes away takes nothing from the others.
    waiting[0].cancel()
    maker.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert (set(found[1:]), maker.made) == ({1}, 1)


async def test_an_error_is_told_to_all_who_wait_and_not_kept(kept: Kept[int], maker: Maker) -> None:
    maker.error = ValueError("away")
    found = await asyncio.gather(*(kept.get("a", maker) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in found] == ["away"] * 3
    maker.error = None
    assert await kept.get("a", maker) == 2


async def test_what_is_kept_has_a_bound(maker: Maker) -> None:
    kept: Kept[int] = Kept(1000.0, clock=lambda: maker.now)
    for key in range(1500):
        await kept.get(key, maker)
    made = maker.made
    await kept.get(1499, maker)
    assert maker.made == made
    await kept.get(0, maker)  # the oldest have gone
    assert maker.made == made + 1


async def test_closing_ends_what_is_being_made(kept: Kept[int], maker: Maker) -> None:
    maker.go.clear()
    waiting = asyncio.create_task(kept.get("a", maker))
    await asyncio.sleep(0)
    await kept.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def is_kept(kept: Kept[int], maker: Maker, key: object) -> bool:
    made = maker.made
    await kept.get(key, maker)
    return maker.made == made


async def test_a_hundred_are_kept_and_the_oldest_goes_first(kept: Kept[int], maker: Maker) -> None:
    for key in range(100):
        await kept.get(key, maker)
    assert await is_kept(kept, maker, 0)
    await kept.get(100, maker)
    assert await is_kept(kept, maker, 1)
    assert not await is_kept(kept, maker, 0)


async def test_whose_time_is_over_goes_before_others(kept: Kept[int], maker: Maker) -> None:
    await kept.get("fresh", maker)
    for key in range(99):
        await kept.get(key, maker)
    maker.now = 2.0
    # It is made again, and so the youngest of all.
    assert not await is_kept(kept, maker, "fresh")
    maker.now = 3.0
    await kept.get("another", maker)
    assert await is_kept(kept, maker, "fresh")
