"""What happened is told to whom it concerns, once, whatever commits when."""

import asyncio
from typing import Any, cast

import asyncpg
import pytest
from kalepool.registry.v1 import notification_pb2, registry_pb2

from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import FarmerId, PoolerId, new_id
from services.registry.domain.notifications import Kind
from services.registry.store.notifications import NotificationStore
from services.registry.store.store import QUERIES
from services.registry.usecases.deliveries import Bell
from services.registry.usecases.notifications import Notifications
from services.registry.usecases.registry import Registry
from tests.support.database import DatabaseAccess, connect, open_as
from tests.support.notices import insert_notice
from tests.support.registry_world import (
    RegistryWorld,
    eventually,
    open_registry,
    open_registry_world,
)

SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"


async def listed(world: RegistryWorld, **whose: Any) -> list[notification_pb2.Notification]:
    """The newest notifications, newest first."""
    request = notification_pb2.ListNotificationsRequest(**whose)
    return list((await world.notifications.ListNotifications(request)).notifications)


async def names(world: RegistryWorld, **whose: Any) -> list[str]:
    """What tests call the notices that were told."""
    return [item.facts["name"] for item in await listed(world, **whose)]


async def told(world: RegistryWorld, count: int) -> None:
    """Wait until so many notices were taken."""

    async def taken() -> bool:
        return bool(await world.value("SELECT count(*) = $1 FROM registry.notifications", count))

    await eventually(taken, f"{count} notices are not taken")


async def notice(world: RegistryWorld, name: str, kind: str = "payout.made", **whose: Any) -> None:
    """Have wallet notice something."""
    async with connect(world.database.admin_dsn) as admin:
        await insert_notice(admin, name, kind, facts={"name": name}, **whose)


async def test_each_sees_what_concerns_it(world: RegistryWorld) -> None:
    north, south = [(await world.pooler(name=name)).pooler_id for name in ("north", "south")]
    farmer = (await world.farmer(north)).farmer_id
    await notice(world, "north's farmer", pooler_id=north, farmer_id=farmer)
    await notice(world, "north's", pooler_id=north)
    await notice(world, "south's", pooler_id=south)
    await notice(world, "operators'", "treasury.low")
    await notice(world, "everybody's", "signing.paused", is_public=True)
    await told(world, 5)
    everything = ["everybody's", "operators'", "south's", "north's", "north's farmer"]
    assert await names(world) == everything
    assert await names(world, pooler_id=north) == ["everybody's", "north's", "north's farmer"]
    assert await names(world, pooler_id=south) == ["everybody's", "south's"]
    assert await names(world, farmer_id=farmer) == ["north's farmer"]
    assert await names(world, farmer_id=farmer, pooler_id=north) == ["north's farmer"]
    assert await names(world, farmer_id=farmer, pooler_id=south) == []
    kinds = [item.kind for item in await listed(world, pooler_id=south)]
    assert kinds == [
        notification_pb2.NOTIFICATION_KIND_SIGNING_PAUSED,
        notification_pb2.NOTIFICATION_KIND_PAYOUT_MADE,
    ]


async def test_a_list_says_what_poolers_and_farmers_are_called(world: RegistryWorld) -> None:
    north, south = [(await world.pooler(name=name)).pooler_id for name in ("north", "south")]
    farmer = await world.farmer(north)
    whose = {"pooler_id": north, "farmer_id": farmer.farmer_id}
    await notice(world, "both", **whose)
    await notice(world, "the farmer alone", farmer_id=farmer.farmer_id)
    await notice(world, "another's farmer", pooler_id=south, farmer_id=farmer.farmer_id)
    await notice(world, "nobody's", pooler_id=SOMEBODY, farmer_id=SOMEBODY)
    await notice(world, "everybody's", is_public=True)
    await told(world, 5)
    called = {
        item.facts["name"]: (item.pooler_name, item.farmer_address) for item in await listed(world)
    }
    assert called == {
        "both": ("north", farmer.custodial_wallet),
        "the farmer alone": ("", farmer.custodial_wallet),
        # Whoever writes notices shows no pooler what is another's.
        "another's farmer": ("south", ""),
        "nobody's": ("", ""),
        "everybody's": ("", ""),
    }
    for asked in ({"pooler_id": north}, {"farmer_id": farmer.farmer_id, "pooler_id": north}):
        (mine,) = [item for item in await listed(world, **asked) if item.pooler_id == north]
        assert (mine.pooler_name, mine.farmer_address) == ("north", farmer.custodial_wallet)


