"""Webhooks: notifications reach real receivers, signed, until they are taken."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from kalepool.registry.v1 import notification_pb2

from devstack.webhook_receiver import Receiver, open_receiver
from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from tests.support.database import DatabaseAccess, connect
from tests.support.notices import insert_notice
from tests.support.registry_world import (
    RegistryWorld,
    eventually,
    open_registry_world,
    refusal,
)

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"
S = notification_pb2


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a key of webhooks' secrets."""
    path = tmp_path / "webhook_key"
    path.write_text(KEY)
    return path


@pytest.fixture
async def hooked(database: DatabaseAccess, key_file: Path) -> AsyncIterator[RegistryWorld]:
    """A registry that sends to this machine."""
    async with open_registry_world(
        database, webhook_key_file=key_file, webhooks_allow_private=True
    ) as world:
        yield world


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    """A receiver in a process of its own."""
    async with open_receiver(tmp_path / "receiver") as running:
        yield running


async def create(world: RegistryWorld, url: str, **changes: Any) -> S.CreateWebhookResponse:
    """Make a webhook."""
    request = S.CreateWebhookRequest(url=url, **changes)
    return await world.notifications.CreateWebhook(request)


async def notice(world: RegistryWorld, name: str, kind: str = "payout.made", **whose: Any) -> None:
    """Have wallet notice something."""
    async with connect(world.database.admin_dsn) as admin:
        await insert_notice(admin, name, kind, facts={"name": name}, **whose)


async def deliveries(world: RegistryWorld, webhook_id: str) -> list[S.Delivery]:
    """What was, or is to be, sent to one webhook, newest first."""
    request = S.ListDeliveriesRequest(webhook_id=webhook_id)
    return list((await world.notifications.ListDeliveries(request)).deliveries)


async def states(world: RegistryWorld, webhook_id: str) -> list[str]:
    """The states of a webhook's deliveries, newest first."""
    return [
        S.DeliveryState.Name(item.state).removeprefix("DELIVERY_STATE_")
        for item in await deliveries(world, webhook_id)
    ]


async def settled(world: RegistryWorld, webhook_id: str, *expected: str) -> None:
    """Wait until a webhook's deliveries are in these states."""

    async def is_so() -> bool:
        return await states(world, webhook_id) == list(expected)

    await eventually(is_so, f"the deliveries are not {expected}")


async def execute(world: RegistryWorld, sql: str, *arguments: object) -> None:
    """Change the database, with all rights."""
    async with connect(world.database.admin_dsn) as admin:
        await admin.execute(sql, *arguments)


async def webhook(world: RegistryWorld, webhook_id: str) -> S.Webhook:
    """One webhook, as a list shows it."""
    found = (await world.notifications.ListWebhooks(S.ListWebhooksRequest())).webhooks
    (one,) = [item for item in found if item.webhook_id == webhook_id]
    return one


