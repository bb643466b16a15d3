"""Webhooks of a registry in tests: how they are made, what happened, and what was sent."""

from typing import Any

from kalepool.registry.v1 import notification_pb2

from tests.support.database import connect
from tests.support.notices import insert_notice
from tests.support.registry_world import RegistryWorld, eventually

#: A key of webhooks' secrets.
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
S = notification_pb2


async def create(world: RegistryWorld, url: str, **changes: Any) -> S.CreateWebhookResponse:
    """Make a webhook."""
    request = S.CreateWebhookRequest(url=url, **changes)
    return await world.notifications.CreateWebhook(request)


async def notice(world: RegistryWorld, name: str, kind: str = "payout.made", **whose: Any) -> None:
    """Have wallet notice something."""
    async with connect(world.database.admin_dsn) as admin:
        await insert_notice(admin, name, kind, facts={"name": name}, **whose)


async def deliveries(world: RegistryWorld, webhook_id: str) -> list[S.Delivery]:
    """Return what was, or is to be, sent to one webhook, newest first."""
    request = S.ListDeliveriesRequest(webhook_id=webhook_id)
    return list((await world.notifications.ListDeliveries(request)).deliveries)


async def states(world: RegistryWorld, webhook_id: str) -> list[str]:
    """Return the states of a webhook's deliveries, newest first."""
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
    """Return one webhook, as a list shows it."""
    found = (await world.notifications.ListWebhooks(S.ListWebhooksRequest())).webhooks
    (one,) = [item for item in found if item.webhook_id == webhook_id]
    return one
