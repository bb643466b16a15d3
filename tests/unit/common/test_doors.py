"""Doors: whoever floods one waits there, and nobody else does."""

import asyncio

import pytest

from libs.common.doors import Doors


async def test_so_many_of_one_owner_pass_at_a_time_and_others_beside_them() -> None:
    doors, inside, most = Doors(2), {"many": 0, "one": 0}, {"many": 0, "one": 0}
    end = asyncio.Event()

    async def pass_by(owner: str) -> None:
        async with doors.passing(owner):
            inside[owner] += 1
            most[owner] = max(most[owner], inside[owner])
            await end.wait()
            inside[owner] -= 1

    crowd = [asyncio.create_task(pass_by("many")) for _ in range(50)]
    await asyncio.sleep(0)
    other = asyncio.create_task(pass_by("one"))
    await asyncio.sleep(0.01)
    assert (inside, doors.owners) == ({"many": 2, "one": 1}, 2)
    end.set()
    await asyncio.gather(other, *crowd)
    assert (most, doors.owners) == ({"many": 2, "one": 1}, 0)


async def test_whoever_gives_up_or_fails_leaves_the_door_to_others() -> None:
    doors = Doors(1)

    async def pass_by() -> None:
        async with doors.passing("one"):
            await asyncio.sleep(10)

    first, second = asyncio.create_task(pass_by()), asyncio.create_task(pass_by())
    await asyncio.sleep(0)
    for task in (second, first):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert doors.owners == 0
    with pytest.raises(RuntimeError):
        async with doors.passing("one"):
            raise RuntimeError("within")
    async with asyncio.timeout(60), doors.passing("one"):
        assert doors.owners == 1
