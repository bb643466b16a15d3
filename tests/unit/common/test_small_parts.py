"""Failpoints, pages, request checks, single flight, query files: the small shared parts."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import failpoints
from libs.common.db.queries import load_queries
from libs.common.errors import InvalidArgumentError
from libs.common.failpoints import FailpointError, failpoint
from libs.common.paging import decode_token, encode_token
from libs.common.singleflight import SingleFlight


async def test_a_failpoint_fails_at_its_passage_only() -> None:
    failpoints.arm("a@2=raise")
    try:
        await failpoint("a")
        with pytest.raises(FailpointError):
            await failpoint("a")
        await failpoint("a")
        await failpoint("b")
    finally:
        failpoints.arm("")
    await failpoint("a")


def test_an_unknown_failpoint_action_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        failpoints.arm("a=explode")


@given(st.integers(0, 2**31 - 1), st.uuids())
def test_a_page_token_gives_its_key_back(number: int, identifier: UUID) -> None:
    assert decode_token(encode_token([number, identifier]), [int, UUID]) == (number, identifier)


@given(st.text(min_size=1) | st.integers().map(lambda number: encode_token([number])))
def test_a_foreign_page_token_is_an_invalid_argument(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode_token(token, [int, UUID])
    assert caught.value.violations[0].field == "page_token"


async def test_callers_join_one_task_and_may_leave_it() -> None:
    flight: SingleFlight[int] = SingleFlight()
    started = 0
    release = asyncio.Event()

    async def work() -> int:
        nonlocal started
        started += 1
        await release.wait()
        return 7

    first = asyncio.create_task(flight.run("key", work))
    second = asyncio.create_task(flight.run("key", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second == 7
    assert started == 1
    assert not flight.running()


async def test_closing_a_single_flight_ends_its_tasks() -> None:
    flight: SingleFlight[None] = SingleFlight()
    caller = asyncio.create_task(flight.run("key", asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await flight.aclose()
    with pytest.raises(asyncio.CancelledError):
        await caller


def test_query_files_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text("-- about\n-- name: a :one\n-- why\nSELECT 1;\n-- name: b :many\nSELECT 2;\n")
    queries = load_queries(path)
    assert queries["a"].sql == "-- why\nSELECT 1"
    assert (queries["b"].kind, queries["b"].sql) == ("many", "SELECT 2")
    path.write_text("-- name: a :one\nSELECT 1;\n-- name: a :one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="twice"):
        load_queries(path)
    path.write_text("SELECT 1;\n")
    with pytest.raises(ValueError, match="no '-- name:' line"):
        load_queries(path)


def test_parts_of_one_file_stand_in_the_queries_of_another(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared.sql", tmp_path / "own.sql"
    shared.write_text(
        "-- name: all :many\nSELECT {columns}, '{}' FROM {schema}.t;\n"
        "-- name: one :one\nSELECT 1 FROM {schema}.t;\n"
    )
    own.write_text("-- name: schema :part\nplant\n\n-- name: columns :part\n-- why\na, b\n")
    queries = load_queries(shared, own)
    assert list(queries) == ["all", "one"]
    assert queries["all"].sql == "SELECT -- why\na, b, '{}' FROM plant.t"
    assert queries["one"].sql == "SELECT 1 FROM plant.t"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: b :part\nx\n", "query b stands twice"),
        ("-- name: a :part\nx\n", "query a stands twice"),
        ("-- name: c :one\nSELECT {nowhere}\n", "c: no part nowhere"),
        ("-- name: c :part\n1\n", "no query uses: c"),
        ("-- name: c :part\n{b}\n", "c: no part b"),
    ],
)
def test_parts_that_do_not_fit_are_told(tmp_path: Path, text: str, message: str) -> None:
    first, second = tmp_path / "first.sql", tmp_path / "second.sql"
    first.write_text("-- name: a :one\nSELECT {b}\n-- name: b :part\n1\n")
    assert load_queries(first)["a"].sql == "SELECT 1"
    second.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_queries(first, second)
