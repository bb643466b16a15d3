"""Completes registrations that a crash has cut off."""

import asyncio

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.registry.usecases import Registry

log = get_logger(__name__)

#: Seconds that a registration gets before it counts as cut off.
PATIENCE = 10.0


async def provision_for_ever(registry: Registry, *, interval: float) -> None:
    """Looks for farmers without a wallet every `interval` seconds."""
    while True:
        try:
            for farmer_id, pooler_id in await registry.store.provisioning(PATIENCE):
                await registry.provision(farmer_id, pooler_id)
                log.info("registration completed", farmer_id=str(farmer_id))
        except PoolError as error:
            log.warning("registrations wait", reason=error.reason)
        await asyncio.sleep(interval)
