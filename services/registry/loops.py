"""The loop that completes registrations that a crash has cut off."""

import asyncio

from libs.common.errors import PoolError, UnavailableError
from libs.common.ids import FarmerId, PoolerId
from libs.common.log import get_logger
from services.registry.usecases import Registry

log = get_logger(__name__)

#: Farmers that are read at a time.
PAGE = 100


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
