"""kalepool.registry.v1.NotificationService: what happened, and webhooks that are told of it."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from kalepool.registry.v1 import notification_pb2, notification_pb2_grpc

from libs.common.errors import FieldViolation, InvalidArgumentError
from libs.common.grpc.identity import caller
from libs.common.ids import FarmerId, PoolerId
from libs.common.paging import decode_token, id_after, size_of, token_after
from services.registry import messages
from services.registry.domain.deliveries import Delivery, DeliveryState
from services.registry.domain.notifications import Kind, ListedNotification
from services.registry.domain.webhooks import NewWebhook, Webhook
from services.registry.store.notifications import NotificationStore
from services.registry.usecases.notifications import Notifications

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

FULL_NAME = notification_pb2.DESCRIPTOR.services_by_name["NotificationService"].full_name
_KINDS = {
    kind.value: notification_pb2.NotificationKind.Value(f"NOTIFICATION_KIND_{kind.name}")
    for kind in Kind
}
_NAMES = {number: name for name, number in _KINDS.items()}
_STATES = {
    state: notification_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.name}")
    for state in DeliveryState
}
#: States in which there is a next attempt.
_OPEN = frozenset({DeliveryState.QUEUED, DeliveryState.SENDING})


class NotificationServicer(notification_pb2_grpc.NotificationServiceServicer):
    """Thin servicer: each method maps the request, makes one call and maps the result back."""

    def __init__(self, notifications: Notifications, store: NotificationStore) -> None:
        self._notifications = notifications
        self._store = store

    async def CreateWebhook(
        self, request: notification_pb2.CreateWebhookRequest, context: Context
    ) -> notification_pb2.CreateWebhookResponse:
        """See notification.proto."""
        new = _new_webhook(request)
        change = messages.change(
            f"CreateWebhook/{new.pooler_id or 'operators'}", request.request_id, _values(new)
        )
        webhook, secret = await self._notifications.create_webhook(
            new, change, actor=caller().actor
        )
        return notification_pb2.CreateWebhookResponse(
            webhook=_webhook_message(webhook), secret=secret
        )

    async def ListWebhooks(
        self, request: notification_pb2.ListWebhooksRequest, context: Context
    ) -> notification_pb2.ListWebhooksResponse:
        """See notification.proto."""
        size, after = size_of(request.page_size), id_after(request.page_token)
        found = await self._store.webhooks(
            pooler_id=_pooler(request.pooler_id), after=after, limit=size + 1
        )
        return notification_pb2.ListWebhooksResponse(
            webhooks=map(_webhook_message, found[:size]),
            next_page_token=token_after([webhook.webhook_id for webhook in found], size),
        )

    async def DeleteWebhook(
        self, request: notification_pb2.DeleteWebhookRequest, context: Context
    ) -> notification_pb2.DeleteWebhookResponse:
        """See notification.proto."""
        webhook_id = UUID(request.webhook_id)
        await self._notifications.delete_webhook(webhook_id, actor=caller().actor)
        return notification_pb2.DeleteWebhookResponse()

    async def EnableWebhook(
        self, request: notification_pb2.EnableWebhookRequest, context: Context
    ) -> notification_pb2.EnableWebhookResponse:
        """See notification.proto."""
        webhook_id = UUID(request.webhook_id)
        webhook = await self._notifications.enable_webhook(webhook_id, actor=caller().actor)
        return notification_pb2.EnableWebhookResponse(webhook=_webhook_message(webhook))

    async def TestWebhook(
        self, request: notification_pb2.TestWebhookRequest, context: Context
    ) -> notification_pb2.TestWebhookResponse:
        """See notification.proto."""
        notification_id = await self._notifications.test_webhook(UUID(request.webhook_id))
        return notification_pb2.TestWebhookResponse(notification_id=str(notification_id))

    async def ListDeliveries(
        self, request: notification_pb2.ListDeliveriesRequest, context: Context
    ) -> notification_pb2.ListDeliveriesResponse:
        """See notification.proto."""
        size, before = size_of(request.page_size), _number(request.page_token)
        webhook = await self._notifications.webhook(UUID(request.webhook_id))
        found = await self._store.deliveries(webhook.webhook_id, before=before, limit=size + 1)
        return notification_pb2.ListDeliveriesResponse(
            deliveries=map(_delivery_message, found[:size]),
            next_page_token=token_after([item.listed.notification.number for item in found], size),
        )

    async def ListNotifications(
        self, request: notification_pb2.ListNotificationsRequest, context: Context
    ) -> notification_pb2.ListNotificationsResponse:
        """See notification.proto."""
        size, before = size_of(request.page_size), _number(request.page_token)
        found = await self._notifications.listed(
            pooler_id=_pooler(request.pooler_id),
            farmer_id=_farmer(request.farmer_id),
            before=before,
            limit=size + 1,
            viewer=caller(),
        )
        return notification_pb2.ListNotificationsResponse(
            notifications=map(notification_message, found[:size]),
            next_page_token=token_after([item.notification.number for item in found], size),
        )


def register(
    notifications: Notifications, store: NotificationStore, server: grpc.aio.Server
) -> None:
    """Add the servicer to a server."""
    servicer = NotificationServicer(notifications, store)
    notification_pb2_grpc.add_NotificationServiceServicer_to_server(servicer, server)


def _new_webhook(request: notification_pb2.CreateWebhookRequest) -> NewWebhook:
    wrong = [
        FieldViolation(field=f"kinds[{place}]", description="must be one of the kinds")
        for place, kind in enumerate(request.kinds)
        if kind not in _NAMES
    ]
    if wrong:
        raise InvalidArgumentError("kinds must be kinds of notifications", violations=wrong)
    return NewWebhook(
        pooler_id=_pooler(request.pooler_id),
        farmer_id=_farmer(request.farmer_id),
        url=request.url,
        kinds=tuple(_NAMES[kind] for kind in request.kinds),
    )


def _values(new: NewWebhook) -> dict[str, object]:
    """Return what a request asks for, for its digest."""
    return {
        "pooler_id": str(new.pooler_id or ""),
        "farmer_id": str(new.farmer_id or ""),
        "url": new.url,
        "kinds": list(new.kinds),
    }


def _pooler(text: str) -> PoolerId | None:
    return PoolerId(UUID(text)) if text else None


def _farmer(text: str) -> FarmerId | None:
    return FarmerId(UUID(text)) if text else None


def _number(page_token: str) -> int | None:
    key = decode_token(page_token, [int])
    return None if key is None else int(key[0])


def _moment(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def notification_message(listed: ListedNotification) -> notification_pb2.Notification:
    """Return the message of a notification."""
    notification = listed.notification
    return notification_pb2.Notification(
        notification_id=str(notification.id),
        kind=_KINDS.get(notification.kind, notification_pb2.NOTIFICATION_KIND_UNSPECIFIED),
        happened_at=_moment(notification.happened_at),
        pooler_id=str(notification.pooler_id or ""),
        farmer_id=str(notification.farmer_id or ""),
        facts=notification.facts,
        pooler_name=listed.pooler_name,
        farmer_address=listed.farmer_address,
    )


def _webhook_message(webhook: Webhook) -> notification_pb2.Webhook:
    return notification_pb2.Webhook(
        webhook_id=str(webhook.webhook_id),
        pooler_id=str(webhook.pooler_id or ""),
        farmer_id=str(webhook.farmer_id or ""),
        url=webhook.url,
        kinds=[_KINDS[kind] for kind in webhook.kinds if kind in _KINDS],
        created_by=webhook.created_by,
        created_at=_moment(webhook.created_at),
        failing_since=_moment(webhook.failing_since),
        disabled_at=_moment(webhook.disabled_at),
        disabled_reason=webhook.disabled_reason,
    )


def _delivery_message(delivery: Delivery) -> notification_pb2.Delivery:
    is_open = delivery.state in _OPEN
    return notification_pb2.Delivery(
        notification=notification_message(delivery.listed),
        state=_STATES[delivery.state],
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        next_attempt_at=_moment(delivery.due_at) if is_open else None,
        ended_at=_moment(delivery.ended_at),
    )
