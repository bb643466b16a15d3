"""The operators' command looks after the database while the pooler runs."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from pooler.shares.domain.model import BlockState
from pooler.shares.store.opening import open_store
from tests.support.share_world import ADDRESS, Rig, ShareWorld, found_in


async def command(world: ShareWorld, *arguments: str, place: str = "") -> tuple[int, str, str]:
    """Run the command; return its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pooler.shares", *arguments),
        env={**os.environ, "SHARES_DATABASE": place or world.shares.settings.place},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), errors.decode()


async def until_status(rig: Rig, status: int) -> None:
    async with asyncio.timeout(20):
        while (await rig.get("/work")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_miners_are_listed_and_banned_while_the_pooler_runs(world: ShareWorld) -> None:
    rig, _ = await world.join(name="first"), await world.join()
    status, said, _ = await command(world, "miners", "--json")
    assert status == 0
    told = [json.loads(line) for line in said.splitlines()]
    assert [one["name"] for one in told] == ["first", ""]
    assert told[0]["minerId"] == rig.miner_id
    world.clock.now = 2e9
    ban = ("ban", rig.miner_id, "--hours", "1e5", "--why", "sells our jobs")
    assert (await command(world, *ban))[0] == 0
    assert "banned until" in (await command(world, "miners"))[1]
    await until_status(rig, 403)
    assert (await command(world, "unban", rig.miner_id))[0] == 0
    await until_status(rig, 200)


async def test_parts_are_told_and_a_copy_has_all(world: ShareWorld, tmp_path: Path) -> None:
    rig = await world.join()
    await rig.submit(*found_in(await rig.job(), 2))
    await world.next_block()
    await world.shares.harvested(100, 10**8)
    status, said, _ = await command(world, "parts", "--json")
    (part,) = [json.loads(line) for line in said.splitlines()]
    assert status == 0
    assert (part["block"], part["address"], part["points"]) == (100, ADDRESS, 32)
    assert (part["amount"], part["state"]) == (10**7, "final")
    assert "1.0000000 KALE" in (await command(world, "parts"))[1]
    assert (await command(world, "parts", "--after", "100"))[1] == ""
    copy = tmp_path / "copy.db"
    assert (await command(world, "backup", str(copy)))[0] == 0
    async with open_store(str(copy)) as store:
        assert [row.block for row in await store.blocks_in(BlockState.FINAL)] == [100]
        assert len(await store.miners()) == 1
    status, _, errors = await command(world, "backup", str(copy))
    assert (status, "is there already" in errors) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("unban", "0190a5f0-0000-7000-8000-000000000001"), "there is no miner"),
        (("ban", "x", "--hours", "1", "--why", "y"), "Invalid value"),
    ],
)
async def test_what_cannot_be_done_is_told(
    world: ShareWorld, arguments: tuple[str, ...], told: str
) -> None:
    status, said, errors = await command(world, *arguments)
    assert status != 0
    assert told in said + errors


async def test_a_database_that_is_not_there_is_not_made(world: ShareWorld, tmp_path: Path) -> None:
    place = tmp_path / "none.db"
    status, _, errors = await command(world, "miners", place=str(place))
    assert (status, "there is no file" in errors) == (2, True)
    assert not place.exists()