async def test_what_concerns_an_owner_arrives_once_and_signed(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    north, south = [(await hooked.pooler(name=name)).pooler_id for name in ("north", "south")]
    farmer = (await hooked.farmer(north)).farmer_id
    payout = [S.NOTIFICATION_KIND_PAYOUT_MADE]
    made = {
        "/operators": await create(hooked, receiver.url + "/operators"),
        "/north": await create(hooked, receiver.url + "/north", pooler_id=north),
        "/farmer": await create(
            hooked, receiver.url + "/farmer", pooler_id=north, farmer_id=farmer
        ),
        "/payouts": await create(hooked, receiver.url + "/payouts", pooler_id=south, kinds=payout),
    }
    await notice(hooked, "north's farmer", pooler_id=north, farmer_id=farmer)
    await notice(hooked, "north's", "signing.paused", pooler_id=north)
    await notice(hooked, "south's", "signing.paused", pooler_id=south)
    await notice(hooked, "south's payout", pooler_id=south)
    await notice(hooked, "operators'", "treasury.low")
    await notice(hooked, "everybody's", "signing.paused", is_public=True)
    expected = {
        "/operators": {
            *("north's farmer", "north's", "south's", "south's payout", "operators'"),
            "everybody's",
        },
        "/north": {"north's farmer", "north's", "everybody's"},
        "/farmer": {"north's farmer"},
        "/payouts": {"south's payout"},
    }
    for path, names in expected.items():
        await settled(hooked, made[path].webhook.webhook_id, *["DELIVERED"] * len(names))
        got = receiver.received(path)
        assert {one.content["data"]["name"] for one in got} == names
        assert len(got) == len(names)
        assert all(one.is_signed_by(made[path].secret) for one in got)
        assert not any(one.is_signed_by(KEY) for one in got)
    same = [one for one in receiver.received() if one.content["data"]["name"] == "everybody's"]
    assert len({one.id for one in same}) == 1
    (whole,) = receiver.received("/farmer")
    listed = await hooked.notifications.ListNotifications(
        S.ListNotificationsRequest(farmer_id=farmer)
    )
    assert whole.content == {
        "type": "payout.made",
        "timestamp": whole.content["timestamp"],
        "data": {
            "notificationId": listed.notifications[0].notification_id,
            "poolerId": north,
            "farmerId": farmer,
            "name": "north's farmer",
        },
    }


async def test_a_test_goes_to_one_webhook_and_is_in_no_list(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    kinds = [S.NOTIFICATION_KIND_PAYOUT_MADE]
    one = await create(hooked, receiver.url + "/one", kinds=kinds)
    await create(hooked, receiver.url + "/other")
    request = S.TestWebhookRequest(webhook_id=one.webhook.webhook_id)
    reply = await hooked.notifications.TestWebhook(request)
    await settled(hooked, one.webhook.webhook_id, "DELIVERED")
    (got,) = receiver.received()
    assert (got.path, got.id, got.content["type"]) == (
        "/one",
        reply.notification_id,
        "webhook.test",
    )
    again = await refusal(hooked.notifications.TestWebhook(request))
    assert isinstance(again, ResourceExhaustedError)
    assert (again.reason, again.retry_after) == ("WEBHOOK_TESTED", 10.0)
    listed = await hooked.notifications.ListNotifications(S.ListNotificationsRequest())
    assert not listed.notifications
    (delivery,) = await deliveries(hooked, one.webhook.webhook_id)
    assert (delivery.attempts, delivery.last_status, delivery.last_error) == (1, 204, "")
    assert delivery.HasField("ended_at")
    assert not delivery.HasField("next_attempt_at")
    assert delivery.notification.kind == S.NOTIFICATION_KIND_TEST


async def test_a_failed_test_is_not_repeated(hooked: RegistryWorld, receiver: Receiver) -> None:
    made = await create(hooked, receiver.url + "/status/500")
    webhook_id = made.webhook.webhook_id
    await hooked.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id))
    await settled(hooked, webhook_id, "FAILED")
    (delivery,) = await deliveries(hooked, webhook_id)
    assert (delivery.last_status, delivery.last_error) == (500, "HTTP 500")


@pytest.mark.parametrize("path", ["/status/500", "/status/302", "/status/404"])
async def test_what_is_not_taken_is_tried_again_later(
    hooked: RegistryWorld, receiver: Receiver, path: str
) -> None:
    made = await create(hooked, receiver.url + path)
    webhook_id = made.webhook.webhook_id
    await notice(hooked, "one")

    async def tried() -> bool:
        (delivery,) = await deliveries(hooked, webhook_id) or [S.Delivery()]
        return delivery.attempts == 1 and delivery.state == S.DELIVERY_STATE_QUEUED

    await eventually(tried, "it is not tried")
    (delivery,) = await deliveries(hooked, webhook_id)
    assert delivery.HasField("next_attempt_at")
    assert delivery.last_error == f"HTTP {path.rpartition('/')[2]}"
    assert (await webhook(hooked, webhook_id)).HasField("failing_since")
    await execute(hooked, "UPDATE registry.deliveries SET due_at = now()")

    async def again() -> bool:
        return len(receiver.received(path)) == 2

    await eventually(again, "it is not tried again")
    first, second = receiver.received(path)
    assert (first.id, first.body) == (second.id, second.body)
    assert receiver.received("/redirected") == []