async def test_a_pooler_sees_its_own_by_whatever_it_asks(database: DatabaseAccess) -> None:
    """What operators are told of its farmer is theirs: a webhook of their own, for instance."""
    pooler, farmer = PoolerId(new_id()), FarmerId(new_id())
    async with connect(database.admin_dsn) as admin:
        await admin.execute(
            "INSERT INTO registry.notifications (kind, pooler_id, farmer_id) "
            "VALUES ('payout.made', $1, $2), ('webhook.disabled', NULL, $2)",
            pooler,
            farmer,
        )
    async with open_as(database, "registry", QUERIES, pool_size=1) as own:
        store = NotificationStore(own)
        notifications = Notifications(
            store=store,
            registry=cast("Registry", None),  # nobody is registered here
            keys=None,
            allow_private=False,
            bell=Bell(),
        )

        async def seen(kind: CallerKind, name: str) -> list[str]:
            found = await notifications.listed(
                pooler_id=None,
                farmer_id=farmer,
                before=None,
                limit=10,
                viewer=Caller(kind=kind, name=name, identity=name),
            )
            return [one.notification.kind for one in found]

        assert await seen(CallerKind.POOLER, str(pooler)) == ["payout.made"]
        assert await seen(CallerKind.POOLER, str(new_id())) == []
        assert await seen(CallerKind.OPERATOR, "ann") == ["webhook.disabled", "payout.made"]


async def test_a_list_comes_a_page_at_a_time(world: RegistryWorld) -> None:
    pooler = (await world.pooler()).pooler_id
    for number in range(5):
        mine = {"pooler_id": pooler} if number % 2 else {"is_public": True}
        await notice(world, str(number), **mine)
    await told(world, 5)
    for whose in ({}, {"pooler_id": pooler}):
        found, token = [], ""
        while True:
            request = notification_pb2.ListNotificationsRequest(
                page_size=2, page_token=token, **whose
            )
            page = await world.notifications.ListNotifications(request)
            found.append([item.facts["name"] for item in page.notifications])
            token = page.next_page_token
            if not token:
                break
        assert found == [["4", "3"], ["2", "1"], ["0"]]


async def test_every_kind_has_its_number_and_what_is_newer_is_shown_without_one(
    world: RegistryWorld,
) -> None:
    kinds = [kind.value for kind in Kind]
    for kind in (*kinds, "moon.landed"):
        await notice(world, kind, kind)
    await told(world, len(kinds) + 1)
    newest, *known = await listed(world)
    assert newest.kind == notification_pb2.NOTIFICATION_KIND_UNSPECIFIED
    numbers = [notification_pb2.NotificationKind.Name(item.kind) for item in reversed(known)]
    assert numbers == [f"NOTIFICATION_KIND_{kind.name}" for kind in Kind]


async def test_facts_that_are_no_texts_keep_nothing_back(world: RegistryWorld) -> None:
    async with connect(world.database.admin_dsn) as admin:
        await insert_notice(admin, "odd", facts={"a": 1, "b": {"c": "d"}, "e": None, "name": "odd"})
        await admin.execute(
            "INSERT INTO wallet.notices (name, kind, facts) VALUES ('list', 'x', '[1]')"
        )
    await told(world, 2)
    assert [dict(item.facts) for item in await listed(world)] == [{}, {"name": "odd"}]


async def test_what_commits_late_is_told_too(world: RegistryWorld) -> None:
    """A cursor would have gone past it."""
    async with connect(world.database.admin_dsn) as slow:
        transaction = slow.transaction()
        await transaction.start()
        first = await insert_notice(slow, "late", facts={"name": "late"})
        await notice(world, "early")
        await told(world, 1)
        await asyncio.sleep(2.5)  # several looks
        await transaction.commit()
    await told(world, 2)
    assert await names(world) == ["late", "early"]
    assert await world.value("SELECT min(number) FROM wallet.notices") == first


async def test_what_was_noticed_while_no_registry_ran_is_told_at_the_start(
    database: DatabaseAccess,
) -> None:
    async with connect(database.admin_dsn) as admin:
        await insert_notice(admin, "old", facts={"name": "old"})
        await insert_notice(admin, "older", facts={"name": "older"})
        await insert_notice(admin, "too old", facts={"name": "too old"})
        for name, days in (("old", 20), ("older", 28), ("too old", 30)):
            await admin.execute(
                "UPDATE wallet.notices SET at = now() - make_interval(days => $2) WHERE name = $1",
                name,
                days,
            )
    async with open_registry_world(database) as world:
        await told(world, 2)
        found = await listed(world)
        assert sorted(item.facts["name"] for item in found) == ["old", "older"]
        # It tells when it happened.
        ages = {item.facts["name"]: item.happened_at.seconds for item in found}
        assert ages["old"] - ages["older"] == 8 * 86_400


