"""Webhooks: notifications reach real receivers, signed, until they are taken."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from devstack.webhook_receiver import Receiver
from libs.common.errors import (
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
)
from tests.support.database import DatabaseAccess
from tests.support.registry_world import (
    RegistryWorld,
    eventually,
    open_registry_world,
    refusal,
)
from tests.support.webhooks import (
    KEY,
    S,
    create,
    deliveries,
    execute,
    notice,
    settled,
    states,
    webhook,
)


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
