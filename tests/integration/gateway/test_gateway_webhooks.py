"""Webhooks by HTTP: a resource that is made, listed, tested, enabled and deleted."""

import json
from typing import Any

from kalepool.registry.v1 import notification_pb2

from tests.support.fake_backends import POOLER, POOLER_TOKEN
from tests.support.gateway_world import GatewayWorld

WEBHOOK = "0190a5f0-0000-7000-8000-000000000009"
NAME = "/kalepool.registry.v1.NotificationService"


async def called(world: GatewayWorld, method: str) -> Any:
    """The request of the only call."""
    (call,) = [one for one in world.pool.calls if one.method.startswith(NAME)]
    assert call.method == f"{NAME}/{method}"
    return call.request


async def test_a_webhook_is_made_by_its_fields(world: GatewayWorld) -> None:
    world.pool.answers["CreateWebhook"] = lambda _: notification_pb2.CreateWebhookResponse(
        secret="whsec_x"
    )
    body = {
        "poolerId": POOLER,
        "url": "https://hooks.example.com/",
        "kinds": ["NOTIFICATION_KIND_PAYOUT_MADE"],
    }
    reply = await world.post(
        "/v1/webhooks", token=POOLER_TOKEN, json=body, headers={"Idempotency-Key": "one"}
    )
    assert (reply.status_code, reply.json()["secret"]) == (200, "whsec_x")
    assert await called(world, "CreateWebhook") == notification_pb2.CreateWebhookRequest(
        request_id="one",
        pooler_id=POOLER,
        url="https://hooks.example.com/",
        kinds=[notification_pb2.NOTIFICATION_KIND_PAYOUT_MADE],
    )


async def test_a_webhook_is_deleted_without_a_body(world: GatewayWorld) -> None:
    reply = await world.request("DELETE", f"/v1/webhooks/{WEBHOOK}", token=POOLER_TOKEN)
    assert (reply.status_code, reply.json()) == (200, {})
    assert (await called(world, "DeleteWebhook")).webhook_id == WEBHOOK
    body = await world.request(
        "DELETE",
        f"/v1/webhooks/{WEBHOOK}",
        token=POOLER_TOKEN,
        content=json.dumps({"webhookId": WEBHOOK}),
        headers={"Content-Type": "application/json"},
    )
    assert body.status_code == 400
    assert [item["field"] for item in body.json()["violations"]] == ["body"]


async def test_a_webhook_is_enabled_by_its_path(world: GatewayWorld) -> None:
    world.pool.answers["EnableWebhook"] = lambda request: notification_pb2.EnableWebhookResponse(
        webhook=notification_pb2.Webhook(webhook_id=request.webhook_id)
    )
    reply = await world.post(f"/v1/webhooks/{WEBHOOK}:enable", token=POOLER_TOKEN, json={})
    assert (reply.status_code, reply.json()["webhook"]["webhookId"]) == (200, WEBHOOK)
    assert (await called(world, "EnableWebhook")).webhook_id == WEBHOOK


async def test_facts_of_a_notification_are_an_object(world: GatewayWorld) -> None:
    told = notification_pb2.Notification(
        kind=notification_pb2.NOTIFICATION_KIND_PAYOUT_MADE, facts={"amountStroops": "7"}
    )
    world.pool.answers["ListNotifications"] = lambda _: notification_pb2.ListNotificationsResponse(
        notifications=[told]
    )
    reply = await world.get(f"/v1/notifications?poolerId={POOLER}&pageSize=7", token=POOLER_TOKEN)
    (found,) = reply.json()["notifications"]
    assert found["facts"] == {"amountStroops": "7"}
    assert found["kind"] == "NOTIFICATION_KIND_PAYOUT_MADE"
    request = await called(world, "ListNotifications")
    assert (request.pooler_id, request.page_size) == (POOLER, 7)