async def test_two_registries_tell_each_notice_once(world: RegistryWorld) -> None:
    async with open_registry(world.database, world.wallet) as other:
        for number in range(30):
            await notice(world, str(number))
        await told(world, 30)
        assert await names(other) == await names(world)
    assert (
        await world.value("SELECT count(DISTINCT wallet_notice) FROM registry.notifications") == 30
    )


async def test_a_pooler_whose_heartbeats_stop_is_told_of_once_and_when_it_is_back(
    database: DatabaseAccess,
) -> None:
    async with open_registry_world(database, pooler_gone_seconds=1) as world:
        silent = await world.pooler(name="never spoke")
        pooler, alive = await world.pooler(name="north"), await world.pooler(name="alive")
        for name, seen in (("north", "-1 hour"), ("alive", "1 hour")):
            async with connect(database.admin_dsn) as admin:
                await admin.execute(
                    "UPDATE registry.poolers SET last_seen = now() + $2::text::interval "
                    "WHERE name = $1",
                    name,
                    seen,
                )
        await told(world, 1)
        await asyncio.sleep(1)  # several looks
        (gone,) = await listed(world, pooler_id=pooler.pooler_id)
        assert gone.kind == notification_pb2.NOTIFICATION_KIND_POOLER_GONE
        assert gone.facts["name"] == "north"
        assert gone.facts["lastSeen"]
        await world.stub.Heartbeat(registry_pb2.HeartbeatRequest(pooler_id=pooler.pooler_id))
        *_, back, first = await listed(world, pooler_id=pooler.pooler_id)
        assert first == gone
        assert back.kind == notification_pb2.NOTIFICATION_KIND_POOLER_BACK
        assert set(back.facts) == {"name", "lastSeen", "goneSince"}
        for other in (silent, alive):
            assert await listed(world, pooler_id=other.pooler_id) == []
        # None of it is a change of the pooler.
        assert await world.value("SELECT count(*) FROM registry.changes") == 3


async def test_old_notifications_are_forgotten_and_never_told_again(
    database: DatabaseAccess, world: RegistryWorld
) -> None:
    for name in ("kept", "old", "gone"):
        await notice(world, name)
    await told(world, 3)
    aged = "= now() - make_interval(days => $2) WHERE facts ->> 'name' = $1"
    async with connect(database.admin_dsn) as admin:
        for name, days in (("old", 32), ("gone", 91)):
            await admin.execute(f"UPDATE wallet.notices SET at {aged}", name, days)  # noqa: S608
            told_at = f"UPDATE registry.notifications SET taken_at {aged}"  # noqa: S608
            await admin.execute(told_at, name, days)
    async with open_as(database, "registry", QUERIES, pool_size=1) as own:
        store = NotificationStore(own)
        assert await store.forget(90 * 86_400) == 1
        assert await store.forget(90 * 86_400) == 0
        assert sorted(await names(world)) == ["kept", "old"]
        # Never less than wallet keeps its notices, whoever asks.
        assert await store.forget(0) == 1
        assert await store.forget(0) == 0
        assert await names(world) == ["kept"]
        assert await store.take_notices(2_505_600, 1000) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registry.notifications SET kind = ''",
        "DELETE FROM registry.notifications",
        "DELETE FROM registry.deliveries",
        "DELETE FROM registry.webhooks",
        "UPDATE registry.webhooks SET url = ''",
        "UPDATE registry.webhooks SET pooler_id = NULL",
        "INSERT INTO registry.deliveries (webhook_id, notification_number) SELECT NULL, 1",
        "INSERT INTO wallet.notices (name, kind, facts) VALUES ('', '', '{}')",
        "DELETE FROM wallet.notices",
        "SELECT wallet.forget_notices()",
        "SELECT wallet.tell_effective_addresses()",
        "SELECT * FROM wallet.conditions",
    ],
)
async def test_registry_may_not(database: DatabaseAccess, statement: str) -> None:
    async with connect(database.dsn("registry")) as own:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute(statement)
