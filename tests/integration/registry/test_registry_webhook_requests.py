"""Webhooks are made, listed, deleted, and enabled again."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from devstack.webhook_receiver import Receiver
from libs.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)
from tests.support.database import DatabaseAccess, connect
from tests.support.registry_world import (
    RegistryWorld,
    open_registry_world,
    refusal,
)
from tests.support.webhooks import (
    KEY,
    S,
    create,
    execute,
    notice,
    settled,
    states,
    webhook,
)

#: An id that nobody has.
SOMEBODY = "0190a5f0-0000-7000-8000-000000000001"


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