async def test_a_webhook_that_fails_for_days_is_disabled_and_its_owner_told(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    pooler = (await hooked.pooler()).pooler_id
    broken = await create(hooked, receiver.url + "/status/500", pooler_id=pooler)
    sound = await create(
        hooked,
        receiver.url + "/sound",
        pooler_id=pooler,
        kinds=[S.NOTIFICATION_KIND_WEBHOOK_DISABLED],
    )
    webhook_id = broken.webhook.webhook_id
    await notice(hooked, "first", pooler_id=pooler)
    await notice(hooked, "second", pooler_id=pooler)

    async def tried() -> bool:
        return await states(hooked, webhook_id) == ["QUEUED"] * 2 and {
            item.attempts for item in await deliveries(hooked, webhook_id)
        } == {1}

    await eventually(tried, "they are not tried")
    await execute(
        hooked,
        "UPDATE registry.webhooks SET failing_since = now() - interval '3 days' WHERE id = $1",
        UUID(webhook_id),
    )
    await execute(
        hooked,
        "UPDATE registry.deliveries SET due_at = now(), created_at = now() - interval '3 days' "
        "WHERE notification_number = (SELECT min(number) FROM registry.notifications)",
    )
    await settled(hooked, webhook_id, "CANCELLED", "FAILED")
    disabled = await webhook(hooked, webhook_id)
    assert disabled.disabled_reason == "its receiver has failed for days"
    await settled(hooked, sound.webhook.webhook_id, "DELIVERED")
    (got,) = receiver.received("/sound")
    assert got.content["type"] == "webhook.disabled"
    assert got.content["data"]["webhookId"] == webhook_id
    await notice(hooked, "third", pooler_id=pooler)
    await asyncio.sleep(2)
    assert await states(hooked, webhook_id) == ["CANCELLED", "FAILED"]
    error = await refusal(
        hooked.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id))
    )
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "WEBHOOK_DISABLED"


