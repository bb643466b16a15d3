"""No secret of a pool is in clear in anything that it wrote, database files included."""

import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from devstack.stack import Stack, open_stack
from trials.canaries import canaries, flush, search, search_all
from trials.security.farming import FARMERS, farm
from trials.security.fuzz import open_targets, register, send_hostile
from trials.security.run import stack_config


@pytest.mark.e2e
async def test_no_secret_is_written_anywhere_by_a_pool_that_farms_and_is_attacked(
    tmp_path: Path,
) -> None:
    config = stack_config(tmp_path / "stack")
    async with open_stack(config) as stack, open_targets(stack) as targets:
        farmed = await farm(stack, lambda _: None)
        assert farmed.is_whole, farmed
        ids = await register(stack)
        await send_hostile(targets, count=600, seed=5, ids=ids)
        found = await canaries(stack)
        assert sum(name.endswith("strkey") for name in found) > FARMERS, "a seed is not looked for"
        searched = await search_all(stack)
        assert searched.canaries == len(found)
        assert searched.leaks == []
        assert searched.size > 10_000_000, "the database was not searched"
        await _it_finds_what_is_there(stack, found)
    shutil.rmtree(config.directory, ignore_errors=True)


async def _it_finds_what_is_there(stack: Stack, found: dict[str, bytes]) -> None:
    """In the log of a service that runs, and in a row of the database."""
    directory = stack.config.directory
    name = next(name for name in found if name.endswith("strkey"))
    with (directory / "logs" / "plant.log").open("ab") as log:
        log.write(b'{"event": "' + found[name] + b'"}\n')
    assert search(found, directory).leaks == [f"{name} in logs/plant.log"]
    connection = await asyncpg.connect(stack.admin_dsn)
    try:
        await connection.execute("CREATE TABLE planted (content bytea)")
        await connection.execute("INSERT INTO planted VALUES ($1)", found["master key, raw"])
    finally:
        await connection.close()
    await flush(stack)
    rows = [
        text
        for text in search(found, directory).leaks
        if text.startswith("master key, raw in post")
    ]
    assert any("/base/" in text for text in rows), rows


@pytest.mark.parametrize("length", [1, 8, 22, 23, 32, 64])
def test_a_secret_is_found_wherever_it_begins(tmp_path: Path, length: int) -> None:
    secret = os.urandom(length - 1) + b"x"
    for start in range(40):
        (tmp_path / "log").write_bytes(bytes(start) + secret + bytes(start % 3))
        searched = search({"secret": secret, "other": os.urandom(40)}, tmp_path)
        assert list(searched.leaks)[:1] == ["secret in log"], start
        assert (searched.files, searched.size) == (1, start + length + start % 3)


def test_a_file_is_searched_across_the_pieces_that_it_is_read_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.canaries._PIECE", 64)
    secret = os.urandom(40)
    for start in range(150):
        (tmp_path / "log").write_bytes(bytes(start) + secret + bytes(200 - start))
        found = search({"secret": secret, "short": b"\x01short\x02"}, tmp_path)
        assert found.leaks == ["secret in log"], start
        assert found.size == 240


def test_several_folders_are_searched(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"0123456789" * 5)
    found = search({"digits": b"0123456789" * 4}, tmp_path / "one", tmp_path / "other")
    assert found.leaks == ["digits in one", "digits in other"]


def test_folders_that_are_linked_to_are_searched(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "data").symlink_to(elsewhere)
    (elsewhere / "row").write_bytes(b"0123456789" * 5)
    assert search({"digits": b"0123456789" * 4}, home).leaks == ["digits in data/row"]
