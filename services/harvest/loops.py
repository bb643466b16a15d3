"""The sweep that forgets nothing."""

import asyncio

from libs.common.errors import PoolError
from libs.common.log import get_logger
from services.harvest.usecases import Harvester

log = get_logger(__name__)

#: Blocks of one sweep at most: about a day's.
BLOCKS = 300


async def sweep_for_ever(harvester: Harvester, *, interval: float) -> None:
    """Harvests what is pending every `interval` seconds, what has failed less and less often."""
    while True:
        await asyncio.sleep(interval)
        try:
            summaries, left = await harvester.harvest_pending(None, BLOCKS, pause=interval)
        except PoolError as error:
            log.warning("sweep delayed", reason=error.reason)
            continue
        except Exception:  # a defect must not end the loop: the next round may do better
            log.exception("defect", loop="sweep")
            continue
        if summaries or left:
            log.info("swept", blocks=len(summaries), still_pending=left)