async def test_who_answers_gone_is_asked_nothing_more(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    made = await create(hooked, receiver.url + "/status/410")
    await notice(hooked, "one")
    await settled(hooked, made.webhook.webhook_id, "FAILED")
    found = await webhook(hooked, made.webhook.webhook_id)
    assert found.disabled_reason == "the receiver has answered 410 Gone"


async def test_a_slow_receiver_keeps_nobody_else_waiting(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    slow, other = [(await hooked.pooler(name=name)).pooler_id for name in ("slow", "other")]
    hanging = [
        await create(hooked, f"{receiver.url}/slow/{number}", pooler_id=slow)
        for number in range(20)
    ]
    quick = await create(hooked, receiver.url + "/quick", pooler_id=other)
    for number in range(5):
        await notice(hooked, f"slow {number}", pooler_id=slow)

    async def busy() -> bool:
        return any(one.path.startswith("/slow") for one in receiver.received())

    await eventually(busy, "nothing is sent")
    await notice(hooked, "quick", pooler_id=other)
    await settled(hooked, quick.webhook.webhook_id, "DELIVERED")
    under_way = await hooked.value(
        "SELECT count(*) FROM registry.deliveries WHERE state = 'sending'"
    )
    assert 1 <= under_way <= 4
    open_ones = [await states(hooked, one.webhook.webhook_id) for one in hanging]
    assert not any("DELIVERED" in found for found in open_ones)


async def test_a_deleted_webhook_gets_nothing_more(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    made = await create(hooked, receiver.url + "/status/500")
    webhook_id = made.webhook.webhook_id
    await notice(hooked, "one")

    async def tried() -> bool:
        return bool(receiver.received())

    await eventually(tried, "nothing is sent")
    request = S.DeleteWebhookRequest(webhook_id=webhook_id)
    for _ in range(2):
        await hooked.notifications.DeleteWebhook(request)
    assert not (await hooked.notifications.ListWebhooks(S.ListWebhooksRequest())).webhooks
    for call in (
        hooked.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id)),
        hooked.notifications.ListDeliveries(S.ListDeliveriesRequest(webhook_id=webhook_id)),
    ):
        error = await refusal(call)
        assert isinstance(error, NotFoundError)
        assert error.reason == "WEBHOOK_NOT_FOUND"
    assert await hooked.value("SELECT state::text FROM registry.deliveries") == "cancelled"
    await notice(hooked, "two")
    await asyncio.sleep(2)
    assert await hooked.value("SELECT count(*) FROM registry.deliveries") == 1


async def test_who_made_and_deleted_a_webhook_is_noted(hooked: RegistryWorld) -> None:
    made = await create(hooked, "https://hooks.example.com/a")
    assert made.webhook.created_by == "127.0.0.1"
    request = S.DeleteWebhookRequest(webhook_id=made.webhook.webhook_id)
    await hooked.notifications.DeleteWebhook(request)
    changed = await hooked.value(
        "SELECT array_agg(relation || ' ' || actor || ' ' || role ORDER BY number) "
        "FROM registry.changes WHERE row_id = $1",
        UUID(made.webhook.webhook_id),
    )
    assert changed == ["webhooks 127.0.0.1 kalepool_registry"] * 2


async def test_a_repeated_request_makes_one_webhook_with_one_secret(
    hooked: RegistryWorld,
) -> None:
    values = {"url": "https://hooks.example.com/a", "request_id": "one"}
    first, second = [await create(hooked, **values) for _ in range(2)]
    assert first == second
    assert first.secret.startswith("whsec_")
    error = await refusal(create(hooked, url="https://hooks.example.com/b", request_id="one"))
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "REQUEST_ID_REUSED"
    pooler = (await hooked.pooler()).pooler_id
    other = await create(hooked, **values, pooler_id=pooler)
    assert other.webhook.webhook_id != first.webhook.webhook_id
    assert await hooked.value("SELECT count(*) FROM registry.webhooks") == 2


async def test_no_secret_is_in_the_database(hooked: RegistryWorld, tmp_path: Path) -> None:
    made = await create(hooked, "https://hooks.example.com/a")
    async with connect(hooked.database.admin_dsn) as admin:
        rows = await admin.fetch(
            "SELECT to_jsonb(w)::text AS row FROM registry.webhooks AS w "
            "UNION ALL SELECT to_jsonb(c)::text FROM registry.changes AS c "
            "UNION ALL SELECT to_jsonb(r)::text FROM registry.requests AS r"
        )
    text = "".join(row["row"] for row in rows)
    assert made.webhook.webhook_id in text
    assert made.secret.removeprefix("whsec_") not in text
    assert KEY not in text


async def test_an_owner_has_twenty_webhooks_at_most(hooked: RegistryWorld) -> None:
    pooler = (await hooked.pooler()).pooler_id
    url = "https://hooks.example.com/"
    made = [await create(hooked, url, pooler_id=pooler) for _ in range(20)]
    error = await refusal(create(hooked, url, pooler_id=pooler))
    assert isinstance(error, ResourceExhaustedError)
    assert (error.reason, error.metadata) == ("WEBHOOK_LIMIT", {"limit": "20"})
    assert await create(hooked, url)
    request = S.DeleteWebhookRequest(webhook_id=made[0].webhook.webhook_id)
    await hooked.notifications.DeleteWebhook(request)
    assert await create(hooked, url, pooler_id=pooler)
    found, token = [], ""
    while True:
        listing = S.ListWebhooksRequest(pooler_id=pooler, page_size=7, page_token=token)
        page = await hooked.notifications.ListWebhooks(listing)
        found += [item.webhook_id for item in page.webhooks]
        token = page.next_page_token
        if not token:
            break
    assert len(set(found)) == len(found) == 20
    assert found == sorted(found)


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, ["url"]),
    "a private address": ({"url": "https://10.0.0.1/"}, ["url"]),
    "no https": ({"url": "http://hooks.example.com/"}, ["url"]),
    "a long address": ({"url": "https://hooks.example.com/" + "x" * 1000}, ["url"]),
    "a kind that there is not": ({"url": "https://a.example/", "kinds": [99]}, ["kinds[0]"]),
    "no kind": ({"url": "https://a.example/", "kinds": [1, 0]}, ["kinds[1]"]),
    "a kind twice": ({"url": "https://a.example/", "kinds": [1, 1]}, ["kinds[1]"]),
    "many kinds": ({"url": "https://a.example/", "kinds": [1] * 33}, ["kinds"]),
    "everything": (
        {"url": "\n", "pooler_id": "x", "farmer_id": "y", "request_id": "z" * 129, "kinds": [77]},
        ["request_id", "pooler_id", "farmer_id", "url", "kinds[0]"],
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_with_a_webhook_is_named(
    database: DatabaseAccess, key_file: Path, case: str
) -> None:
    values, fields = BAD[case]
    async with open_registry_world(database, webhook_key_file=key_file) as world:
        request = S.CreateWebhookRequest(**values)
        error = await refusal(world.notifications.CreateWebhook(request))
        assert isinstance(error, InvalidArgumentError)
        assert [violation.field for violation in error.violations] == fields
        assert await world.value("SELECT count(*) FROM registry.webhooks") == 0


async def test_a_webhook_names_a_pooler_and_a_farmer_of_the_pooler(hooked: RegistryWorld) -> None:
    url = "https://hooks.example.com/"
    north, south = [(await hooked.pooler()).pooler_id for _ in range(2)]
    farmer = (await hooked.farmer(north)).farmer_id
    for whose, reason in (
        ({"pooler_id": SOMEBODY}, "POOLER_NOT_FOUND"),
        ({"farmer_id": SOMEBODY}, "FARMER_NOT_FOUND"),
        ({"farmer_id": farmer, "pooler_id": south}, "FARMER_NOT_FOUND"),
    ):
        error = await refusal(create(hooked, url, **whose))
        assert isinstance(error, NotFoundError)
        assert error.reason == reason
    assert await create(hooked, url, farmer_id=farmer)
    for call in (
        hooked.notifications.DeleteWebhook(S.DeleteWebhookRequest(webhook_id=SOMEBODY)),
        hooked.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=SOMEBODY)),
        hooked.notifications.ListDeliveries(S.ListDeliveriesRequest(webhook_id=SOMEBODY)),
    ):
        assert (await refusal(call)).reason == "WEBHOOK_NOT_FOUND"


