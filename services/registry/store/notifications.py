"""Typed access to notifications, webhooks and deliveries."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from uuid import UUID

from libs.common.db.pool import Database, Record, Session
from libs.common.ids import FarmerId, PoolerId
from services.registry.domain.deliveries import (
    Attempt,
    Delivery,
    DeliveryState,
    Outcome,
    Verdict,
    after,
    disables,
)
from services.registry.domain.notifications import ListedNotification, Notification
from services.registry.domain.webhooks import NewWebhook, Webhook

QUERIES = Path(__file__).parent / "queries_notifications.sql"


class NotificationStore:
    """The tables notifications, webhooks and deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_notices(self, within: float, limit: int) -> int:
        """Take what wallet has noticed within so many seconds; return how many were new."""
        return await self._database.execute("take_notices", within, limit)

    async def forget(self, seconds: float) -> int:
        """Forget a page of what was told longer ago than so many seconds; return how many went."""
        row = await self._database.one("forget_notifications", seconds)
        return 0 if row is None else row["forgotten"]

    async def notifications(
        self,
        *,
        pooler_id: PoolerId | None,
        farmer_id: FarmerId | None,
        before: int | None,
        limit: int,
    ) -> list[ListedNotification]:
        """Return notifications, newest first: a farmer's, those that a pooler sees, or all."""
        if farmer_id is not None:
            rows = await self._database.many(
                "notifications_of_farmer", farmer_id, before, limit, pooler_id
            )
        elif pooler_id is not None:
            rows = await self._database.many("notifications_of_pooler", pooler_id, before, limit)
        else:
            rows = await self._database.many("all_notifications", before, limit)
        return [_listed(row) for row in rows]

    async def insert_webhook(
        self, session: Session, webhook_id: UUID, new: NewWebhook, *, key_name: str, actor: str
    ) -> None:
        """Add a webhook."""
        await session.execute(
            "insert_webhook",
            webhook_id,
            new.pooler_id,
            new.farmer_id,
            new.url,
            list(new.kinds),
            key_name,
            actor,
        )

    async def count_webhooks(self, session: Session, pooler_id: PoolerId | None) -> int:
        """Return how many webhooks a pooler has; None: the operators."""
        row = await session.one("count_webhooks", pooler_id)
        return 0 if row is None else row["count"]

    async def webhook(self, webhook_id: UUID) -> Webhook | None:
        """Return one webhook, also one that was deleted; None when there is none."""
        row = await self._database.one("webhook", webhook_id)
        return None if row is None else Webhook(**row)

    async def webhooks(
        self, *, pooler_id: PoolerId | None, after: UUID | None, limit: int
    ) -> list[Webhook]:
        """Return webhooks in the order of their ids; None: everybody's."""
        rows = await self._database.many("list_webhooks", pooler_id, after, limit)
        return [Webhook(**row) for row in rows]

    async def owners_of_webhooks(self, ids: Sequence[str]) -> set[str]:
        """Return the poolers (ids) that own these webhooks; "" for one that is no pooler's."""
        rows = await self._database.many("owners_of_webhooks", list(map(UUID, ids)))
        return {row["pooler_id"] for row in rows}

    async def delete_webhook(self, webhook_id: UUID) -> None:
        """Delete a webhook; the database cancels what was not sent yet."""
        await self._database.execute("delete_webhook", webhook_id)

    async def enable_webhook(self, webhook_id: UUID) -> bool:
        """Enable a webhook; return whether it was disabled, and not deleted."""
        return await self._database.execute("enable_webhook", webhook_id) == 1

    async def insert_test(self, webhook_id: UUID, *, pause: float) -> UUID | None:
        """Queue a test; None when there was one within so many seconds."""
        row = await self._database.one("insert_test", webhook_id, pause)
        return None if row is None else row["id"]

    async def deliveries(
        self, webhook_id: UUID, *, before: int | None, limit: int
    ) -> list[Delivery]:
        """Return what was, or is to be, sent to one webhook, newest first."""
        rows = await self._database.many("list_deliveries", webhook_id, before, limit)
        return [_delivery(row) for row in rows]

    async def claim(
        self, *, limit: int, lease: float, of_owner: int, busy: Collection[UUID]
    ) -> list[Attempt]:
        """Take up to `limit` deliveries that are due for `lease` seconds.

        Take `of_owner` of each owner at most, and none of those that are busy.
        """
        rows = await self._database.many("claim_deliveries", limit, lease, of_owner, list(busy))
        return [_attempt(row) for row in rows]

    async def end_attempt(
        self, attempt: Attempt, outcome: Outcome, verdict: Verdict, *, pause: float, give_up: float
    ) -> str:
        """Record what became of an attempt; return why the webhook is disabled by that, if it is.

        An attempt that came to its end after its lease changes nothing any more.
        """
        async with self._database.transaction() as session:
            # The webhook's row first: whoever deletes the webhook takes both in that order, too.
            hook = await session.one("lock_webhook", attempt.webhook_id)
            if hook is None or not await self._end(session, attempt, outcome, verdict, pause):
                return ""
            now = hook["moment"]
            since = None if outcome.is_success else hook["failing_since"] or now
            await session.execute("note_failing", attempt.webhook_id, since)
            failing_for = 0.0 if since is None else (now - since).total_seconds()
            reason = disables(verdict, attempt, failing_for=failing_for, give_up=give_up)
            if reason:
                await session.execute("disable_webhook", attempt.webhook_id, reason)
            return reason

    async def _end(
        self, session: Session, attempt: Attempt, outcome: Outcome, verdict: Verdict, pause: float
    ) -> bool:
        changed = await session.execute(
            "end_attempt",
            attempt.webhook_id,
            attempt.notification.number,
            attempt.attempts,
            after(verdict.event).value,
            pause,
            outcome.status,
            outcome.told[:250],
        )
        return changed == 1

    async def cancel(self) -> int:
        """Cancel what was queued while its webhook was deleted or disabled."""
        return await self._database.execute("cancel_deliveries")


def _notification(row: Record) -> Notification:
    return Notification(
        number=row["number"],
        id=row["id"],
        kind=row["kind"],
        pooler_id=row["pooler_id"],
        farmer_id=row["farmer_id"],
        happened_at=row["happened_at"],
        facts=_facts(row["facts"]),
    )


def _listed(row: Record) -> ListedNotification:
    return ListedNotification(
        notification=_notification(row),
        pooler_name=row["pooler_name"],
        farmer_address=row["farmer_address"],
    )


def _facts(text: str) -> dict[str, str]:
    """Return facts as they are told: names and texts, whatever else a row has."""
    found = json.loads(text)
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _delivery(row: Record) -> Delivery:
    return Delivery(
        listed=_listed(row),
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        last_status=row["last_status"],
        last_error=row["last_error"],
        due_at=row["due_at"],
        ended_at=row["ended_at"],
    )


def _attempt(row: Record) -> Attempt:
    return Attempt(
        webhook_id=row["webhook_id"],
        attempts=row["attempts"],
        url=row["url"],
        key_name=row["key_name"],
        owner_id=row["owner_id"],
        age=row["age"],
        notification=_notification(row),
    )
