"""Deliveries: each notification is sent to each webhook until its receiver has taken it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from libs.common.clock import Clock
from libs.common.errors import UnavailableError
from libs.common.failpoints import failpoint
from libs.common.log import get_logger
from libs.common.metrics import METER
from services.registry.domain.deliveries import Attempt, Outcome, judge
from services.registry.domain.webhooks import (
    WebhookKeys,
    body_of,
    headers_of,
    host_of_url,
    is_secure,
)
from services.registry.receivers import Receivers
from services.registry.store.notifications import NotificationStore

log = get_logger(__name__)

#: Deliveries that are sent at a time: in all, of one owner, to one host.
AT_ONCE, OF_OWNER, TO_HOST = 256, 4, 16
#: Seconds that a delivery waits for its turn at its host at most.
_TURN = 10.0
#: Seconds after both times within which what became of an attempt is recorded.
_RECORDED = 30.0
#: Part by which a pause may be longer, so that what failed together is not tried together.
_SPREAD = 0.2

_attempts = METER.create_counter(
    "kalepool.registry.deliveries", description="Attempts to send a notification to a webhook."
)


class Bell:
    """Wakes the one who sends."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the sender, now or when it waits next."""
        self._rung.set()

    async def wait(self, timeout: float) -> None:
        """Return when somebody has rung, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        self._rung.clear()


@dataclass(frozen=True, kw_only=True)
class SendingTerms:
    """How long is tried."""

    #: Seconds of one attempt.
    timeout: float
    #: Seconds after which a notification is given up.
    give_up: float
    #: Whether anything may be sent without TLS, too.
    allow_private: bool

    @property
    def lease(self) -> float:
        """Return the seconds after which the process that has a delivery must be dead."""
        return self.timeout + _TURN + _RECORDED


class Deliverer:
    """The sender of one process; others may run beside it."""

    def __init__(
        self,
        store: NotificationStore,
        receivers: Receivers,
        keys: WebhookKeys,
        *,
        clock: Clock,
        terms: SendingTerms,
        bell: Bell,
    ) -> None:
        self._store = store
        self._receivers = receivers
        self._keys = keys
        self._clock = clock
        self._terms = terms
        self._bell = bell
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_owner: Counter[UUID] = Counter()
        self._to_host: Counter[str] = Counter()
        self._hosts_changed = asyncio.Condition()

    async def step(self) -> int:
        """Take up what is due, as far as there is room; return how many deliveries that were.

        They go on afterwards: who has a slow receiver waits for it, and nobody else does.
        """
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return 0
        busy = [owner for owner, count in self._of_owner.items() if count > 0]
        found = await self._store.claim(
            limit=room, lease=self._terms.lease, of_owner=OF_OWNER, busy=busy
        )
        for attempt in found:
            self._of_owner[attempt.owner_id] += 1
            task = asyncio.create_task(self._deliver(attempt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(found)

    async def aclose(self) -> None:
        """Stop sending; what is cut off is sent again once its time is over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, attempt: Attempt) -> None:
        try:
            await self._attempt(attempt)
        except UnavailableError as error:
            log.warning("a delivery was not recorded", reason=error.reason)
        except Exception:  # one delivery's defect must not end the others
            log.exception("defect", loop="deliveries")
        finally:
            self._of_owner[attempt.owner_id] -= 1
            if not self._of_owner[attempt.owner_id]:
                del self._of_owner[attempt.owner_id]
                self._bell.ring()

    async def _attempt(self, attempt: Attempt) -> None:
        await failpoint("registry.delivery.claimed")
        outcome = await self._outcome(attempt)
        await failpoint("registry.delivery.answered")
        verdict = judge(outcome, attempt, give_up=self._terms.give_up)
        pause = verdict.pause * (1 + random.uniform(0, _SPREAD))
        reason = await self._store.end_attempt(
            attempt, outcome, verdict, pause=pause, give_up=self._terms.give_up
        )
        _attempts.add(1, {"result": "taken" if outcome.is_success else "failed"})
        if reason:
            log.warning("webhook disabled", webhook_id=str(attempt.webhook_id), why=reason)

    async def _outcome(self, attempt: Attempt) -> Outcome:
        """Return what an attempt met; a defect of ours fails it, so that it, too, has an end."""
        try:
            return await self._send(attempt)
        except Exception:
            log.exception("defect", loop="deliveries")
            return Outcome(error="the pool could not send it")

    async def _send(self, attempt: Attempt) -> Outcome:
        secret = self._keys.secret_of(attempt.webhook_id, attempt.key_name)
        if secret is None:
            log.critical("no key of webhook", webhook_id=str(attempt.webhook_id))
            return Outcome(error="the pool has no key of this webhook any more")
        # WEBHOOKS_ALLOW_PRIVATE may have been set when the webhook was made, and is not any more.
        if not (self._terms.allow_private or is_secure(attempt.url)):
            return Outcome(error="the address must begin with https://")
        body = body_of(attempt.notification)
        async with self._turn(host_of_url(attempt.url)) as is_mine:
            if not is_mine:
                return Outcome(error="too much is sent to this host")
            headers = headers_of(
                str(attempt.notification.id), body, secret=secret, now=self._clock.now()
            )
            return await self._receivers.post(attempt.url, body, headers)

    @asynccontextmanager
    async def _turn(self, host: str) -> AsyncIterator[bool]:
        """Wait until there is room at a host; yield whether there is."""
        try:
            async with asyncio.timeout(_TURN), self._hosts_changed:
                await self._hosts_changed.wait_for(lambda: self._to_host[host] < TO_HOST)
                self._to_host[host] += 1
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            async with self._hosts_changed:
                self._to_host[host] -= 1
                if not self._to_host[host]:
                    del self._to_host[host]
                self._hosts_changed.notify_all()