async def test_without_a_key_there_are_notifications_and_no_webhooks(
    world: RegistryWorld,
) -> None:
    error = await refusal(create(world, "https://hooks.example.com/"))
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "WEBHOOKS_OFF"
    assert (await world.notifications.ListNotifications(S.ListNotificationsRequest())) is not None


async def test_what_resolves_to_a_private_host_is_not_sent(
    database: DatabaseAccess, key_file: Path, receiver: Receiver
) -> None:
    """A row that another rule let in: the address is looked at when it is called."""
    async with open_registry_world(database, webhook_key_file=key_file) as world:
        made = await create(world, "https://hooks.example.com/")
        url = receiver.url.replace("http://", "https://") + "/private"
        await execute(world, "UPDATE registry.webhooks SET url = $1", url)
        webhook_id = made.webhook.webhook_id
        await world.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id))
        await settled(world, webhook_id, "FAILED")
        (delivery,) = await deliveries(world, webhook_id)
        assert delivery.last_error == "the host has no public address"
    assert receiver.received() == []


async def test_nothing_is_sent_without_tls_once_that_is_not_allowed_any_more(
    database: DatabaseAccess, key_file: Path, receiver: Receiver
) -> None:
    async with open_registry_world(
        database, webhook_key_file=key_file, webhooks_allow_private=True
    ) as world:
        made = await create(world, receiver.url + "/open")
    webhook_id = made.webhook.webhook_id
    async with open_registry_world(database, webhook_key_file=key_file) as world:
        await world.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id))
        await settled(world, webhook_id, "FAILED")
        (delivery,) = await deliveries(world, webhook_id)
        assert delivery.last_error == "the address must begin with https://"
    assert receiver.received() == []


async def disable(world: RegistryWorld, webhook_id: str) -> None:
    """Disable a webhook, as its receiver's failures would."""
    await execute(
        world,
        "UPDATE registry.webhooks SET disabled_at = now(), disabled_reason = 'its receiver has "
        "failed for days', failing_since = now() - interval '3 days' WHERE id = $1",
        UUID(webhook_id),
    )


def enabling(webhook_id: str) -> S.EnableWebhookRequest:
    """The request that enables a webhook."""
    return S.EnableWebhookRequest(webhook_id=webhook_id)


