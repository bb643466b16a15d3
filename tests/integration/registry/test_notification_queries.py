"""The queries of notifications and webhooks over real tables: each condition, and each order.

Beside the rows that a query takes stand rows that differ in one thing, which it leaves.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from libs.common.ids import PoolerId, new_id
from services.registry.domain.webhooks import NewWebhook
from tests.support.database import DatabaseAccess
from tests.support.notices import insert_notice
from tests.support.notification_rows import (
    NotificationRows,
    ago,
    open_notification_rows,
)
from tests.support.pool_world import eventually
from tests.support.table_rows import mixed, new_ids

WAITING = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"


@pytest.fixture
async def rows(database: DatabaseAccess) -> AsyncIterator[NotificationRows]:
    """Two poolers with a farmer each, of whom nothing was told yet."""
    async with open_notification_rows(database) as opened:
        yield opened


# What wallet has noticed -------------------------------------------------------------------------


async def taken(rows: NotificationRows) -> list[int]:
    """The notices that were taken, in the order in which they were."""
    found = await rows.connection.fetch(
        "SELECT wallet_notice FROM registry.notifications ORDER BY number"
    )
    return [row["wallet_notice"] for row in found]


async def test_new_notices_are_taken_in_their_order_and_so_many(rows: NotificationRows) -> None:
    numbers = [await insert_notice(rows.connection, f"{name}") for name in range(6)]
    for number in mixed(numbers):
        await rows.connection.execute(
            "UPDATE wallet.notices SET number = number WHERE number = $1", number
        )
    await rows.connection.execute(
        "UPDATE wallet.notices SET at = now() - interval '61 s' WHERE number = $1", numbers[0]
    )
    assert await rows.store.take_notices(60, 3) == 3
    assert await taken(rows) == numbers[1:4]
    assert await rows.store.take_notices(60, 3) == 2
    assert await taken(rows) == numbers[1:]
    assert await rows.store.take_notices(60, 3) == 0
    assert await rows.store.take_notices(90, 3) == 1
    assert await taken(rows) == [*numbers[1:], numbers[0]]


async def test_a_notice_of_just_so_long_ago_is_not_taken_any_more(rows: NotificationRows) -> None:
    await insert_notice(rows.connection, "a")
    async with rows.pool.transaction() as session:
        now = await session.connection.fetchval("SELECT now()")
        await rows.connection.execute("UPDATE wallet.notices SET at = $1", now)
        assert await session.execute("take_notices", 0.0, 9) == 0


async def test_two_registries_at_once_take_a_notice_once(rows: NotificationRows) -> None:
    number = await insert_notice(rows.connection, "a")
    async with rows.pool.transaction() as session:
        assert await session.execute("take_notices", 60.0, 9) == 1
        second = asyncio.create_task(rows.store.take_notices(60, 9))
        await eventually(lambda: rows.connection.fetchval(WAITING))
    assert await second == 0
    assert await taken(rows) == [number]


async def test_a_notification_has_what_the_notice_said(rows: NotificationRows) -> None:
    whose = {"pooler_id": str(rows.one), "farmer_id": str(rows.mine)}
    await insert_notice(rows.connection, "a", is_public=True, facts={"a": "b"}, **whose)
    assert await rows.store.take_notices(60, 9) == 1
    (found,) = await rows.store.notifications(pooler_id=None, farmer_id=None, before=None, limit=9)
    told = found.notification
    assert (told.kind, told.pooler_id, told.farmer_id) == ("payout.made", rows.one, rows.mine)
    assert told.facts == {"a": "b"}
    at = await rows.connection.fetchval("SELECT at FROM wallet.notices")
    assert told.happened_at == at
    assert await rows.connection.fetchval("SELECT is_public FROM registry.notifications")


# Lists of notifications --------------------------------------------------------------------------


async def listed(rows: NotificationRows, **asked: Any) -> list[int]:
    """The numbers of notifications, as they come."""
    given = {"pooler_id": None, "farmer_id": None, "before": None, "limit": 9, **asked}
    found = await rows.store.notifications(**given)
    return [one.notification.number for one in found]


async def test_operators_see_all_but_tests_newest_first(rows: NotificationRows) -> None:
    await rows.notifications(*mixed([1, 2, 3, 4, 5]))
    await rows.notifications(6, webhook_id=new_id())
    await rows.notifications(7, pooler_id=None)
    assert await listed(rows) == [7, 5, 4, 3, 2, 1]
    assert await listed(rows, limit=2) == [7, 5]
    assert await listed(rows, before=4) == [3, 2, 1]


@pytest.mark.parametrize("is_public", [False, True])
async def test_a_pooler_sees_its_own_and_everybodys_newest_first(
    rows: NotificationRows, is_public: bool
) -> None:
    whose = {"pooler_id": None if is_public else rows.one, "is_public": is_public}
    await rows.notifications(*mixed([1, 2, 3, 4, 5]), **whose)
    await rows.notifications(6, webhook_id=new_id(), **whose)
    await rows.notifications(7, pooler_id=rows.other, is_public=True)
    await rows.notifications(8, pooler_id=None)
    assert await listed(rows, pooler_id=rows.one) == [5, 4, 3, 2, 1]
    assert await listed(rows, pooler_id=rows.one, limit=2) == [5, 4]
    assert await listed(rows, pooler_id=rows.one, before=4) == [3, 2, 1]
    # A public one of its own comes once.
    await rows.notifications(9, is_public=True)
    assert await listed(rows, pooler_id=rows.one, limit=2) == [9, 5]


async def test_a_poolers_own_and_everybodys_are_one_list(rows: NotificationRows) -> None:
    await rows.notifications(5, 1, 3)
    await rows.notifications(4, 6, 2, pooler_id=None, is_public=True)
    assert await listed(rows, pooler_id=rows.one) == [6, 5, 4, 3, 2, 1]
    assert await listed(rows, pooler_id=rows.one, limit=3) == [6, 5, 4]


async def test_a_farmers_are_seen_by_its_pooler_and_by_operators(rows: NotificationRows) -> None:
    await rows.notifications(*mixed([1, 2, 3, 4, 5]), farmer_id=rows.mine)
    await rows.notifications(6, farmer_id=rows.mine, webhook_id=new_id())
    await rows.notifications(7, farmer_id=rows.theirs)
    await rows.notifications(8, farmer_id=rows.mine, pooler_id=None)
    asked = {"farmer_id": rows.mine}
    assert await listed(rows, **asked) == [8, 5, 4, 3, 2, 1]
    assert await listed(rows, **asked, pooler_id=rows.one) == [5, 4, 3, 2, 1]
    assert await listed(rows, **asked, pooler_id=rows.other) == []
    assert await listed(rows, **asked, limit=2) == [8, 5]
    assert await listed(rows, **asked, before=4) == [3, 2, 1]


async def test_names_are_told_where_there_are_some(rows: NotificationRows) -> None:
    await rows.connection.execute(
        "UPDATE registry.poolers SET name = id::text; "
        "UPDATE registry.farmers SET custodial_public_key = id::text"
    )
    north, mine = rows.one, rows.mine
    for number, pooler, farmer in (
        (1, north, mine),
        (2, north, rows.theirs),
        (3, None, mine),
        (4, None, None),
        (5, new_id(), new_id()),
    ):
        await rows.notifications(number, pooler_id=pooler, farmer_id=farmer)
    found = await rows.store.notifications(pooler_id=None, farmer_id=None, before=None, limit=9)
    assert {one.notification.number: (one.pooler_name, one.farmer_address) for one in found} == {
        1: (str(north), str(mine)),
        2: (str(north), ""),
        3: ("", str(mine)),
        4: ("", ""),
        5: ("", ""),
    }


# Webhooks ----------------------------------------------------------------------------------------


async def test_a_new_webhook_is_what_was_asked_for(rows: NotificationRows) -> None:
    await rows.webhook(rows.one)
    name, new = (
        new_id(),
        NewWebhook(
            pooler_id=rows.one, farmer_id=rows.mine, url="https://a.example.com", kinds=("b", "c")
        ),
    )
    async with rows.pool.transaction() as session:
        await rows.store.insert_webhook(session, name, new, key_name="k" * 16, actor="ann")
    found = await rows.store.webhook(name)
    assert found is not None
    assert (found.webhook_id, found.pooler_id, found.farmer_id) == (name, rows.one, rows.mine)
    assert (found.url, found.kinds) == (new.url, ["b", "c"])
    assert (found.key_name, found.created_by) == ("k" * 16, "ann")
    assert await rows.store.webhook(new_id()) is None


async def test_webhooks_of_an_owner_are_counted_until_they_are_deleted(
    rows: NotificationRows,
) -> None:
    for pooler, count in ((rows.one, 3), (rows.other, 2), (None, 1)):
        for _ in range(count):
            await rows.webhook(pooler)
        await rows.webhook(pooler, deleted_at=ago())
    await rows.webhook(rows.one, disabled_at=ago())
    async with rows.pool.session() as session:
        owners: list[PoolerId | None] = [rows.one, rows.other, None]
        assert [await rows.store.count_webhooks(session, one) for one in owners] == [4, 2, 1]


async def test_webhooks_are_listed_by_id_for_their_owner(rows: NotificationRows) -> None:
    ids = new_ids(5)
    for name in mixed(ids):
        await rows.webhook(rows.one if name == ids[2] else None, id=name)
    await rows.webhook(deleted_at=ago())

    async def found(pooler: PoolerId | None, after: UUID | None, limit: int) -> list[UUID]:
        told = await rows.store.webhooks(pooler_id=pooler, after=after, limit=limit)
        return [one.webhook_id for one in told]

    assert await found(None, None, 9) == ids
    assert await found(None, None, 2) == ids[:2]
    assert await found(None, ids[1], 9) == ids[2:]
    assert await found(rows.one, None, 9) == [ids[2]]
    assert await found(rows.other, None, 9) == []


async def test_owners_of_webhooks_are_told_once(rows: NotificationRows) -> None:
    mine = [await rows.webhook(rows.one) for _ in range(2)]
    theirs, operators = await rows.webhook(rows.other), await rows.webhook()

    async def owners(*ids: UUID) -> set[str]:
        return await rows.store.owners_of_webhooks(list(map(str, ids)))

    assert await owners(*mine) == {str(rows.one)}
    assert await owners(theirs, mine[0]) == {str(rows.one), str(rows.other)}
    assert await owners(operators) == await owners(new_id()) == {""}
    assert len(await rows.pool.many("owners_of_webhooks", mine)) == 1


async def test_one_webhook_is_deleted_and_once(rows: NotificationRows) -> None:
    name, _ = await rows.webhook(), await rows.webhook()
    assert await rows.pool.execute("delete_webhook", name) == 1
    ends = await rows.webhooks("deleted_at")
    assert [one for one, end in ends.items() if end is not None] == [name]
    assert await rows.pool.execute("delete_webhook", name) == 0
    assert await rows.webhooks("deleted_at") == ends


@pytest.mark.parametrize(
    ("values", "may_be_disabled", "may_be_enabled"),
    [
        ({}, True, False),
        ({"disabled_at": ago(9), "failing_since": ago(99)}, False, True),
        ({"deleted_at": ago(9)}, False, False),
        ({"deleted_at": ago(9), "disabled_at": ago(9)}, False, False),
    ],
)
async def test_what_is_in_use_is_disabled_and_what_was_disabled_is_enabled(
    rows: NotificationRows, values: dict[str, Any], may_be_disabled: bool, may_be_enabled: bool
) -> None:
    name, beside = await rows.webhook(**values), await rows.webhook(**values)
    columns = "(disabled_reason, disabled_at IS NULL, failing_since IS NULL)"
    before = await rows.webhooks(columns)
    assert may_be_enabled or not await rows.store.enable_webhook(name)
    assert await rows.pool.execute("disable_webhook", name, "why") == may_be_disabled
    if may_be_disabled:
        assert await rows.webhooks(columns) == before | {name: ("why", False, True)}
        return
    assert await rows.webhooks(columns) == before
    assert await rows.store.enable_webhook(name) is may_be_enabled
    now = await rows.webhooks(columns)
    assert now[beside] == before[beside]
    assert now[name] == (("", True, True) if may_be_enabled else before[name])


async def test_since_when_a_webhook_fails_is_noted_once(rows: NotificationRows) -> None:
    name, beside = await rows.webhook(), await rows.webhook()
    first, later = ago(9), ago(5)
    for moment, changed, known in (
        (None, 0, None),
        (first, 1, first),
        (later, 0, first),
        (None, 1, None),
    ):
        assert await rows.pool.execute("note_failing", name, moment) == changed
        assert await rows.webhooks("failing_since") == {name: known, beside: None}


async def test_who_changes_deliveries_waits_for_their_webhook(rows: NotificationRows) -> None:
    beside, name = await rows.webhook(), await rows.webhook(failing_since=ago(60))
    async with rows.pool.transaction() as session:
        row = await session.one("lock_webhook", name)
        assert row is not None
        assert row["failing_since"] == (await rows.webhooks("failing_since"))[name]
        assert row["moment"] > row["failing_since"]
        free = await rows.connection.fetch(
            "SELECT id FROM registry.webhooks FOR NO KEY UPDATE SKIP LOCKED"
        )
        assert [one["id"] for one in free] == [beside]
        # Whoever only points at it need not wait.
        query = "SELECT count(*) FROM (SELECT id FROM registry.webhooks FOR KEY SHARE NOWAIT) AS w"
        assert await rows.connection.fetchval(query) == 2


# Tests of webhooks -------------------------------------------------------------------------------


async def test_a_webhook_is_tested_once_within_a_time(rows: NotificationRows) -> None:
    name, beside = await rows.webhook(rows.one, farmer_id=rows.mine), await rows.webhook()
    first = await rows.store.insert_test(name, pause=60)
    assert first is not None
    row = await rows.connection.fetchrow(
        "SELECT kind, pooler_id, farmer_id, webhook_id FROM registry.notifications WHERE id = $1",
        first,
    )
    assert row is not None
    assert tuple(row) == ("webhook.test", rows.one, rows.mine, name)
    assert await rows.store.insert_test(name, pause=60) is None
    assert await rows.store.insert_test(beside, pause=60) is not None
    assert await rows.store.insert_test(new_id(), pause=60) is None
    await rows.connection.execute(
        "UPDATE registry.notifications SET taken_at = now() - interval '61 s'"
    )
    assert await rows.store.insert_test(name, pause=60) is not None


async def test_a_test_of_just_so_long_ago_does_not_count(rows: NotificationRows) -> None:
    name = await rows.webhook()
    async with rows.pool.transaction() as session:
        for _ in range(2):
            assert await session.one("insert_test", name, 0.0) is not None
