"""The queries of deliveries over real tables: which are due, for whom, and what ends them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from tests.support.database import DatabaseAccess, connect
from tests.support.notification_rows import (
    OPERATORS,
    NotificationRows,
    ago,
    open_notification_rows,
)
from tests.support.table_rows import mixed

STATES = ("queued", "sending", "delivered", "failed", "cancelled")
ENDED = STATES[2:]


@pytest.fixture
async def rows(database: DatabaseAccess) -> AsyncIterator[NotificationRows]:
    """Nine notifications, of which nothing is on its way yet."""
    async with open_notification_rows(database) as opened:
        await opened.notifications(*range(1, 10))
        yield opened


async def claimed(
    rows: NotificationRows, *, limit: int = 99, of_owner: int = 99, busy: Sequence[UUID] = ()
) -> list[tuple[UUID, int]]:
    """What is taken up, by webhook and number."""
    found = await rows.store.claim(limit=limit, lease=60, of_owner=of_owner, busy=busy)
    return sorted((one.webhook_id, one.notification.number) for one in found)


# Lists -------------------------------------------------------------------------------------------


async def test_deliveries_of_a_webhook_come_newest_first(rows: NotificationRows) -> None:
    name, beside = await rows.webhook(), await rows.webhook()
    await rows.deliveries(name, *mixed([1, 2, 3, 4, 5]))
    await rows.deliveries(beside, 6)

    async def listed(before: int | None = None, limit: int = 9) -> list[int]:
        found = await rows.store.deliveries(name, before=before, limit=limit)
        return [one.listed.notification.number for one in found]

    assert await listed() == [5, 4, 3, 2, 1]
    assert await listed(limit=2) == [5, 4]
    assert await listed(before=4) == [3, 2, 1]


# Claims ------------------------------------------------------------------------------------------


async def test_a_claim_tells_what_is_sent_and_to_whom(rows: NotificationRows) -> None:
    operators, pooler = await rows.webhook(url="https://a"), await rows.webhook(rows.one)
    await rows.deliveries(operators, 1, attempts=4, created_at=ago(100))
    await rows.deliveries(pooler, 2)
    later = await rows.webhook(rows.other)
    await rows.deliveries(later, 3, due_at=ago(-60))
    found = await rows.store.claim(limit=9, lease=60, of_owner=9, busy=[])
    first, second = sorted(found, key=lambda one: one.notification.number)
    assert (first.webhook_id, first.owner_id, first.attempts) == (operators, OPERATORS, 5)
    assert (first.url, first.key_name) == ("https://a", "0123456789abcdef")
    assert 100 <= first.age < 160
    assert (second.webhook_id, second.owner_id, second.attempts) == (pooler, rows.one, 1)
    assert (first.notification.number, second.notification.number) == (1, 2)
    assert await rows.states("due_at > now() + interval '50 s'") == {
        (operators, 1): True,
        (pooler, 2): True,
        (later, 3): True,
    }
    assert await rows.states() == {
        (operators, 1): "sending",
        (pooler, 2): "sending",
        (later, 3): "queued",
    }


@pytest.mark.parametrize("state", STATES)
async def test_what_is_open_and_due_is_taken_up(rows: NotificationRows, state: str) -> None:
    name = await rows.webhook(rows.one)
    await rows.deliveries(name, 1, 2, state=state)
    await rows.deliveries(name, 3, state=state, due_at=ago(-60))
    is_open = state not in ENDED
    assert await claimed(rows) == ([(name, 1), (name, 2)] if is_open else [])
    # What was taken up is due only when its time is over.
    assert await claimed(rows) == []


async def test_what_is_due_at_this_moment_is_taken_up(rows: NotificationRows) -> None:
    name = await rows.webhook()
    async with rows.pool.transaction() as session:
        now = await session.connection.fetchval("SELECT now()")
        await rows.deliveries(name, 1, due_at=now)
        assert len(await session.many("claim_deliveries", 9, 60.0, 9, [])) == 1


@pytest.mark.parametrize("column", ["deleted_at", "disabled_at"])
async def test_nothing_is_taken_up_for_a_webhook_that_has_ended(
    rows: NotificationRows, column: str
) -> None:
    ended, name = await rows.webhook(None, **{column: ago()}), await rows.webhook()
    await rows.deliveries(ended, 1)
    await rows.deliveries(name, 1)
    assert await claimed(rows) == [(name, 1)]


async def test_nothing_is_taken_up_for_who_has_enough(rows: NotificationRows) -> None:
    hooks = {
        OPERATORS: await rows.webhook(),
        rows.one: await rows.webhook(rows.one),
        rows.other: await rows.webhook(rows.other),
    }
    for busy in ([OPERATORS], [rows.one], [rows.one, OPERATORS]):
        await rows.connection.execute("DELETE FROM registry.deliveries")
        for name in hooks.values():
            await rows.deliveries(name, 1)
        assert await claimed(rows, busy=busy) == sorted(
            (name, 1) for owner, name in hooks.items() if owner not in busy
        )


async def test_of_each_owner_the_oldest_come_first_and_so_many(rows: NotificationRows) -> None:
    # Two webhooks of one owner have one share.
    first, second = [await rows.webhook(rows.one) for _ in range(2)]
    theirs, lately = await rows.webhook(rows.other), ago(5)
    for name, number, due_at in (
        (first, 3, ago(90)),
        (second, 2, ago(80)),
        (first, 1, ago(70)),
        (theirs, 9, lately),
        (theirs, 8, lately),
    ):
        await rows.deliveries(name, number, due_at=due_at)
    async with rows.pool.transaction() as session:
        await session.connection.execute("SAVEPOINT before")
        for limit, of_owner, expected in (
            (9, 2, {(first, 3), (second, 2), (theirs, 8), (theirs, 9)}),
            (9, 1, {(first, 3), (theirs, 8)}),
            # Of all that are the first of their owners, those that were told first.
            (1, 9, {(first, 3)}),
            (2, 9, {(first, 3), (theirs, 8)}),
            (3, 9, {(first, 3), (theirs, 8), (second, 2)}),
        ):
            found = await session.many("claim_deliveries", limit, 60.0, of_owner, [])
            assert {(row["webhook_id"], row["number"]) for row in found} == expected
            await session.connection.execute("ROLLBACK TO before")


@pytest.mark.parametrize("state", ENDED)
async def test_what_has_ended_takes_nothing_of_its_owners_share(
    rows: NotificationRows, state: str
) -> None:
    name = await rows.webhook(rows.one)
    await rows.deliveries(name, 1, state=state, due_at=ago(90))
    await rows.deliveries(name, 2)
    assert await claimed(rows, of_owner=1) == [(name, 2)]


async def test_deliveries_that_are_due_at_one_moment_go_by_their_number(
    rows: NotificationRows,
) -> None:
    name, moment = await rows.webhook(), ago(60)
    await rows.deliveries(name, *mixed([1, 2, 3, 4, 5]), due_at=moment)
    assert await claimed(rows, of_owner=2) == [(name, 1), (name, 2)]


async def test_what_another_registry_takes_up_is_passed_over(
    rows: NotificationRows, database: DatabaseAccess
) -> None:
    name = await rows.webhook()
    await rows.deliveries(name, 1, 2)
    async with connect(database.admin_dsn) as other, other.transaction():
        await other.execute(
            "SELECT 1 FROM registry.deliveries WHERE notification_number = 1 FOR UPDATE"
        )
        async with asyncio.timeout(60):
            assert await claimed(rows) == [(name, 2)]


# Ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", *ENDED])
async def test_an_attempt_ends_as_it_is_told_and_no_other_with_it(
    rows: NotificationRows, state: str
) -> None:
    name, beside = await rows.webhook(), await rows.webhook()
    await rows.deliveries(name, 1, 2, state="sending", attempts=3)
    await rows.deliveries(beside, 1, state="sending", attempts=3)
    columns = "(state::text, last_status, last_error, ended_at IS NOT NULL, due_at > now())"
    before = await rows.states(columns)
    arguments: tuple[Any, ...] = (state, 30.0, 503, "busy")
    for attempt in (2, 4):
        assert await rows.pool.execute("end_attempt", name, 1, attempt, *arguments) == 0
    assert await rows.states(columns) == before
    assert await rows.pool.execute("end_attempt", name, 1, 3, *arguments) == 1
    ended = (state, 503, "busy", state in ENDED, True)
    assert await rows.states(columns) == before | {(name, 1): ended}


@pytest.mark.parametrize("state", STATES)
async def test_only_what_is_being_sent_ends(rows: NotificationRows, state: str) -> None:
    name = await rows.webhook()
    await rows.deliveries(name, 1, state=state, attempts=1)
    arguments = (name, 1, 1, "delivered", 0.0, 200, "")
    assert await rows.pool.execute("end_attempt", *arguments) == (state == "sending")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("column", ["deleted_at", "disabled_at", None])
async def test_what_is_open_is_cancelled_with_its_webhook(
    rows: NotificationRows, state: str, column: str | None
) -> None:
    name = await rows.webhook(None, **({} if column is None else {column: ago()}))
    beside = await rows.webhook()
    await rows.deliveries(name, 1, state=state)
    await rows.deliveries(beside, 1)
    is_cancelled = column is not None and state not in ENDED
    before = await rows.states("ended_at")
    assert await rows.store.cancel() == is_cancelled
    after = "cancelled" if is_cancelled else state
    assert await rows.states() == {(name, 1): after, (beside, 1): "queued"}
    moments = await rows.states("ended_at")
    assert moments[beside, 1] is None
    assert (moments[name, 1] == before[name, 1]) is not is_cancelled
