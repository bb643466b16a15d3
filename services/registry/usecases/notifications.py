"""Use cases of notifications: webhooks, and what wallet has noticed."""

from dataclasses import dataclass, field
from uuid import UUID

from libs.common.db.pool import Session
from libs.common.errors import InvalidArgumentError
from libs.common.grpc.identity import Caller, CallerKind
from libs.common.ids import FarmerId, PoolerId, new_id
from libs.common.log import get_security_logger
from services.registry.domain.errors import (
    FarmerNotFoundError,
    WebhookDisabledError,
    WebhookLimitError,
    WebhookNotFoundError,
    WebhooksOffError,
    WebhookTestedError,
)
from services.registry.domain.model import Change
from services.registry.domain.notifications import ListedNotification
from services.registry.domain.webhooks import (
    MOST,
    NewWebhook,
    Webhook,
    WebhookKeys,
    host_of_url,
    shown,
    wrong_with,
)
from services.registry.store.notifications import NotificationStore
from services.registry.usecases.deliveries import Bell
from services.registry.usecases.registry import Registry

security = get_security_logger()

#: Seconds between two tests of one webhook at least.
_TEST_PAUSE = 10.0
#: Notices that are taken in one statement at most.
_PAGE = 1000
#: Seconds back to which each look for notices goes, and those of the first look and of one now and
#: then, for what committed late or while no registry ran. What was taken is kept for longer.
_RECENT, _EVER = 7200.0, 2_505_600.0
#: Looks after which one goes back to all that there is.
_WIDE_EVERY = 600