async def test_an_enabled_webhook_is_told_of_what_happens_from_then_on(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    made = await create(hooked, receiver.url + "/status/410")
    webhook_id = made.webhook.webhook_id
    await notice(hooked, "gone")
    await settled(hooked, webhook_id, "FAILED")
    await notice(hooked, "missed")
    await asyncio.sleep(2)
    assert await states(hooked, webhook_id) == ["FAILED"]
    # The receiver is mended.
    await execute(hooked, "UPDATE registry.webhooks SET url = $1", receiver.url + "/mended")
    reply = await hooked.notifications.EnableWebhook(enabling(webhook_id))
    assert reply.webhook == await webhook(hooked, webhook_id)
    assert reply.webhook.disabled_reason == ""
    for name in ("disabled_at", "failing_since"):
        assert not reply.webhook.HasField(name)
    await hooked.notifications.TestWebhook(S.TestWebhookRequest(webhook_id=webhook_id))
    await settled(hooked, webhook_id, "DELIVERED", "FAILED")
    await notice(hooked, "told")
    await settled(hooked, webhook_id, "DELIVERED", "DELIVERED", "FAILED")
    got = receiver.received("/mended")
    assert [one.content["type"] for one in got] == ["webhook.test", "payout.made"]
    assert got[1].content["data"]["name"] == "told"
    assert all(one.is_signed_by(made.secret) for one in got)


async def test_what_was_queued_while_a_webhook_was_disabled_is_not_sent(
    hooked: RegistryWorld, receiver: Receiver
) -> None:
    made = await create(hooked, receiver.url + "/hook")
    webhook_id = made.webhook.webhook_id
    await notice(hooked, "before")
    await settled(hooked, webhook_id, "DELIVERED")
    await disable(hooked, webhook_id)
    # As by a transaction that had begun before.
    await execute(
        hooked,
        "INSERT INTO registry.deliveries (webhook_id, notification_number) "
        "SELECT $1, max(number) FROM registry.notifications",
        UUID(webhook_id),
    )
    await hooked.notifications.EnableWebhook(enabling(webhook_id))
    await settled(hooked, webhook_id, "CANCELLED", "DELIVERED")
    assert len(receiver.received()) == 1


async def test_enabling_twice_or_what_is_in_use_changes_nothing(hooked: RegistryWorld) -> None:
    made = await create(hooked, "https://hooks.example.com/a")
    webhook_id = made.webhook.webhook_id
    since = "UPDATE registry.webhooks SET failing_since = now() - interval '1 hour'"
    await execute(hooked, since)
    before = await webhook(hooked, webhook_id)
    assert before.HasField("failing_since")
    assert (await hooked.notifications.EnableWebhook(enabling(webhook_id))).webhook == before
    await disable(hooked, webhook_id)
    for _ in range(2):
        reply = await hooked.notifications.EnableWebhook(enabling(webhook_id))
        assert not reply.webhook.HasField("disabled_at")
    changed = await hooked.value(
        "SELECT array_agg(actor ORDER BY number) FROM registry.changes "
        "WHERE row_id = $1 AND before ? 'disabled_at' AND after ->> 'disabled_at' IS NULL "
        "AND before ->> 'disabled_at' IS NOT NULL",
        UUID(webhook_id),
    )
    assert changed == ["127.0.0.1"]


async def test_a_webhook_that_was_deleted_or_whose_key_is_gone_is_not_enabled(
    database: DatabaseAccess, hooked: RegistryWorld, tmp_path: Path
) -> None:
    deleted, keyless = [
        (await create(hooked, "https://hooks.example.com/a")).webhook.webhook_id for _ in range(2)
    ]
    for webhook_id in (deleted, keyless):
        await disable(hooked, webhook_id)
    await hooked.notifications.DeleteWebhook(S.DeleteWebhookRequest(webhook_id=deleted))
    for webhook_id in (deleted, SOMEBODY):
        error = await refusal(hooked.notifications.EnableWebhook(enabling(webhook_id)))
        assert isinstance(error, NotFoundError)
        assert error.reason == "WEBHOOK_NOT_FOUND"
    other = tmp_path / "other_key"
    other.write_text(KEY.replace("AAEC", "AQEC"))
    for settings in ({}, {"webhook_key_file": other}):
        async with open_registry_world(database, **settings) as world:
            error = await refusal(world.notifications.EnableWebhook(enabling(keyless)))
            assert isinstance(error, FailedPreconditionError)
            assert error.reason == "WEBHOOKS_OFF"
            assert (await webhook(world, keyless)).HasField("disabled_at")
