"""registry's background loops: each repeats one step of a use case for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from libs.common.errors import PoolError, UnavailableError
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_logger
from services.registry.store.notifications import NotificationStore
from services.registry.usecases.deliveries import Bell, Deliverer
from services.registry.usecases.leaving import Departures
from services.registry.usecases.notifications import Notifications
from services.registry.usecases.registry import Registry

log = get_logger(__name__)

#: Farmers that are read at a time.
PAGE = 100
#: Seconds between two looks for what wallet has noticed, and for what is due at a webhook.
LOOK = 1.0
#: Seconds between two looks for poolers that are gone; a sixth of their time if that is less.
GONE_LOOK = 5.0
#: Seconds between two rounds of forgetting what is old.
FORGET = 3600.0


async def repeat(name: str, step: Callable[[], Awaitable[object]], *, pause: float) -> None:
    """Repeat a step, whatever happens to it; an outage is logged once."""
    away = False
    while True:
        try:
            await step()
        except UnavailableError as error:
            if not away:
                log.warning("away", loop=name, reason=error.reason)
            away = True
            await asyncio.sleep(LOOK)
        except Exception:  # a defect must not end the loop: the next round may do better
            log.exception("defect", loop=name)
            await asyncio.sleep(LOOK)
        else:
            away = False
        await asyncio.sleep(pause)


async def provision_for_ever(registry: Registry, *, interval: float) -> None:
    """Look every `interval` seconds for farmers who have waited that long for a wallet."""
    while True:
        try:
            await provision_waiting(registry, older_than=interval)
        except UnavailableError as error:
            log.warning("registrations wait", reason=error.reason)
        except Exception:  # a defect must not end the loop: the next round may do better
            log.exception("defect", loop="provision")
        await asyncio.sleep(interval)


async def provision_waiting(registry: Registry, *, older_than: float) -> None:
    """Make one round through all farmers who wait for a wallet.

    Refusals, however many, do not keep the other farmers waiting.
    """
    after: FarmerId | None = None
    while page := await registry.store.provisioning(older_than, after=after, limit=PAGE):
        for farmer_id, pooler_id in page:
            await _provision(registry, farmer_id, pooler_id)
        after = page[-1][0]


async def _provision(registry: Registry, farmer_id: FarmerId, pooler_id: PoolerId) -> None:
    try:
        await registry.provision(farmer_id, pooler_id)
    except UnavailableError:
        raise
    except PoolError as error:
        log.warning("no wallet", farmer_id=str(farmer_id), reason=error.reason)
    else:
        log.info("registration completed", farmer_id=str(farmer_id))


async def see_off(departures: Departures) -> None:
    """Take the steps of farmers and poolers that leave, for ever."""

    async def step() -> None:
        if not await departures.step():
            await asyncio.sleep(LOOK)

    await repeat("leaving", step, pause=0)


async def take_notices(notifications: Notifications) -> None:
    """Take what wallet has noticed, for ever."""
    await repeat("notices", notifications.take_notices, pause=LOOK)


async def watch_poolers(registry: Registry, bell: Bell, *, gone_after: float) -> None:
    """Look for poolers whose heartbeats have stopped.

    Heartbeats that nobody could note, while registry or its database was away, do not count: each
    pooler gets all of its time after that.
    """
    since = time.monotonic()

    async def step() -> None:
        nonlocal since
        if not await registry.store.database.is_up():
            since = time.monotonic()
        elif time.monotonic() - since >= gone_after:
            await _mark_gone(registry, bell, gone_after)

    await repeat("poolers", step, pause=min(GONE_LOOK, gone_after / 6))


async def _mark_gone(registry: Registry, bell: Bell, gone_after: float) -> None:
    if gone := await registry.store.mark_gone(gone_after):
        log.warning("poolers gone", count=gone)
        bell.ring()


async def deliver(deliverer: Deliverer, bell: Bell) -> None:
    """Send what is due to webhooks, for ever."""

    async def step() -> None:
        if not await deliverer.step():
            await bell.wait(LOOK)

    await repeat("deliveries", step, pause=0)


async def forget(store: NotificationStore, *, seconds: float) -> None:
    """Forget what was told long ago, and cancel what nobody waits for any more."""

    async def step() -> None:
        await store.cancel()
        while await store.forget(seconds):
            pass

    await repeat("forget", step, pause=FORGET)
