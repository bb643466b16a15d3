"""kalepool webhook and kalepool notifications: what happened, and who is told of it."""

import asyncio
from time import monotonic
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from kalepool.registry.v1 import notification_pb2

from cli.arguments import Count, Run
from cli.errors import CommandLineError
from cli.session import Session, fresh
from cli.show import cell, note
from libs.common.errors import FailedPreconditionError

app = cyclopts.App(name="webhook", help="Be told what happens, by HTTP.")
_COLUMNS = ("webhook_id", "pooler_id", "farmer_id", "url", "failing_since", "disabled_at")
_NOTIFICATIONS = ("happened_at", "kind", "pooler_name", "farmer_address", "facts")
_KINDS = notification_pb2.NotificationKind.DESCRIPTOR
_PREFIX = "NOTIFICATION_KIND_"
#: States in which nothing has arrived, and nothing will.
_NOT_ARRIVED = (
    notification_pb2.DELIVERY_STATE_FAILED,
    notification_pb2.DELIVERY_STATE_CANCELLED,
)
#: Seconds to wait for what comes of a test (a receiver has WEBHOOK_TIMEOUT_MS, 10 s by default),
#: and between two looks.
_PATIENCE, _LOOK = 60.0, 1.0


@app.command
async def create(
    url: str,
    /,
    *,
    pooler: str = "",
    farmer: str = "",
    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    request_id: str = "",
    session: Run,
) -> None:
    """Make a webhook and show its secret, once.

    Parameters
    ----------
    url
        The https:// address that notifications are sent to.
    pooler
        The pooler whose notifications are sent; without one, what operators see.
    farmer
        Only what concerns this farmer.
    kinds
        The only kinds that are sent, such as payout_made payout_failed; without them, all.
    request_id
        Names the request: with the same one no second webhook is made.
    """
    request = notification_pb2.CreateWebhookRequest(
        request_id=fresh(request_id),
        pooler_id=pooler,
        farmer_id=farmer,
        url=url,
        kinds=map(_kind, kinds or ()),
    )
    reply = await session.ask(session.notifications.CreateWebhook, request)
    note("keep the secret: it is not shown again")
    session.output.message(reply)


@app.command(name="list")
async def list_webhooks(*, pooler: str = "", limit: Count = 100, session: Run) -> None:
    """List webhooks.

    Parameters
    ----------
    pooler
        Only those of this pooler.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> notification_pb2.ListWebhooksResponse:
        request = notification_pb2.ListWebhooksRequest(
            pooler_id=pooler, page_size=size, page_token=token
        )
        return await session.ask(session.notifications.ListWebhooks, request)

    session.output.rows(await session.pages(page, "webhooks", limit), "webhooks", _COLUMNS)


@app.command
async def delete(webhook_id: str, /, *, session: Run) -> None:
    """Delete a webhook for good; what was not sent yet is not sent."""
    request = notification_pb2.DeleteWebhookRequest(webhook_id=webhook_id)
    reply = await session.ask(session.notifications.DeleteWebhook, request)
    if session.output.json:
        session.output.json_of(reply)
    else:
        note("deleted")


@app.command
async def enable(webhook_id: str, /, *, session: Run) -> None:
    """Enable a webhook that was disabled; what happened before is not sent."""
    request = notification_pb2.EnableWebhookRequest(webhook_id=webhook_id)
    reply = await session.ask(session.notifications.EnableWebhook, request)
    session.output.message(reply.webhook)


@app.command
async def test(webhook_id: str, /, *, session: Run) -> None:
    """Send a test and wait for what comes of it. Exit status 1 when it does not arrive.

    Parameters
    ----------
    webhook_id
        The webhook.
    """
    request = notification_pb2.TestWebhookRequest(webhook_id=webhook_id)
    reply = await session.ask(session.notifications.TestWebhook, request)
    async with session.progress.during("waiting for the receiver"):
        found = await _outcome(webhook_id, reply.notification_id, session)
    if found is None or not found.HasField("ended_at"):
        note("the test is queued; kalepool webhook deliveries tells what came of it")
    session.output.message(reply if found is None else found)
    if found is not None and found.state in _NOT_ARRIVED:
        raise FailedPreconditionError(
            f"the test did not arrive: {found.last_error or 'the webhook is out of use'}",
            reason="TEST_NOT_DELIVERED",
        )


async def _outcome(
    webhook_id: str, notification_id: str, session: Session
) -> notification_pb2.Delivery | None:
    """Return the delivery of a test once it has ended, or as it is after _PATIENCE.

    None: it is not among the newest ones.
    """
    request = notification_pb2.ListDeliveriesRequest(webhook_id=webhook_id)
    ends_at = monotonic() + _PATIENCE
    while True:
        page = await session.ask(session.notifications.ListDeliveries, request)
        ours = [
            one for one in page.deliveries if one.notification.notification_id == notification_id
        ]
        if not ours or ours[0].HasField("ended_at") or monotonic() > ends_at:
            return ours[0] if ours else None
        await asyncio.sleep(_LOOK)


@app.command
async def deliveries(webhook_id: str, /, *, limit: Count = 100, session: Run) -> None:
    """List what was, or is to be, sent to a webhook, newest first.

    Parameters
    ----------
    webhook_id
        The webhook.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> notification_pb2.ListDeliveriesResponse:
        request = notification_pb2.ListDeliveriesRequest(
            webhook_id=webhook_id, page_size=size, page_token=token
        )
        return await session.ask(session.notifications.ListDeliveries, request)

    columns = ("state", "attempts", "last_status", "last_error", "next_attempt_at", "ended_at")
    whole = await session.pages(page, "deliveries", limit)
    session.output.rows(
        whole, "deliveries", ("notification.happened_at", "notification.kind", *columns)
    )


async def notifications(
    *, pooler: str = "", farmer: str = "", limit: Count = 30, session: Run
) -> None:
    """List what happened, newest first: payouts, changed addresses, pauses, who has gone.

    Parameters
    ----------
    pooler
        What this pooler sees.
    farmer
        What concerns this farmer.
    limit
        How many at most; 0 means all.
    """

    async def page(size: int, token: str) -> notification_pb2.ListNotificationsResponse:
        request = notification_pb2.ListNotificationsRequest(
            pooler_id=pooler, farmer_id=farmer, page_size=size, page_token=token
        )
        return await session.ask(session.notifications.ListNotifications, request)

    whole = await session.pages(page, "notifications", limit)
    if session.output.json:
        session.output.json_of(whole)
        return
    session.output.table(
        [name.replace("_", " ") for name in _NOTIFICATIONS],
        [
            [*(cell(item, name) for name in _NOTIFICATIONS[:-1]), _facts(item)]
            for item in whole.notifications
        ],
    )


def _facts(item: notification_pb2.Notification) -> str:
    return ", ".join(f"{name} {item.facts[name]}" for name in sorted(item.facts))


def _kind(text: str) -> notification_pb2.NotificationKind.ValueType:
    """Return a kind by its name, as a list or a receiver shows it."""
    name = text.replace(".", "_").upper()
    value = _KINDS.values_by_name.get(_PREFIX + {"WEBHOOK_TEST": "TEST"}.get(name, name))
    if value is None or not value.number:
        known = ", ".join(one.name.removeprefix(_PREFIX).lower() for one in _KINDS.values[1:])
        raise CommandLineError(f"--kinds: {text!r} is none of {known}")
    return notification_pb2.NotificationKind.ValueType(value.number)