@dataclass(kw_only=True)
class Notifications:
    """The use cases of one process."""

    #: Tables of notifications, webhooks and deliveries.
    store: NotificationStore
    #: Poolers and farmers.
    registry: Registry
    #: Keys of webhooks' secrets; None: there are no webhooks.
    keys: WebhookKeys | None
    #: Whether webhooks may go to private hosts, and without TLS.
    allow_private: bool
    #: Rung when there is something to send.
    bell: Bell
    #: Looks for notices so far.
    _looks: int = field(default=0, init=False)

    async def listed(
        self,
        *,
        pooler_id: PoolerId | None,
        farmer_id: FarmerId | None,
        before: int | None,
        limit: int,
        viewer: Caller,
    ) -> list[ListedNotification]:
        """Return what happened, newest first; a pooler gets its own, by whatever it asks."""
        if viewer.kind is CallerKind.POOLER:
            pooler_id = PoolerId(UUID(viewer.name))
        return await self.store.notifications(
            pooler_id=pooler_id, farmer_id=farmer_id, before=before, limit=limit
        )

    async def create_webhook(
        self, new: NewWebhook, change: Change, *, actor: str
    ) -> tuple[Webhook, str]:
        """Make a webhook, once per request id; return it with its secret.

        Raises InvalidArgumentError, WebhooksOffError, WebhookLimitError, PoolerNotFoundError,
        FarmerNotFoundError.
        """
        keys = self.keys
        if keys is None:
            raise WebhooksOffError("WEBHOOK_KEY is not set: there are no webhooks here")
        if wrong := wrong_with(new.url, allow_private=self.allow_private):
            raise InvalidArgumentError.of("url", wrong)
        await self._check_farmer(new)

        async def act(session: Session, webhook_id: UUID) -> None:
            await self._check_owner(session, new)
            await self.store.insert_webhook(
                session, webhook_id, new, key_name=keys.newest, actor=actor
            )

        webhook = await self.webhook(await self.registry.once(change, new_id(), act))
        secret = self._secret_of(webhook)
        security.info(
            "webhook made",
            webhook_id=str(webhook.webhook_id),
            pooler_id=str(webhook.pooler_id or ""),
            host=host_of_url(webhook.url),
            actor=actor,
        )
        return webhook, shown(secret)

    async def _check_farmer(self, new: NewWebhook) -> None:
        """Raise FarmerNotFoundError, alike for another's farmer and one that there is not."""
        if new.farmer_id is None:
            return
        farmer = await self.registry.farmer(new.farmer_id)
        if new.pooler_id not in {None, farmer.pooler_id}:
            raise FarmerNotFoundError(
                f"no farmer {new.farmer_id}", metadata={"farmer_id": str(new.farmer_id)}
            )

    async def _check_owner(self, session: Session, new: NewWebhook) -> None:
        """Raise PoolerNotFoundError, or WebhookLimitError; the owner's row is locked then."""
        if new.pooler_id is not None:
            await self.registry.lock_pooler(session, new.pooler_id)
        count = await self.store.count_webhooks(session, new.pooler_id)
        if count >= MOST:
            raise WebhookLimitError(
                f"there are {count} webhooks already: delete one", metadata={"limit": str(MOST)}
            )

    async def webhook(self, webhook_id: UUID) -> Webhook:
        """Return one webhook. Raises WebhookNotFoundError, also for one that was deleted."""
        webhook = await self._known(webhook_id)
        if webhook.deleted_at is not None:
            raise _no_webhook(webhook_id)
        return webhook

    async def _known(self, webhook_id: UUID) -> Webhook:
        webhook = await self.store.webhook(webhook_id)
        if webhook is None:
            raise _no_webhook(webhook_id)
        return webhook

    async def delete_webhook(self, webhook_id: UUID, *, actor: str) -> None:
        """Delete a webhook for good; twice is no error. Raises WebhookNotFoundError."""
        await self._known(webhook_id)
        await self.store.delete_webhook(webhook_id)
        security.info("webhook deleted", webhook_id=str(webhook_id), actor=actor)

    async def enable_webhook(self, webhook_id: UUID, *, actor: str) -> Webhook:
        """Enable a webhook that was disabled; return it. One that is in use stays as it is.

        Raises WebhookNotFoundError, WebhooksOffError.
        """
        webhook = await self.webhook(webhook_id)
        if webhook.disabled_at is None:
            return webhook
        self._secret_of(webhook)
        # What was queued in the moment in which it was disabled happened before, too.
        await self.store.cancel()
        if await self.store.enable_webhook(webhook_id):
            security.info("webhook enabled", webhook_id=str(webhook_id), actor=actor)
        return await self.webhook(webhook_id)

    def _secret_of(self, webhook: Webhook) -> bytes:
        """Return a webhook's secret; raise WebhooksOffError when its key is gone."""
        keys = self.keys
        secret = None if keys is None else keys.secret_of(webhook.webhook_id, webhook.key_name)
        if secret is None:
            raise WebhooksOffError("the key of this webhook is no longer in WEBHOOK_KEY")
        return secret

    async def test_webhook(self, webhook_id: UUID) -> UUID:
        """Queue a test; return the id of its notification.

        Raises WebhookNotFoundError, WebhookDisabledError, WebhookTestedError.
        """
        webhook = await self.webhook(webhook_id)
        if webhook.disabled_at is not None:
            raise WebhookDisabledError(f"the webhook was disabled: {webhook.disabled_reason}")
        notification_id = await self.store.insert_test(webhook_id, pause=_TEST_PAUSE)
        if notification_id is None:
            raise WebhookTestedError("the webhook was tested a moment ago", retry_after=_TEST_PAUSE)
        self.bell.ring()
        return notification_id

    async def take_notices(self) -> int:
        """Take what wallet has noticed; return how many notices were new."""
        within = _EVER if self._looks % _WIDE_EVERY == 0 else _RECENT
        taken = await self.store.take_notices(within, _PAGE)
        if taken < _PAGE:  # else the same look goes on
            self._looks += 1
        if taken:
            self.bell.ring()
        return taken


def _no_webhook(webhook_id: UUID) -> WebhookNotFoundError:
    return WebhookNotFoundError(
        f"no webhook {webhook_id}", metadata={"webhook_id": str(webhook_id)}
    )
